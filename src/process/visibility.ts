// What Linux shows of this process to others of the same user (proc(5), ptrace(2)).
import { readFileSync, statSync } from "node:fs";

/**
 * Whether others of the same user may look at this process: its memory, its first environment, its descriptors. Not
 * when its program could be executed but not read: the kernel then gives its files in /proc to root and writes no core.
 */
export function isVisible(): boolean {
  try {
    // Owned by root where it is hidden; to root everything is visible.
    return statSync("/proc/self/mem").uid === process.geteuid?.();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT"; // without /proc there is nothing to look at
  }
}

/** Whether a child may read the memory of its parent: Yama forbids it from `kernel.yama.ptrace_scope` 1 on. */
export function memoryIsGuarded(): boolean {
  try {
    return Number(readFileSync("/proc/sys/kernel/yama/ptrace_scope", "latin1")) >= 1;
  } catch {
    return false; // no Yama
  }
}

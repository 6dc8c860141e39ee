// What a process and its children have open and use, as Linux tells it.
import { readdirSync, readFileSync } from "node:fs";
import { pause } from "../harness/wait.ts";

/** Open descriptors, of all processes together. */
export function descriptors(pid: number): number {
  return sum(pid, (one) => readdirSync(`/proc/${one}/fd`).length);
}

/** Bytes of memory that are in use. */
export function resident(pid: number): number {
  return sum(pid, (one) => Number(readFileSync(`/proc/${one}/statm`, "utf8").split(" ")[1]) * 4096);
}

/** Milliseconds of processor time that are used in the next second. */
export async function busyMs(pid: number): Promise<number> {
  const before = processorMs(pid);
  await pause(1000);
  return processorMs(pid) - before;
}

function processorMs(pid: number): number {
  return sum(pid, (one) => {
    const fields = readFileSync(`/proc/${one}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    // Of a hundredth of a second each (USER_HZ).
    return (Number(fields[11]) + Number(fields[12])) * 10;
  });
}

/** Of the process and its children; nothing where the system does not tell. */
function sum(pid: number, value: (pid: number) => number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    return children.reduce((total, child) => total + sum(Number(child), value), value(pid));
  } catch {
    return 0;
  }
}

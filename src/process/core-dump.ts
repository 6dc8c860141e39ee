// Node cannot set the limit on the size of a core dump. On Linux it can say what goes into one (core(5)): nothing.
import { readFileSync, writeFileSync } from "node:fs";

const filterFile = "/proc/self/coredump_filter";

let original: string | undefined;

/**
 * Leaves this process's memory out of a core dump.
 * @throws an error of the file system
 */
export function emptyCoreDumps(): void {
  const filter = readFileSync(filterFile, "latin1").trim();
  writeFileSync(filterFile, "0");
  original ??= `0x${filter}`;
}

/** Starts a child whose core dumps are those that it would have had: they are inherited, and its own matter. */
export function withCoreDumps<Child>(start: () => Child): Child {
  if (original === undefined) return start();
  writeFileSync(filterFile, original);
  try {
    return start();
  } finally {
    writeFileSync(filterFile, "0");
  }
}

// /proc/PID/environ shows the environment a process was started with, for as long as it runs, whatever becomes of
// process.env. It is no copy: it is a stretch of the process's own memory, and so can be overwritten.
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";

const environ = "/proc/self/environ";
const memoryFile = "/proc/self/mem";

/** Fields of /proc/PID/stat, counted from the one after the name in parentheses (proc(5): 50 and 51). */
const envStart = 47;
const envEnd = 48;

/**
 * Overwrites the environment this process was started with, on Linux. `process.env` keeps what it has.
 * @throws an error of the file system where /proc may not be read or written, as under `--permission`; Error where the
 *   kernel does not show what is expected, and then nothing is changed
 */
export function eraseInitialEnvironment(): void {
  const shown = readFileSync(environ);
  if (shown.length === 0) return;
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const start = Number(fields[envStart]);
  const length = Number(fields[envEnd]) - start;
  const memory = openSync(memoryFile, "r+");
  try {
    const found = Buffer.alloc(shown.length);
    const certain = length === shown.length && readSync(memory, found, 0, length, start) === length;
    if (!certain || !found.equals(shown))
      throw new Error("the initial environment is not where it should be");
    moveToHeap();
    writeSync(memory, Buffer.alloc(length), 0, length, start);
  } finally {
    closeSync(memory);
    // Under --permission: code that may write there may do anything.
    process.permission?.drop?.("fs.write", memoryFile);
  }
  if (readFileSync(environ).some((byte) => byte !== 0)) throw new Error("it could not be overwritten");
}

/** The C library's variables point into that memory until they are set: getenv would find them empty. */
function moveToHeap(): void {
  for (const [name, value] of Object.entries(process.env)) process.env[name] = value;
}

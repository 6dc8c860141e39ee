import { text } from "node:stream/consumers";
import { hardenProcess } from "../process/harden.ts";
import type { Io } from "./io.ts";

/** The process's own environment, streams and exit code. */
export const processIo: Io = {
  // Our own: what a source reads is taken out of process.env, and a reload reads it again.
  env: { ...process.env },
  stdout: (line) => void process.stdout.write(line),
  stderr: (line) => void process.stderr.write(line),
  stdin: () => text(process.stdin),
  harden: hardenProcess,
  forget(variables) {
    for (const name of variables) delete process.env[name];
  },
  exit(code) {
    process.exitCode = code;
  },
};

// `sallyport check FILE | head` closes the pipe early; that is no failure to report.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

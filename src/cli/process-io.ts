import { text } from "node:stream/consumers";
import type { Io } from "./io.ts";

/** The process's own environment, streams and exit code. */
export const processIo: Io = {
  env: process.env,
  stdout: (line) => void process.stdout.write(line),
  stderr: (line) => void process.stderr.write(line),
  stdin: () => text(process.stdin),
  exit(code) {
    process.exitCode = code;
  },
};

// `sallyport check FILE | head` closes the pipe early; that is no failure to report.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

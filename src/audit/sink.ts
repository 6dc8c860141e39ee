import { LineWriter, standardError } from "../log/lines.ts";
import { paintFor } from "../log/terminal.ts";
import { describeFinding, findingLine } from "./finding.ts";
import { writeRecord } from "./serialize.ts";
import { describeRecord } from "./text.ts";
import type { AuditRecord, AuditSink } from "./types.ts";

export interface AuditSinkOptions {
  /** File the records are appended to; `undefined` means standard error. */
  readonly file: string | undefined;
  /** `deny` makes the sink unhealthy while records cannot be written, so that nothing passes unseen. */
  readonly onFailure: "report" | "deny";
  /** `text` is for a person at a terminal. A file is always JSON. */
  readonly format: "json" | "text";
  /** Writes here instead of the file or standard error. */
  readonly stream?: LineWriter;
  /** Told once per outage, and of records lost. */
  readonly onProblem: (message: string) => void;
  /** Told when records are written again. */
  readonly onRecovery?: (message: string) => void;
}

/** An audit sink with what metrics and the last words of a process need. */
export interface LineAuditSink extends AuditSink {
  /** Records dropped since the start: the outage lasted longer than the memory for it. */
  readonly lost: number;
  /** Records taken so far; what of them waits to be written is in {@link waitingBytes}. */
  readonly written: number;
  /** Bytes that wait, lines of the log included where both go to standard error. */
  readonly waitingBytes: number;
  /** Records cannot be written at the moment. */
  readonly failing: boolean;
  /** Takes records that another process wrote down, each with its newline. */
  writeLines(bytes: Uint8Array, lines: number): void;
  /** Writes what waits before it returns; for a process that ends at once. */
  flushSync(): void;
}

/**
 * Where audit records go: a file or standard error, one line each, in batches, without ever making a request wait.
 * @throws {Error} when the file cannot be opened, saying which and why
 */
export function createAuditSink(options: AuditSinkOptions): LineAuditSink {
  const { file, onFailure, onProblem } = options;
  const place = file === undefined ? "standard error" : `audit.file ${file}`;
  const writer = options.stream ?? openWriter(file);
  const format = file === undefined && options.format === "text" ? "text" : "json";
  const paint = paintFor(2);
  let written = 0;
  let lost = 0;
  let lostReported = 0;

  const unwatch = writer.watch({
    failed(problem) {
      onProblem(
        `audit records cannot be written to ${place}: ${problem}. ` +
          (onFailure === "deny"
            ? "All traffic is refused until they can (audit.on_failure: deny)"
            : "Up to 8 MiB of them wait in memory; traffic goes on (audit.on_failure: report)"),
      );
    },
    reopenFailed(problem) {
      onProblem(`${place} could not be opened anew, records still go to the old file: ${problem}`);
    },
    recovered() {
      options.onRecovery?.(`audit records are written to ${place} again${lossText()}`);
    },
  });

  function lossText(): string {
    const count = lost - lostReported;
    lostReported = lost;
    return count === 0 ? "" : `; ${count} were lost`;
  }

  function counted(taken: boolean): void {
    if (taken) written++;
    else lost++;
  }

  return {
    write(record: AuditRecord): void {
      counted(
        format === "text"
          ? writer.write(`${describeRecord(record, paint)}\n`)
          : writer.append((out) => writeRecord(record, out)),
      );
    },
    writeFinding(record): void {
      const line = format === "text" ? `${describeFinding(record, paint)}\n` : findingLine(record);
      counted(writer.write(line));
    },
    writeLines(bytes, lines): void {
      if (writer.appendLines(bytes, lines)) written += lines;
      else lost += lines;
    },
    get healthy() {
      return onFailure === "report" || !writer.failing;
    },
    get lost() {
      return lost;
    },
    get written() {
      return written;
    },
    get waitingBytes() {
      return writer.waitingBytes;
    },
    get failing() {
      return writer.failing;
    },
    reopen: () => writer.reopen(),
    flushSync: () => writer.flushSync(),
    async close(): Promise<void> {
      const before = writer.lost;
      await writer.close();
      lost += writer.lost - before;
      unwatch();
      const count = lost - lostReported;
      if (count > 0) onProblem(`${count} audit records could not be written to ${place} and are lost`);
    },
  };
}

function openWriter(file: string | undefined): LineWriter {
  if (file === undefined) return standardError();
  try {
    return new LineWriter({ file });
  } catch (error) {
    throw new Error(`audit.file: cannot open ${file} for appending: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

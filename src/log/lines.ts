import * as fs from "node:fs";
import { LineBuffer } from "./line-buffer.ts";

export interface OutageWatcher {
  /** Nothing can be written at the moment; said once until `recovered`. */
  failed(problem: string): void;
  recovered(): void;
  /** A rotated file could not be opened anew; lines still go to the old one. */
  reopenFailed?(problem: string): void;
}

export interface LineWriterOptions {
  /** Bytes that may wait while nothing can be written; newer lines are dropped. 8 MiB. */
  readonly maxWaiting?: number;
  /** Milliseconds a line may wait for company. 10. */
  readonly lingerMs?: number;
  /** Milliseconds between attempts while writes fail. 1000. */
  readonly retryMs?: number;
  /** Milliseconds a write may hang before it counts as failed. 5000. */
  readonly stallMs?: number;
}

/** Lines that are written together. */
interface Batch {
  readonly bytes: Buffer;
  readonly lines: number;
  /** Bytes of it that are written. */
  written: number;
}

/** Characters that wait for no company; also what Docker's log copier takes in one read. */
const fullBatch = 16 * 1024;
/** A full pipe is asked again this often. */
const pipeRetryMs = 20;
const flushDeadlineMs = 2000;
const exitDeadlineMs = 1000;
const newline = 10;
const ownerOnly = 0o600;

// Without O_NONBLOCK a pipe nobody reads would block one of libuv's four threads, and with it the process's exit.
const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs.constants;
const appendFlags = O_WRONLY | O_APPEND | O_CREAT | (O_NONBLOCK ?? 0);

/**
 * Lines on their way to a file or to standard error: collected for some milliseconds, written in one go, never
 * waited for. Log and audit share one writer for standard error, so that their lines do not run into each other.
 */
export class LineWriter {
  readonly #file: string | undefined;
  #fd: number;
  readonly #maxWaiting: number;
  readonly #lingerMs: number;
  readonly #retryMs: number;
  readonly #stallMs: number;
  readonly #watchers = new Set<OutageWatcher>();

  /** Lines that wait for the next batch, and the memory of the last one, which is the next one's. */
  #gathered = new LineBuffer();
  #spare = new LineBuffer();
  #gatheredLines = 0;
  /** What is being written, or failed to be. */
  #batch: Batch | undefined;
  #lost = 0;
  #failing = false;
  /** A write or an open is under way. */
  #busy = false;
  #closed = false;
  #reopenWanted = false;
  /** Counts successful writes, to notice when there are none. */
  #writes = 0;
  #linger: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stall: NodeJS.Timeout | undefined;
  #flushWaiters: (() => void)[] = [];

  /**
   * @param target a file (appended to, created readable by its owner alone) or an open descriptor
   * @throws {Error} of the file system when the file cannot be opened
   */
  constructor(
    target: { readonly file: string } | { readonly fd: number },
    { maxWaiting = 8 * 1024 * 1024, lingerMs = 10, retryMs = 1000, stallMs = 5000 }: LineWriterOptions = {},
  ) {
    this.#file = "file" in target ? target.file : undefined;
    this.#fd = "file" in target ? fs.openSync(target.file, appendFlags, ownerOnly) : target.fd;
    this.#maxWaiting = maxWaiting;
    this.#lingerMs = lingerMs;
    this.#retryMs = retryMs;
    this.#stallMs = stallMs;
    flushAtExit(this);
  }

  /** The last write failed or hangs, or lines had to be dropped; until writes work again. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Bytes that wait to be written. */
  get waitingBytes(): number {
    return (
      this.#gathered.length + (this.#batch === undefined ? 0 : this.#batch.bytes.length - this.#batch.written)
    );
  }

  /** Lines dropped since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Takes one line, newline included. False when it was dropped since too much waits already (I12). */
  write(line: string): boolean {
    return this.#take(line.length, 1, (out) => out.text(line));
  }

  /** As {@link write}, for a line that is made where it is kept. `compose` adds the whole line or nothing. */
  append(compose: (out: LineBuffer) => void): boolean {
    return this.#take(0, 1, compose);
  }

  /** As {@link write}, for whole lines that were made elsewhere: all of them are taken, or dropped. */
  appendLines(bytes: Uint8Array, lines: number): boolean {
    return this.#take(bytes.length, lines, (out) => out.raw(bytes));
  }

  #take(size: number, lines: number, compose: (out: LineBuffer) => void): boolean {
    const waiting = this.#gathered.length + (this.#batch?.bytes.length ?? 0);
    if (this.#closed || waiting + size > this.#maxWaiting) {
      this.#lost += lines;
      if (!this.#closed) this.#fail(`more than ${this.#maxWaiting} bytes wait to be written`);
      return false;
    }
    compose(this.#gathered);
    this.#gatheredLines += lines;
    if (this.#gathered.length >= fullBatch) {
      this.#pump();
    } else {
      this.#linger ??= setTimeout(() => {
        this.#linger = undefined;
        this.#pump();
      }, this.#lingerMs);
    }
    return true;
  }

  /** Calls back at the beginning and the end of every outage. Gives the function that stops it. */
  watch(watcher: OutageWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Opens the file anew after a rotation; a line is never torn between the two files. */
  reopen(): void {
    if (this.#file === undefined || this.#closed) return;
    this.#reopenWanted = true;
    this.#pumpNow();
  }

  /** Resolves when everything taken so far is written, or cannot be within two seconds. */
  async flush(): Promise<void> {
    if (this.#closed || (this.#gathered.length === 0 && this.#batch === undefined && !this.#busy)) return;
    const done = new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, flushDeadlineMs);
      this.#flushWaiters.push(() => {
        clearTimeout(deadline);
        resolve();
      });
    });
    this.#pumpNow();
    await done;
  }

  /** Writes what waits before it returns: for the last words of a process. */
  flushSync(): void {
    if (this.#closed) return;
    this.#clearTimers();
    // A write under way is completed by libuv, even when the process exits; its batch is left alone.
    if (!this.#busy && this.#batch !== undefined) {
      if (!this.#writeSync(this.#batch)) return;
      this.#batch = undefined;
    }
    const last = this.#takeGathered();
    if (last === undefined || this.#writeSync(last)) return;
    if (this.#busy) this.#lost += last.lines;
    else this.#batch = last;
  }

  /** Flushes and closes the file; what cannot be written counts as lost. Standard error stays open. */
  async close(): Promise<void> {
    await this.flush();
    if (this.#file === undefined || this.#closed) return;
    this.#closed = true;
    this.#clearTimers();
    clearTimeout(this.#stall);
    this.#lost += this.#gatheredLines + (this.#batch?.lines ?? 0);
    openWriters.delete(this);
    // A descriptor with a write that hangs is left to the end of the process.
    if (!this.#busy) await new Promise<void>((resolve) => fs.close(this.#fd, () => resolve()));
  }

  #takeGathered(): Batch | undefined {
    if (this.#gathered.length === 0) return undefined;
    const batch = { bytes: this.#gathered.bytes, lines: this.#gatheredLines, written: 0 };
    const full = this.#gathered;
    // The memory of the batch before this one is free once that is written.
    this.#gathered = this.#batch === undefined ? this.#spare : new LineBuffer();
    this.#gathered.clear();
    this.#spare = full;
    this.#gatheredLines = 0;
    return batch;
  }

  #writeSync(batch: Batch): boolean {
    const deadline = performance.now() + exitDeadlineMs;
    while (batch.written < batch.bytes.length) {
      try {
        batch.written += fs.writeSync(this.#fd, batch.bytes, batch.written);
      } catch (error) {
        if (errorCode(error) !== "EAGAIN" || performance.now() > deadline) {
          this.#fail((error as Error).message);
          this.#retryAfter(this.#retryMs);
          return false;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pipeRetryMs);
      }
    }
    return true;
  }

  #pumpNow(): void {
    this.#clearTimers();
    this.#pump();
  }

  #pump(): void {
    if (this.#busy || this.#retry !== undefined || this.#closed) return;
    if (this.#reopenWanted) {
      this.#replaceFile();
      return;
    }
    const batch = (this.#batch ??= this.#takeGathered());
    if (batch === undefined) {
      this.#settle();
      return;
    }
    this.#busy = true;
    this.#watchForStall();
    fs.write(
      this.#fd,
      batch.bytes,
      batch.written,
      batch.bytes.length - batch.written,
      null,
      (error, count) => {
        this.#busy = false;
        if (error !== null) this.#writeFailed(error);
        else this.#wrote(batch, count);
      },
    );
  }

  #wrote(batch: Batch, count: number): void {
    this.#writes++;
    batch.written += count;
    if (batch.written >= batch.bytes.length) {
      this.#batch = undefined;
      if (this.#failing) this.#recover();
    }
    // Lines that came in the meantime go at once when they are many or their time is up.
    if (this.#batch !== undefined || this.#linger === undefined || this.#gathered.length >= fullBatch)
      this.#pump();
  }

  #writeFailed(error: Error): void {
    if (errorCode(error) === "EAGAIN") {
      this.#retryAfter(pipeRetryMs);
      return;
    }
    this.#fail(error.message);
    this.#retryAfter(this.#retryMs);
    this.#settle();
  }

  #retryAfter(ms: number): void {
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#pump();
    }, ms).unref();
  }

  #watchForStall(): void {
    const writesThen = this.#writes;
    this.#stall ??= setTimeout(() => {
      this.#stall = undefined;
      if (this.#batch === undefined) return;
      if (this.#writes === writesThen) this.#fail(`nothing could be written for ${this.#stallMs} ms`);
      this.#watchForStall();
    }, this.#stallMs).unref();
  }

  #fail(problem: string): void {
    if (this.#failing) return;
    this.#failing = true;
    for (const watcher of this.#watchers) watcher.failed(problem);
  }

  #recover(): void {
    this.#failing = false;
    for (const watcher of this.#watchers) watcher.recovered();
  }

  #replaceFile(): void {
    this.#reopenWanted = false;
    this.#busy = true;
    fs.open(this.#file as string, appendFlags, ownerOnly, (error, fd) => {
      this.#busy = false;
      if (error !== null) {
        for (const watcher of this.#watchers) watcher.reopenFailed?.(error.message);
      } else {
        fs.close(this.#fd, () => {});
        this.#fd = fd;
        if (this.#batch !== undefined) this.#batch.written = lineStart(this.#batch);
      }
      this.#pump();
    });
  }

  /** Ends the waiting of `flush`: nothing is left to write, or there is no way to. */
  #settle(): void {
    const waiters = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #clearTimers(): void {
    clearTimeout(this.#linger);
    clearTimeout(this.#retry);
    this.#linger = undefined;
    this.#retry = undefined;
  }
}

let shared: LineWriter | undefined;

/** The writer of standard error; one for the process, made at first use. */
export function standardError(): LineWriter {
  shared ??= new LineWriter({ fd: openStandardError() });
  return shared;
}

/** Descriptor 2, or where it is a pipe a second descriptor of the same pipe that does not block. */
function openStandardError(): number {
  try {
    if (fs.fstatSync(2).isFIFO()) return fs.openSync("/proc/self/fd/2", O_WRONLY | O_NONBLOCK);
  } catch {
    // No such directory outside Linux, or a pipe of another user: the inherited descriptor works too.
  }
  return 2;
}

const openWriters = new Set<LineWriter>();
let exitHook = false;

function flushAtExit(writer: LineWriter): void {
  openWriters.add(writer);
  if (exitHook) return;
  exitHook = true;
  process.once("exit", () => {
    for (const open of openWriters) open.flushSync();
    // What could not be written to a file has been said on standard error.
    shared?.flushSync();
  });
}

/** Where the line begins that the next byte to be written belongs to. */
function lineStart(batch: Batch): number {
  return batch.written === 0 ? 0 : batch.bytes.lastIndexOf(newline, batch.written - 1) + 1;
}

function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

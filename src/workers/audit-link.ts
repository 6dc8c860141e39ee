import type { LineAuditSink } from "../audit/sink.ts";
import { writeRecord } from "../audit/serialize.ts";
import { describeRecord } from "../audit/text.ts";
import type { AuditRecord } from "../audit/types.ts";
import { LineBuffer } from "../log/line-buffer.ts";
import { paintFor } from "../log/terminal.ts";
import type { AuditBatch, Lesson } from "./messages.ts";

export interface AuditLinkOptions {
  /** Sends a batch; calls back when it has left this process. */
  send(batch: AuditBatch, sent: () => void): void;
  readonly format: "json" | "text";
  /** Send records as objects too, for their export. */
  readonly withRecords: boolean;
  readonly healthy: boolean;
}

/** Milliseconds a record may wait for company, and bytes that wait for none. */
const lingerMs = 10;
const fullBatch = 16 * 1024;
/** What an errand counts for, in bytes. */
const errandBytes = 512;
/** Bytes on their way to a process that does not take them; newer records are dropped and counted (I12). */
const maxBytesUnderWay = 8 * 1024 * 1024;

/**
 * The audit of a worker: records are written down here and sent in batches to the first process, the only one that has
 * the file. With them goes what that process does for all, and the exchanges that have begun and not ended by the time of a batch, so that whoever outlives
 * this worker has something to say about each (I13).
 */
export class AuditLink implements LineAuditSink {
  /** As the first process says. */
  healthy: boolean;
  lost = 0;
  written = 0;
  readonly #options: AuditLinkOptions;
  readonly #paint = paintFor(2);
  readonly #gathered = new LineBuffer();
  #lines = 0;
  #records: AuditRecord[] = [];
  #errands: Lesson[] = [];
  /** Exchanges that began since the last batch. */
  readonly #begun = new Map<string, () => AuditRecord>();
  /** Those that the first process knows of. */
  readonly #known = new Set<string>();
  #ended: string[] = [];
  #linger: NodeJS.Timeout | undefined;
  #underWay = 0;
  #onSent: (() => void) | undefined;

  constructor(options: AuditLinkOptions) {
    this.#options = options;
    this.healthy = options.healthy;
  }

  /** An exchange has begun; its record follows when it ends. */
  begin(id: string, record: () => AuditRecord): void {
    this.#begun.set(id, record);
    this.#sendSoon();
  }

  write(record: AuditRecord): void {
    const id = record.requestId;
    if (!this.#begun.delete(id) && this.#known.delete(id)) this.#ended.push(id);
    const { format, withRecords } = this.#options;
    const isTaken = this.#take((out) => {
      if (format === "text") out.text(`${describeRecord(record, this.#paint)}\n`);
      else writeRecord(record, out);
    });
    if (withRecords && isTaken) this.#records.push(record);
  }

  /** Something that the first process does. */
  sendErrand(errand: Lesson): void {
    if (this.#isFull) this.lost++;
    else {
      this.#errands.push(errand);
      this.#sendFull();
    }
  }

  writeFinding(): void {
    throw new Error("findings are an errand of the first process");
  }

  writeLines(): void {
    throw new Error("no other process writes through a worker");
  }

  get waitingBytes(): number {
    return this.#underWay + this.#size;
  }

  get failing(): boolean {
    return !this.healthy;
  }

  /** The first process does, for all. */
  reopen(): void {}

  /** Hands over what waits. */
  flushSync(): void {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    const begun = [...this.#begun].map(([id, record]) => {
      this.#known.add(id);
      return record();
    });
    this.#begun.clear();
    const size = this.#size;
    if (size === 0 && begun.length === 0 && this.#ended.length === 0) return;
    // The channel copies the bytes; the memory is used again.
    const bytes = this.#gathered.bytes;
    this.#underWay += size;
    const batch = {
      lines: this.#lines,
      records: this.#records,
      errands: this.#errands,
      begun,
      ended: this.#ended,
    };
    this.#options.send({ kind: "audit", bytes, ...batch }, () => {
      this.#underWay -= size;
      this.#onSent?.();
    });
    this.#gathered.clear();
    this.#lines = 0;
    this.#records = [];
    this.#errands = [];
    this.#ended = [];
  }

  /** Resolves when everything has left this process. */
  async close(): Promise<void> {
    this.flushSync();
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      this.#onSent = () => {
        if (this.#underWay === 0) resolve();
      };
    });
  }

  #take(compose: (out: LineBuffer) => void): boolean {
    if (this.#isFull) {
      this.lost++;
      return false;
    }
    compose(this.#gathered);
    this.#lines++;
    this.written++;
    this.#sendFull();
    return true;
  }

  /** Bytes that wait for their batch. */
  get #size(): number {
    return this.#gathered.length + this.#errands.length * errandBytes;
  }

  get #isFull(): boolean {
    return this.#underWay + this.#size > maxBytesUnderWay;
  }

  #sendFull(): void {
    if (this.#size >= fullBatch) this.flushSync();
    else this.#sendSoon();
  }

  #sendSoon(): void {
    this.#linger ??= setTimeout(() => this.flushSync(), lingerMs);
  }
}

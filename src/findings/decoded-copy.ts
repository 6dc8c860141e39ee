import type { Transform } from "node:stream";
import { type Coding, decoder } from "../scrub/codings.ts";

/** Decoded bytes from which on the ratio counts. */
const bombBytes = 16 * 1024 * 1024;
/** Decoded bytes for each coded one; the search of a body that has more ends there. */
const maxRatio = 100;

/**
 * Decodes a copy of a body for whoever searches it. What is not in its coding, or is a decompression bomb, is searched as far as it
 * was decoded: whoever the body is for will refuse it, or has asked for it.
 */
export class DecodedCopy {
  readonly #coding: Coding;
  readonly #reader: { write(bytes: Uint8Array): void };
  #stream: Transform | undefined;
  #written = 0;
  #read = 0;
  #over = false;
  #done: (() => void) | undefined;

  constructor(coding: Coding, reader: { write(bytes: Uint8Array): void }) {
    this.#coding = coding;
    this.#reader = reader;
  }

  /**
   * One at a time.
   * @param bytes at least one; not to be changed before `done`
   * @param done called once all that they decode to was read
   */
  write(bytes: Uint8Array, done: () => void): void {
    if (this.#over) {
      done();
      return;
    }
    this.#done = done;
    this.#written += bytes.length;
    this.#stream ??= this.#open(bytes[0] as number);
    const stream = this.#stream;
    stream.write(bytes, () => {
      // What is still in the stream's own buffer goes to the listener.
      while (!this.#over && stream.read() !== null);
      this.#settle();
    });
  }

  /** The body is complete. */
  end(done: () => void): void {
    if (this.#over || this.#stream === undefined) {
      done();
      return;
    }
    this.#done = done;
    this.#stream.end();
  }

  close(): void {
    this.#over = true;
    this.#stream?.destroy();
    this.#settle();
  }

  #open(firstByte: number): Transform {
    const stream = decoder(this.#coding, firstByte);
    stream.on("data", (bytes: Buffer) => this.#onData(bytes));
    // After either nobody answers a write any more.
    stream.on("end", () => this.close());
    stream.on("error", () => this.close());
    return stream;
  }

  #onData(bytes: Buffer): void {
    if (this.#over) return;
    this.#read += bytes.length;
    if (this.#read > bombBytes && this.#read > this.#written * maxRatio) this.close();
    else this.#reader.write(bytes);
  }

  #settle(): void {
    const done = this.#done;
    this.#done = undefined;
    done?.();
  }
}

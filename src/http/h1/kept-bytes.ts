import { latin1Slice } from "./latin1.ts";

const firstSize = 512;

/**
 * The bytes of an unfinished section that came in earlier chunks. It doubles when it is full, so that a head
 * that arrives one byte at a time costs no more than its length; the caller bounds what goes in.
 */
export class KeptBytes {
  #bytes: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer, from: number, to: number): void {
    const length = this.#length + to - from;
    if (this.#bytes === undefined || length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(firstSize, length * 2));
      if (this.#bytes !== undefined) this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length, from, to);
    this.#length = length;
  }

  /**
   * Text of what was kept and of the rest in this chunk, one character for each byte. Nothing is kept then:
   * an idle connection holds no memory for a head that has passed. Without earlier bytes nothing is copied.
   */
  take(chunk: Buffer, from: number, to: number): string {
    if (this.#length === 0) return latin1Slice(chunk, from, to);
    this.append(chunk, from, to);
    const text = latin1Slice(this.#bytes as Buffer, 0, this.#length);
    this.#bytes = undefined;
    this.#length = 0;
    return text;
  }
}

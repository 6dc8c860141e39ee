import { printable } from "./terminal.ts";

const initialSize = 32 * 1024;
/** Longer texts are copied by node; up to here a loop is faster than the call. */
const copyUpTo = 256;

/**
 * Lines gathered as bytes, in memory that is used again. A line built by joining sixty strings costs more than the
 * rest of an audit record: the pieces outlive a collection, and joining them is done once more when it is written.
 */
export class LineBuffer {
  #bytes = Buffer.allocUnsafeSlow(initialSize);
  #length = 0;

  /** Bytes gathered. */
  get length(): number {
    return this.#length;
  }

  /** What was gathered; good until the next {@link clear}. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Adds a text that is known to be ASCII, as it is. */
  ascii(text: string): void {
    this.#reserve(text.length);
    if (text.length > copyUpTo) {
      this.#length += this.#bytes.write(text, this.#length, "latin1");
      return;
    }
    const bytes = this.#bytes;
    let at = this.#length;
    for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
    this.#length = at;
  }

  /** Adds bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Adds any text, as UTF-8. */
  text(text: string): void {
    this.#reserve(text.length * 3);
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** Adds a text as a JSON string, with what a terminal would obey escaped. */
  json(text: string): void {
    if (text.length > copyUpTo) {
      this.text(printable(JSON.stringify(text)));
      return;
    }
    this.#reserve(text.length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = quote;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code < 0x20 || code > 0x7e || code === quote || code === backslash) {
        this.text(printable(JSON.stringify(text)));
        return;
      }
      bytes[at++] = code;
    }
    bytes[at++] = quote;
    this.#length = at;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

const quote = 0x22;
const backslash = 0x5c;

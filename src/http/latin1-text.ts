import { latin1Write } from "./h1/latin1.ts";

const initialSize = 8192;
/** Up to here a loop is faster than node's call. */
const loopUpTo = 256;

/** One-byte characters gathered as bytes, in memory that is used again: joining strings would cost more than searching them. */
export class Latin1Text {
  #bytes = Buffer.allocUnsafeSlow(initialSize);
  #length = 0;

  /** The memory; as far as {@link length} it holds the text, until the next {@link clear}. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Adds a text, and a byte behind it. */
  add(text: string, separator: number): void {
    const needed = this.#length + text.length + 1;
    if (needed > this.#bytes.length) this.#grow(needed);
    const bytes = this.#bytes;
    let at = this.#length;
    if (text.length > loopUpTo) {
      latin1Write(bytes, text, at);
      at += text.length;
    } else {
      for (let index = 0; index < text.length; index++) bytes[at++] = text.charCodeAt(index);
    }
    bytes[at++] = separator;
    this.#length = at;
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

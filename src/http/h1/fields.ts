import { Headers } from "../headers.ts";
import { byteName, type Refuse } from "./errors.ts";
import { COLON, CR, HTAB, LF, SP, textBytes, tokenBytes } from "./grammar.ts";
import { fieldNameAt } from "./names.ts";

const atLineStart = 0;
const inName = 1;
const inValue = 2;
const atLineEnd = 3;
const atSectionEnd = 4;

/**
 * Scans the field lines of a head or of a trailer section, up to and with the empty line that ends them
 * (RFC 9112 section 5). It reads every byte once, whichever way they are cut into chunks, and remembers only
 * where the colon and the CR of each line are; `read` makes strings of them when the section is complete.
 */
export class FieldLines {
  readonly #refuse: Refuse;
  readonly #maxCount: number;
  /** Two positions for each line, counted from the start of the text that `read` gets. */
  readonly #marks: number[] = [];
  #count = 0;
  #state = atLineStart;

  constructor(maxCount: number, refuse: Refuse) {
    this.#maxCount = maxCount;
    this.#refuse = refuse;
  }

  /**
   * @param stop bytes from here on are not looked at
   * @param shift what to add to a position in `bytes` to get the position in the text
   * @returns the position after the section, or -1 when it goes on after `stop`
   * @throws {H1Error}
   */
  scan(bytes: Buffer, from: number, stop: number, shift: number): number {
    // Locals, because a look-up in a module's variable is not free in a loop this tight.
    const token = tokenBytes;
    const text = textBytes;
    const marks = this.#marks;
    let at = from;
    let state = this.#state;
    while (at < stop) {
      switch (state) {
        case atLineStart:
          if (bytes[at] === CR) {
            at++;
            state = atSectionEnd;
            break;
          }
          if (token[bytes[at] as number] === 0) throw this.#badLineStart(bytes[at]);
          if (this.#count === this.#maxCount) {
            throw this.#refuse(431, "headers_too_large", `more than ${this.#maxCount} field lines`);
          }
          state = inName;
          break;
        case inName:
          while (at < stop && token[bytes[at] as number] === 1) at++;
          if (at === stop) break;
          if (bytes[at] !== COLON) throw this.#badName(bytes[at]);
          marks[this.#count * 2] = at + shift;
          at++;
          state = inValue;
          break;
        case inValue:
          while (at < stop && text[bytes[at] as number] === 1) at++;
          if (at === stop) break;
          if (bytes[at] !== CR) throw this.#bad(`${byteName(bytes[at])} in the value`);
          marks[this.#count * 2 + 1] = at + shift;
          at++;
          state = atLineEnd;
          break;
        case atLineEnd:
          if (bytes[at] !== LF) throw this.#bad("a bare CR in the value");
          this.#count++;
          at++;
          state = atLineStart;
          break;
        default:
          if (bytes[at] !== LF) throw this.#bad("a bare CR at the start of the line");
          this.#state = atLineStart;
          return at + 1;
      }
    }
    this.#state = state;
    return -1;
  }

  /**
   * The fields of a complete section; the scanner is ready for the next one then.
   * @param text what was scanned, one character for each byte
   * @param start where the first line begins in `text`
   * @throws {H1Error}
   */
  read(text: string, start: number): Headers {
    const names: string[] = [];
    const keys: string[] = [];
    const values: string[] = [];
    const marks = this.#marks;
    const count = this.#count;
    let nameStart = start;
    for (let line = 0; line < count; line++) {
      const colon = marks[line * 2] as number;
      const cr = marks[line * 2 + 1] as number;
      let valueStart = colon + 1;
      let valueEnd = cr;
      while (valueStart < valueEnd && isWhitespace(text.charCodeAt(valueStart))) valueStart++;
      while (valueStart < valueEnd && isWhitespace(text.charCodeAt(valueEnd - 1))) valueEnd--;
      const field = fieldNameAt(text, nameStart, colon);
      // Node's parser, for one, does not see `chunked` in front of a tab (I9).
      if (valueEnd < cr && field.key === "transfer-encoding") {
        throw this.#refuse(400, "malformed_request", "whitespace after the value of Transfer-Encoding");
      }
      names.push(field.name);
      keys.push(field.key);
      values.push(text.slice(valueStart, valueEnd));
      nameStart = cr + 2;
    }
    this.#count = 0;
    return new Headers(names, keys, values);
  }

  #badLineStart(byte: number | undefined): Error {
    if (byte === COLON) return this.#bad("an empty field name");
    if (byte === SP || byte === HTAB) {
      return this.#bad("whitespace at the start of the line (folded lines are not allowed)");
    }
    return this.#bad(`${byteName(byte)} at the start of the line`);
  }

  #badName(byte: number | undefined): Error {
    if (byte === SP || byte === HTAB) return this.#bad("whitespace in or after the field name");
    if (byte === CR || byte === LF) return this.#bad("no colon");
    return this.#bad(`${byteName(byte)} in the field name`);
  }

  #bad(what: string): Error {
    return this.#refuse(400, "malformed_request", `field line ${this.#count + 1}: ${what}`);
  }
}

function isWhitespace(code: number): boolean {
  return code === SP || code === HTAB;
}

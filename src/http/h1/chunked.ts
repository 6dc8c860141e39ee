import { byteName, type Refuse } from "./errors.ts";
import { CR, hexValues, LF, quotedBytes, tokenBytes } from "./grammar.ts";

const inSize = 0;
const inExtensionName = 1;
const inExtensionValue = 2;
const inQuoted = 3;
const inQuotedPair = 4;
const afterQuoted = 5;
const atHeaderEnd = 6;
const inData = 7;
const atDataCR = 8;
const atDataLF = 9;

/** 13 hexadecimal digits are below 2^53, so the size is an exact number. */
const maxSizeDigits = 13;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Takes the chunks of a chunked body apart (RFC 9112 section 7.1), up to and with the line of the last chunk;
 * trailers are for someone else. Extensions are checked and dropped: servers that read their end
 * differently are attack 21.
 */
export class ChunkedBody {
  readonly #maxHeader: number;
  readonly #refuse: Refuse;
  #state = inSize;
  /** Of the chunk whose header is being read; then the bytes of its data still missing. */
  #size = 0;
  #digits = 0;
  #headerBytes = 0;
  /** Something of a token or of a `;` or `=` part has arrived; neither may be empty. */
  #partBytes = 0;
  #complete = false;

  constructor(maxHeader: number, refuse: Refuse) {
    this.#maxHeader = maxHeader;
    this.#refuse = refuse;
  }

  /** The last chunk was read; what follows is the trailer section. */
  get complete(): boolean {
    return this.#complete;
  }

  /**
   * @returns the position after what belongs to the chunks
   * @throws {H1Error}
   */
  execute(bytes: Buffer, from: number, onBody: (data: Buffer) => void): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      switch (this.#state) {
        case inData: {
          const end = Math.min(bytes.length, at + this.#size);
          this.#size -= end - at;
          if (this.#size === 0) this.#state = atDataCR;
          const data = bytes.subarray(at, end);
          at = end;
          onBody(data);
          break;
        }
        case atDataCR:
          if (byte !== CR) throw this.#bad("the data is longer than its size");
          this.#state = atDataLF;
          at++;
          break;
        case atDataLF:
          if (byte !== LF) throw this.#bad("a bare CR after the data");
          this.#state = inSize;
          at++;
          break;
        case atHeaderEnd:
          if (byte !== LF) throw this.#bad("a bare CR in the chunk header");
          at++;
          this.#endHeader();
          if (this.#complete) return at;
          break;
        default:
          this.#header(byte);
          at++;
      }
    }
    return at;
  }

  #endHeader(): void {
    this.#complete = this.#size === 0;
    this.#state = inData;
    this.#digits = 0;
    this.#headerBytes = 0;
  }

  /** One byte of `chunk-size [ chunk-ext ] CR`. */
  #header(byte: number): void {
    if (byte !== CR && ++this.#headerBytes > this.#maxHeader) {
      throw this.#bad(`the chunk header is longer than ${this.#maxHeader} bytes`);
    }
    switch (this.#state) {
      case inSize: {
        const value = hexValues[byte] as number;
        if (value < 0) {
          if (this.#digits === 0) throw this.#bad(`${byteName(byte)} in place of a size`);
          this.#separator(byte);
          break;
        }
        if (this.#digits === maxSizeDigits) throw this.#bad(`a size of more than ${maxSizeDigits} digits`);
        this.#size = this.#digits === 0 ? value : this.#size * 16 + value;
        this.#digits++;
        break;
      }
      case inExtensionName:
        if (tokenBytes[byte] === 1) {
          this.#partBytes++;
        } else if (this.#partBytes > 0 && byte === EQUALS) {
          this.#part(inExtensionValue);
        } else this.#endPart(byte);
        break;
      case inExtensionValue:
        if (tokenBytes[byte] === 1) {
          this.#partBytes++;
        } else if (this.#partBytes === 0 && byte === QUOTE) {
          this.#state = inQuoted;
        } else this.#endPart(byte);
        break;
      case inQuoted:
        if (byte === QUOTE) this.#state = afterQuoted;
        else if (byte === BACKSLASH) this.#state = inQuotedPair;
        else this.#quoted(byte);
        break;
      case inQuotedPair:
        this.#quoted(byte);
        this.#state = inQuoted;
        break;
      default:
        this.#separator(byte);
    }
  }

  #part(state: number): void {
    this.#state = state;
    this.#partBytes = 0;
  }

  #endPart(byte: number): void {
    if (this.#partBytes === 0) throw this.#bad(`${byteName(byte)} in place of an extension's name or value`);
    this.#separator(byte);
  }

  /** What may follow a size or a whole extension: another extension, or the end of the line. */
  #separator(byte: number): void {
    if (byte === CR) this.#state = atHeaderEnd;
    else if (byte === SEMICOLON) this.#part(inExtensionName);
    else throw this.#bad(`${byteName(byte)} in the chunk header`);
  }

  #quoted(byte: number): void {
    if (quotedBytes[byte] === 0) throw this.#bad(`${byteName(byte)} in a quoted extension`);
  }

  #bad(what: string): Error {
    return this.#refuse(400, "malformed_request", `chunked body: ${what}`);
  }
}

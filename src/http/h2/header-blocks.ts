import { codes, SessionError } from "./errors.ts";
import type { FieldList } from "./fields.ts";
import { flags, frameHeaderSize, largest31, withoutPadding } from "./frames.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import type { FieldEntry } from "./hpack/entry.ts";
import { HpackError } from "./hpack/error.ts";
import { type H2Limits, hpackTableSize, maxContinuations } from "./limits.ts";

/** A header block that goes on in CONTINUATION frames. */
interface Block {
  readonly stream: number;
  readonly end: boolean;
  readonly parts: Buffer[];
  size: number;
}

/** Takes a whole, decoded header block. */
export type OnBlock = (stream: number, list: FieldList, end: boolean) => void;

/** A request has no more pseudo-header fields than these, and they are not counted as fields. */
const pseudoFields = 5;

/** Puts the header blocks of one connection together from their frames and decodes them (RFC 9113 section 4.3). */
export class HeaderBlocks {
  readonly #limits: H2Limits;
  readonly #onBlock: OnBlock;
  readonly #decoder = new HpackDecoder(hpackTableSize);
  #block: Block | undefined;

  constructor(limits: H2Limits, onBlock: OnBlock) {
    this.#limits = limits;
    this.#onBlock = onBlock;
  }

  /** Stream whose CONTINUATION has to come next; `undefined` when none is awaited. */
  get open(): number | undefined {
    return this.#block?.stream;
  }

  /** @throws {SessionError} */
  onHeaders(bits: number, id: number, payload: Buffer): void {
    if (id === 0) throw protocolError("HEADERS without a stream");
    let fragment = (bits & flags.padded) === 0 ? payload : withoutPadding(payload);
    if ((bits & flags.priority) !== 0) {
      if (fragment.length < 5) {
        throw new SessionError(codes.frameSizeError, "HEADERS shorter than its priority");
      }
      if ((fragment.readUInt32BE(0) & largest31) === id) {
        throw protocolError("a stream that depends on itself");
      }
      fragment = fragment.subarray(5);
    }
    const end = (bits & flags.endStream) !== 0;
    if ((bits & flags.endHeaders) !== 0) {
      this.#onBlock(id, this.#decode(fragment, fragment.length + frameHeaderSize), end);
    } else this.#block = { stream: id, end, parts: [Buffer.from(fragment)], size: fragment.length };
  }

  /** @throws {SessionError} */
  onContinuation(bits: number, payload: Buffer): void {
    const block = this.#block;
    if (block === undefined) throw protocolError("CONTINUATION without HEADERS before it");
    block.parts.push(Buffer.from(payload));
    block.size += payload.length;
    this.#checkSize(block);
    if ((bits & flags.endHeaders) === 0) return;
    this.#block = undefined;
    const wireSize = block.size + block.parts.length * frameHeaderSize;
    this.#onBlock(block.stream, this.#decode(Buffer.concat(block.parts), wireSize), block.end);
  }

  /** A block that never ends is not answered: there is no telling what it says (CVE-2024-27316). */
  #checkSize(block: Block): void {
    const { maxHeaderBytes, maxStartLine } = this.#limits;
    if (block.size <= maxHeaderBytes + maxStartLine && block.parts.length <= maxContinuations) return;
    throw new SessionError(codes.enhanceYourCalm, "a header block that is too long");
  }

  /** Every block is decoded to its end, whatever is wrong with its message: the next one builds on it. */
  #decode(block: Buffer, wireSize: number): FieldList {
    const { maxHeaderBytes, maxHeaderCount } = this.#limits;
    const list: FieldList = { entries: [], size: 0, tooLarge: false, wireSize };
    const onField = (entry: FieldEntry): void => {
      // The target has a limit of its own, as in HTTP/1.1.
      if (entry.name !== ":path") list.size += entry.name.length + entry.value.length;
      if (list.size > maxHeaderBytes || list.entries.length >= maxHeaderCount + pseudoFields) {
        list.tooLarge = true;
      } else list.entries.push(entry);
    };
    try {
      this.#decoder.decode(block, onField);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new SessionError(codes.compressionError, `header block: ${error.message}`);
    }
    return list;
  }
}

function protocolError(message: string): SessionError {
  return new SessionError(codes.protocolError, message);
}

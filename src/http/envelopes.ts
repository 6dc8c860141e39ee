import type { Headers } from "./headers.ts";

/** Told of what stands in a stream of messages, in pieces as they come. */
export interface EnvelopeHandlers {
  /** The five bytes before a message, together. An empty message has no payload. */
  prefix(bytes: Uint8Array, flags: number): void;
  /** @param isLast the message is complete */
  payload(bytes: Uint8Array, isLast: boolean): void;
}

/** One byte of flags, four of length. */
const prefixBytes = 5;

/** The message is compressed, in the coding that a field of the head names: the same bit in all three protocols. */
export const compressedFlag = 1;

const noBytes = Buffer.alloc(0);

/** Takes apart a body of gRPC, gRPC-Web or a Connect stream: messages with their length before them, wherever the body is cut. */
export class EnvelopeReader {
  readonly #handlers: EnvelopeHandlers;
  #prefix: Uint8Array = noBytes;
  #left = 0;

  constructor(handlers: EnvelopeHandlers) {
    this.#handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      at = this.#left === 0 ? this.#takePrefix(bytes, at) : this.#takePayload(bytes, at);
    }
  }

  /** What came of a prefix that is not complete; nobody has been told of it. */
  get rest(): Uint8Array {
    return this.#prefix;
  }

  #takePrefix(bytes: Uint8Array, at: number): number {
    const known = this.#prefix.length;
    const part = bytes.subarray(at, at + prefixBytes - known);
    const prefix = known === 0 ? part : Buffer.concat([this.#prefix, part]);
    if (prefix.length < prefixBytes) {
      // A copy: the bytes belong to whoever reads the connection.
      this.#prefix = Uint8Array.from(prefix);
      return bytes.length;
    }
    this.#prefix = noBytes;
    const [flags, a, b, c, d] = prefix as Uint8Array & [number, number, number, number, number];
    this.#left = a * 0x1000000 + ((b << 16) | (c << 8) | d);
    this.#handlers.prefix(prefix, flags);
    return at + part.length;
  }

  #takePayload(bytes: Uint8Array, at: number): number {
    const part = bytes.subarray(at, at + this.#left);
    this.#left -= part.length;
    this.#handlers.payload(part, this.#left === 0);
    return at + part.length;
  }
}

/** Whether a body is a sequence of messages for {@link EnvelopeReader}, by its media type. */
export function hasEnvelopes(headers: Headers): boolean {
  const index = headers.indexOf("content-type");
  return index >= 0 && /^\s*application\/(?:grpc(?!-web-text)|connect\+)/i.test(headers.valueAt(index));
}

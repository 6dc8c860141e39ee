import { codes, SessionError } from "./errors.ts";

/** Frame types (RFC 9113 section 6). */
export const types = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

export const flags = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Settings (RFC 9113 section 6.5.2, RFC 8441 section 3). */
export const settings = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
} as const;

/** What a client says first (RFC 9113 section 3.4). */
export const clientPreface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const frameHeaderSize = 9;
/** Payload of a frame; what every endpoint has to take, and all that is asked for here. */
export const maxFrameSize = 16_384;
/** The largest flow-control window, and the largest stream identifier. */
export const largest31 = 0x7fffffff;

/** What arrives, frame by frame. */
export interface FrameHandler {
  /**
   * Bytes of a DATA frame, as they arrive: a frame may come in several pieces.
   * @param flow bytes that count for flow control, padding included
   * @param end the frame that ends here had END_STREAM
   * @param first this is the first piece of its frame
   */
  onData(stream: number, bytes: Buffer, flow: number, end: boolean, first: boolean): void;
  /** Any other frame, whole. The payload is valid during the call only. */
  onFrame(type: number, flagBits: number, stream: number, payload: Buffer): void;
}

/**
 * Cuts the bytes of a connection into frames (RFC 9113 section 4.1). Bytes of DATA are handed on where they lie;
 * of everything else at most one frame is kept, until it is whole.
 */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #header = Buffer.alloc(frameHeaderSize);
  #headerBytes = 0;
  #type = 0;
  #flags = 0;
  #stream = 0;
  /** Bytes of the payload that are missing. */
  #left = 0;
  #first = true;
  /** Room for the payload of a frame that came in parts. */
  #kept: Buffer | undefined;
  #keptBytes = 0;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /** Part of a frame has arrived, and it is not (known to be) DATA. */
  get midFrame(): boolean {
    return this.#headerBytes > 0 && (this.#headerBytes < frameHeaderSize || this.#type !== types.data);
  }

  /** @throws {SessionError} for a frame that is too large; whatever the handler throws passes through */
  execute(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < frameHeaderSize) {
        at = this.#readHeader(chunk, at);
        if (this.#headerBytes === frameHeaderSize && this.#left === 0) this.#payload(empty);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      this.#left -= end - at;
      this.#payload(chunk.subarray(at, end));
      at = end;
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    const missing = frameHeaderSize - this.#headerBytes;
    if (this.#headerBytes === 0 && chunk.length - at >= frameHeaderSize) this.#takeHeader(chunk, at);
    else {
      const copied = chunk.copy(this.#header, this.#headerBytes, at, at + missing);
      this.#headerBytes += copied;
      if (copied < missing) return chunk.length;
      this.#takeHeader(this.#header, 0);
    }
    this.#headerBytes = frameHeaderSize;
    return at + missing;
  }

  #takeHeader(bytes: Buffer, at: number): void {
    const length = bytes.readUIntBE(at, 3);
    this.#type = bytes[at + 3] as number;
    this.#flags = bytes[at + 4] as number;
    this.#stream = bytes.readUInt32BE(at + 5) & largest31;
    this.#left = length;
    this.#first = true;
    if (length > maxFrameSize) {
      throw new SessionError(codes.frameSizeError, `a frame is longer than ${maxFrameSize} bytes`);
    }
  }

  /** Takes bytes of the payload, which end the frame when nothing is missing any more. */
  #payload(bytes: Buffer): void {
    const whole = this.#left === 0;
    if (whole) this.#headerBytes = 0;
    if (this.#type === types.data && (this.#flags & flags.padded) === 0) {
      const first = this.#first;
      this.#first = false;
      const end = whole && (this.#flags & flags.endStream) !== 0;
      this.#handler.onData(this.#stream, bytes, bytes.length, end, first);
      return;
    }
    let payload = bytes;
    if (!whole || this.#kept !== undefined) {
      this.#kept ??= Buffer.allocUnsafe(bytes.length + this.#left);
      this.#keptBytes += bytes.copy(this.#kept, this.#keptBytes);
      if (!whole) return;
      payload = this.#kept;
      this.#kept = undefined;
      this.#keptBytes = 0;
    }
    if (this.#type === types.data) this.#paddedData(payload);
    else this.#handler.onFrame(this.#type, this.#flags, this.#stream, payload);
  }

  #paddedData(payload: Buffer): void {
    const end = (this.#flags & flags.endStream) !== 0;
    this.#handler.onData(this.#stream, withoutPadding(payload), payload.length, end, true);
  }
}

const empty = Buffer.alloc(0);

/**
 * The payload of a padded frame without its padding and the length of that (RFC 9113 section 6.1).
 * @throws {SessionError} when the padding is as long as the payload or longer
 */
export function withoutPadding(payload: Buffer): Buffer {
  const padding = payload[0];
  if (padding === undefined) throw new SessionError(codes.frameSizeError, "a padded frame without a length");
  if (padding >= payload.length) {
    throw new SessionError(codes.protocolError, "padding that is longer than its frame");
  }
  return payload.subarray(1, payload.length - padding);
}

/** The nine bytes before a payload. */
export function frameHeader(length: number, type: number, flagBits: number, stream: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderSize);
  writeFrameHeader(bytes, length, type, flagBits, stream);
  return bytes;
}

/** Writes the nine bytes at the start of a buffer that has room for them. */
export function writeFrameHeader(
  bytes: Buffer,
  length: number,
  type: number,
  flagBits: number,
  stream: number,
): void {
  bytes[0] = length >> 16;
  bytes[1] = length >> 8;
  bytes[2] = length;
  bytes[3] = type;
  bytes[4] = flagBits;
  bytes[5] = stream >> 24;
  bytes[6] = stream >> 16;
  bytes[7] = stream >> 8;
  bytes[8] = stream;
}

export function settingsFrame(values: readonly (readonly [setting: number, value: number])[]): Buffer {
  const bytes = Buffer.alloc(frameHeaderSize + values.length * 6);
  writeFrameHeader(bytes, values.length * 6, types.settings, 0, 0);
  for (const [index, [setting, value]] of values.entries()) {
    bytes.writeUInt16BE(setting, frameHeaderSize + index * 6);
    bytes.writeUInt32BE(value, frameHeaderSize + index * 6 + 2);
  }
  return bytes;
}

export function settingsAck(): Buffer {
  return frameHeader(0, types.settings, flags.ack, 0);
}

/** @param payload 8 bytes */
export function pingFrame(payload: Buffer, ack: boolean): Buffer {
  return Buffer.concat([frameHeader(8, types.ping, ack ? flags.ack : 0, 0), payload]);
}

export function rstStreamFrame(stream: number, code: number): Buffer {
  return withNumber(types.rstStream, stream, code);
}

export function windowUpdateFrame(stream: number, increment: number): Buffer {
  return withNumber(types.windowUpdate, stream, increment);
}

export function goawayFrame(lastStream: number, code: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderSize + 8);
  writeFrameHeader(bytes, 8, types.goaway, 0, 0);
  bytes.writeUInt32BE(lastStream, frameHeaderSize);
  bytes.writeUInt32BE(code, frameHeaderSize + 4);
  return bytes;
}

function withNumber(type: number, stream: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderSize + 4);
  writeFrameHeader(bytes, 4, type, 0, stream);
  bytes.writeUInt32BE(value, frameHeaderSize);
  return bytes;
}

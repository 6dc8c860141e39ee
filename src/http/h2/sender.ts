import type { Output } from "../h1/output.ts";
import type { Headers } from "../headers.ts";
import { trailerBlock } from "./encode.ts";
import { flags, frameHeader, frameHeaderSize, maxFrameSize, types, writeFrameHeader } from "./frames.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import type { Stream } from "./stream.ts";

/** Windows have this size until somebody says otherwise (RFC 9113 section 6.9.2). */
export const standardWindow = 65_535;
/** DATA frames are no longer than this, however much the peer takes: other streams want to send too. */
const longestData = 64 * 1024;

/**
 * The messages that go out on one connection, as fast as the peer's windows and the socket allow (RFC 9113 section
 * 5.2): where streams have to wait, each sends a frame in turn.
 */
export class Sender {
  readonly encoder = new HpackEncoder();
  readonly #output: Output;
  readonly #onData: () => void;
  /** Streams that wait for the connection's window, or for the socket. */
  readonly #blocked = new Set<Stream>();
  /** Window of the connection, in bytes. */
  window = standardWindow;
  /** Window that new streams have. */
  streamWindow = standardWindow;
  #frameSize: number = maxFrameSize;
  #ready = true;
  #pumping = false;

  /** @param onData told of every DATA frame */
  constructor(output: Output, onData: () => void) {
    this.#output = output;
    this.#onData = onData;
  }

  /** Whether the socket takes more. */
  get writable(): boolean {
    return this.#ready;
  }

  /** Streams wait for the connection's window or for the socket. */
  get contended(): boolean {
    return this.#blocked.size > 0;
  }

  /** Sends a block made by the encoder, which has room for a frame's header in front. */
  sendBlock(stream: Stream, block: Buffer, end: boolean): void {
    const room = this.#frameSize;
    const length = block.length - frameHeaderSize;
    const endFlag = end ? flags.endStream : 0;
    stream.bytesOut += block.length;
    if (length <= room) {
      writeFrameHeader(block, length, types.headers, flags.endHeaders | endFlag, stream.id);
      this.#send(block);
      return;
    }
    writeFrameHeader(block, room, types.headers, endFlag, stream.id);
    this.#send(block.subarray(0, frameHeaderSize + room));
    for (let at = frameHeaderSize + room; at < block.length; at += room) {
      const piece = block.subarray(at, at + room);
      const last = at + room >= block.length ? flags.endHeaders : 0;
      this.#send(frameHeader(piece.length, types.continuation, last, stream.id));
      this.#send(piece);
    }
  }

  /** @returns how many bytes went out: as many as windows and the socket allow, and no more than `atMost` */
  sendData(stream: Stream, bytes: Uint8Array, atMost: number): number {
    const limit = Math.min(bytes.length, atMost);
    let sent = 0;
    while (sent < limit && this.#ready) {
      const most = Math.min(this.#frameSize, stream.sendWindow, this.window);
      const size = Math.min(limit - sent, most);
      if (size <= 0) break;
      this.#send(frameHeader(size, types.data, 0, stream.id));
      this.#send(size === bytes.length ? bytes : bytes.subarray(sent, sent + size));
      sent += size;
      stream.sendWindow -= size;
      this.window -= size;
      stream.bytesOut += size + frameHeaderSize;
      this.#onData();
    }
    return sent;
  }

  sendEnd(stream: Stream, trailers: Headers | undefined): void {
    const block = trailers === undefined ? undefined : trailerBlock(this.encoder, trailers);
    if (block !== undefined) this.sendBlock(stream, block, true);
    else {
      stream.bytesOut += frameHeaderSize;
      this.#send(frameHeader(0, types.data, flags.endStream, stream.id));
    }
  }

  /** A stream has bytes that wait, or waits for the socket. */
  onBlocked(stream: Stream): void {
    if (stream.sendWindow > 0 || !stream.blocked) this.#blocked.add(stream);
    this.#pump();
  }

  forget(stream: Stream): void {
    this.#blocked.delete(stream);
  }

  /** @param stream `undefined` for the connection */
  onWindowUpdate(stream: Stream | undefined, increment: number): void {
    if (stream === undefined) this.window += increment;
    else {
      stream.sendWindow += increment;
      if (stream.blocked) this.#blocked.add(stream);
    }
    this.#pump();
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE holds for streams that are open too (RFC 9113 section 6.9.2). */
  setStreamWindow(size: number, open: Iterable<Stream>): void {
    const change = size - this.streamWindow;
    this.streamWindow = size;
    for (const stream of open) {
      stream.sendWindow += change;
      if (stream.blocked) this.#blocked.add(stream);
    }
    this.#pump();
  }

  setFrameSize(size: number): void {
    this.#frameSize = Math.min(size, longestData);
  }

  /** The socket took what waited. */
  onDrain(): void {
    this.#ready = true;
    this.#pump();
  }

  #send(bytes: Uint8Array): void {
    this.#ready = this.#output.write(bytes);
  }

  /** Sends what waits for as long as there is room. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#pumpOnce());
    } finally {
      this.#pumping = false;
    }
  }

  /** A frame of each stream. @returns whether anything was sent */
  #pumpOnce(): boolean {
    let moved = false;
    for (const stream of this.#blocked) {
      if (!this.#ready) return false;
      const before = stream.bytesOut;
      const more = stream.flush(maxFrameSize);
      moved ||= stream.bytesOut > before;
      // One that waits for its own window is in nobody's way.
      if (!more || stream.sendWindow <= 0) this.#blocked.delete(stream);
      if (!more) stream.resume();
    }
    return moved;
  }
}

import type { Socket } from "node:net";
import { Output } from "../h1/output.ts";
import type { Headers } from "../headers.ts";
import { trailerBlock } from "./encode.ts";
import { codes, SessionError, StreamError } from "./errors.ts";
import type { FieldList } from "./fields.ts";
import {
  clientPreface,
  flags,
  frameHeader,
  frameHeaderSize,
  goawayFrame,
  maxFrameSize,
  pingFrame,
  rstStreamFrame,
  settings as settingIds,
  settingsFrame,
  types,
  windowUpdateFrame,
  writeFrameHeader,
} from "./frames.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { Receiver } from "./receiver.ts";
import { type H2Limits, hpackTableSize, streamWindow } from "./limits.ts";
import { Stream, type StreamEnd, type StreamOwner } from "./stream.ts";

/** Whoever runs a session: the server's or the client's side of it. */
export interface SessionHandler {
  /** The client's request; ends in `adopt`, `refuse` or `ignore`. Servers only. */
  onStream(id: number, list: FieldList, end: boolean): void;
  /** The peer's SETTINGS have arrived. */
  onSettings(): void;
  /** The peer opens no more streams, or takes no more. Streams over `last` were cut already. */
  onGoaway(last: number): void;
  /** No stream is left. */
  onIdle(): void;
  /** The socket took what waited, so the peer is alive. */
  onDrain(): void;
  /** An acknowledgement of our PING. */
  onPong(): void;
  /** The connection ended by a fault of the peer; its streams are cut, and it closes. */
  onFault(error: SessionError): void;
  /** The socket is closed. Called once, after the streams were cut. */
  onClose(): void;
}

export interface SessionOptions {
  readonly role: "server" | "client";
  readonly limits: H2Limits;
  /** SETTINGS besides those that are the same for both sides. */
  readonly settings: readonly (readonly [setting: number, value: number])[];
  /** Bytes of flow control for the whole connection. */
  readonly window: number;
  /**
   * When the connection's window opens again. `receipt`: a stream that nobody reads does not hold up the others, and
   * each may hold its own window; `consumption`: all streams together hold no more than `window`.
   */
  readonly credit: "receipt" | "consumption";
}

const standardWindow = 65_535;
/** DATA frames are no longer than this, however much the peer takes: other streams want to send too. */
const longestData = 64 * 1024;

/**
 * One HTTP/2 connection, either side (RFC 9113): what is sent, the streams, and flow control. What arrives is taken
 * apart by the {@link Receiver}.
 */
export class Session {
  readonly socket: Socket;
  readonly output: Output;
  readonly encoder = new HpackEncoder();
  readonly options: SessionOptions;
  readonly handler: SessionHandler;
  readonly streams = new Map<number, Stream>();
  /** Bytes after which a stream's window is opened again. */
  readonly creditStep = streamWindow / 2;
  /** Highest stream that this side has opened. */
  lastOwnStream = 0;
  /** Streams that the peer takes at a time; it has not said before its SETTINGS, and 100 is what the RFC hopes for. */
  peerMaxStreams = 100;
  /** The peer takes extended CONNECT (RFC 8441). */
  peerConnectProtocol = false;
  readonly #receiver: Receiver;
  readonly #blocked = new Set<Stream>();
  #sendWindow = standardWindow;
  #streamSendWindow = standardWindow;
  #peerFrameSize: number = maxFrameSize;
  #receiveWindow: number;
  #credit = 0;
  #ready = true;
  #pumping = false;
  /** GOAWAY with an error was sent, or the socket is closed: nothing that arrives means anything. */
  #dead = false;
  #closed = false;

  constructor(socket: Socket, options: SessionOptions, handler: SessionHandler) {
    this.socket = socket;
    this.options = options;
    this.handler = handler;
    this.output = new Output(socket);
    this.#receiver = new Receiver(this);
    this.#receiveWindow = options.window;
    if (options.role === "client") this.output.write(clientPreface);
    this.output.write(
      settingsFrame([
        [settingIds.headerTableSize, hpackTableSize],
        [settingIds.initialWindowSize, streamWindow],
        [settingIds.maxHeaderListSize, options.limits.maxHeaderBytes],
        ...options.settings,
      ]),
    );
    if (options.window > standardWindow) this.openWindow(0, options.window - standardWindow);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    // "close" follows and says all there is to say.
    socket.on("error", () => {});
    socket.on("close", this.#onClose);
  }

  /** Part of a header block, or of a frame that is not DATA, has arrived. */
  get midMessage(): boolean {
    return this.#receiver.midMessage;
  }

  /** Whether the socket takes more. */
  get writable(): boolean {
    return this.#ready;
  }

  /** Nothing can be sent or received any more. */
  get dead(): boolean {
    return this.#dead || this.socket.destroyed;
  }

  /** Highest stream that the peer has opened. */
  get lastPeerStream(): number {
    return this.#receiver.lastPeerStream;
  }

  /** Bytes that arrived. */
  get bytesIn(): number {
    return this.#receiver.bytesIn;
  }

  /** Registers a stream that the peer or this side has opened. */
  adopt(id: number, owner: StreamOwner, remoteEnded: boolean): Stream {
    const stream = new Stream(this, id, owner, this.#streamSendWindow, streamWindow);
    stream.remoteEnded = remoteEnded;
    this.streams.set(id, stream);
    return stream;
  }

  /** Resets a stream that was not adopted. */
  refuse(id: number, code: number): void {
    this.#receiver.remember(id, true);
    this.output.write(rstStreamFrame(id, code));
  }

  /** Whatever comes for a stream that was not adopted is passed over. */
  ignore(id: number): void {
    this.#receiver.remember(id, true);
  }

  /** One reset more that the peer had a hand in (CVE-2023-44487, CVE-2025-8671). */
  countReset(): void {
    this.#receiver.countReset();
  }

  goaway(last: number, code: number): void {
    this.output.write(goawayFrame(last, code));
  }

  ping(payload: Buffer, ack = false): void {
    this.output.write(pingFrame(payload, ack));
  }

  /** Closes an idle or a broken connection: what was written goes out first. */
  close(): void {
    this.#dead = true;
    this.output.flush();
    this.socket.end();
    // Data that is not read would turn the close into a reset, which can overtake what was written.
    this.socket.resume();
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#dead = true;
    this.socket.destroy();
  }

  /** Ends the connection for a fault of the peer (RFC 9113 section 5.4.1). */
  fail(error: SessionError): void {
    if (this.#dead) return;
    this.goaway(this.lastPeerStream, error.code);
    this.#dead = true;
    this.#cutAll({ code: error.code, fault: true, unprocessed: false, message: error.message });
    this.handler.onFault(error);
    this.close();
  }

  // Streams send through it.

  sendBlock(stream: Stream, block: Buffer, end: boolean): void {
    const room = this.#peerFrameSize;
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
      const most = Math.min(this.#peerFrameSize, stream.sendWindow, this.#sendWindow);
      const size = Math.min(limit - sent, most);
      if (size <= 0) break;
      this.#send(frameHeader(size, types.data, 0, stream.id));
      this.#send(size === bytes.length ? bytes : bytes.subarray(sent, sent + size));
      sent += size;
      stream.sendWindow -= size;
      this.#sendWindow -= size;
      stream.bytesOut += size + frameHeaderSize;
      this.#receiver.allowUpdates();
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

  openWindow(stream: number, increment: number): void {
    this.output.write(windowUpdateFrame(stream, increment));
  }

  resetStream(stream: Stream, code: number): void {
    stream.bytesOut += frameHeaderSize + 4;
    this.output.write(rstStreamFrame(stream.id, code));
    this.closeStream(stream, true);
  }

  /** Forgets a stream that is over. */
  closeStream(stream: Stream, wasReset = false): void {
    if (stream.closed) return;
    stream.closed = true;
    this.streams.delete(stream.id);
    this.#blocked.delete(stream);
    this.#receiver.remember(stream.id, wasReset);
    this.onConsumed(stream.unconsumed);
    if (this.streams.size === 0 && !this.#dead) this.handler.onIdle();
  }

  onBlocked(stream: Stream): void {
    this.#blocked.add(stream);
  }

  onConsumed(bytes: number): void {
    if (this.options.credit === "consumption") this.#giveBack(bytes);
  }

  // The receiver tells what arrived.

  /** @throws {SessionError} when the peer sends more than it was allowed to */
  onReceived(bytes: number): void {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) {
      throw new SessionError(codes.flowControlError, "more data than the connection's window allows");
    }
    if (this.options.credit === "receipt") this.#giveBack(bytes);
  }

  /** Bytes for a stream that is not there any more. */
  onPassedOver(bytes: number): void {
    this.onConsumed(bytes);
  }

  onWindowUpdate(stream: Stream | undefined, increment: number): void {
    if (stream === undefined) this.#sendWindow += increment;
    else stream.sendWindow += increment;
    this.#pump();
  }

  get sendWindow(): number {
    return this.#sendWindow;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE holds for streams that are open too (RFC 9113 section 6.9.2). */
  setStreamSendWindow(size: number): void {
    const change = size - this.#streamSendWindow;
    this.#streamSendWindow = size;
    for (const stream of this.streams.values()) stream.sendWindow += change;
    this.#pump();
  }

  setPeerFrameSize(size: number): void {
    this.#peerFrameSize = Math.min(size, longestData);
  }

  /**
   * A stream is over because the peer, or its fault, ended it.
   * @param wasReset this side has reset it, so the peer may have sent more in the meantime
   */
  cut(stream: Stream, end: StreamEnd, wasReset = false): void {
    this.closeStream(stream, wasReset);
    stream.owner.onCut(end);
  }

  /** Resets a stream for a fault of the peer. */
  faultStream(stream: Stream, error: StreamError): void {
    this.countReset();
    if (stream.closed) return;
    this.output.write(rstStreamFrame(stream.id, error.code));
    this.cut(stream, { code: error.code, fault: true, unprocessed: false, message: error.message }, true);
  }

  #giveBack(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit < this.options.window / 2 || this.#dead) return;
    this.#receiveWindow += this.#credit;
    this.openWindow(0, this.#credit);
    this.#credit = 0;
  }

  #send(bytes: Uint8Array): void {
    this.#ready = this.output.write(bytes);
  }

  /** Sends what waits, a frame of each stream in turn, for as long as there is room. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let moved = true; moved; ) {
      moved = false;
      for (const stream of this.#blocked) {
        if (!this.#ready) break;
        if (stream.closed) continue;
        const before = stream.bytesOut;
        const more = stream.flush(maxFrameSize);
        moved ||= stream.bytesOut > before;
        if (more) continue;
        this.#blocked.delete(stream);
        stream.resume();
      }
    }
    this.#pumping = false;
  }

  #cutAll(end: StreamEnd): void {
    for (const stream of this.streams.values()) this.cut(stream, end);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#dead) return;
    try {
      this.#receiver.execute(chunk);
    } catch (error) {
      if (error instanceof SessionError) this.fail(error);
      else {
        this.destroy();
        throw error;
      }
    }
  };

  readonly #onEnd = (): void => {
    // A peer that closes its side can neither acknowledge nor open a window: what it asked for has no reader.
    if (this.#dead) return;
    this.#dead = true;
    this.#cutAll(connectionClosed);
    this.socket.end();
  };

  readonly #onDrain = (): void => {
    this.#ready = true;
    this.#pump();
    this.handler.onDrain();
  };

  readonly #onClose = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.#dead = true;
    this.#cutAll(connectionClosed);
    this.handler.onClose();
  };
}

const connectionClosed: StreamEnd = {
  code: undefined,
  unprocessed: false,
  message: "the connection was closed",
};

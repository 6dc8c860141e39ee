import type { Socket } from "node:net";
import { Output } from "../h1/output.ts";
import { codes, SessionError, StreamError } from "./errors.ts";
import type { FieldList } from "./fields.ts";
import {
  clientPreface,
  frameHeaderSize,
  goawayFrame,
  pingFrame,
  rstStreamFrame,
  settings as settingIds,
  settingsFrame,
  windowUpdateFrame,
} from "./frames.ts";
import { Receiver } from "./receiver.ts";
import { type H2Limits, hpackTableSize, streamWindow } from "./limits.ts";
import { Sender, standardWindow } from "./sender.ts";
import { Stream, type StreamEnd, type StreamOwner } from "./stream.ts";

/** Whoever runs a session: the server's or the client's side of it. */
export interface SessionHandler {
  /** The client's request; ends in `adopt`, `refuse` or `ignore`. Servers only. */
  onStream(id: number, list: FieldList, end: boolean): void;
  /** The peer's SETTINGS have arrived. */
  onSettings(): void;
  /** The peer opens no more streams, or takes no more. Streams over `last` are cut next. */
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

/**
 * One HTTP/2 connection, either side (RFC 9113): what is sent, the streams, and flow control. What arrives is taken
 * apart by the {@link Receiver}.
 */
export class Session {
  readonly socket: Socket;
  readonly output: Output;
  readonly sender: Sender;
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
  /** A server's GOAWAY said that it wants HTTP/1.1 instead: what it leaves unanswered, it left for that (RFC 9113 section 7). */
  http11Required = false;
  readonly #receiver: Receiver;
  #receiveWindow: number;
  #credit = 0;
  /** GOAWAY with an error was sent, or the socket is closed: nothing that arrives means anything. */
  #dead = false;
  #closed = false;

  constructor(socket: Socket, options: SessionOptions, handler: SessionHandler) {
    this.socket = socket;
    this.options = options;
    this.handler = handler;
    this.output = new Output(socket);
    this.sender = new Sender(this.output, () => this.#receiver.allowUpdates());
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
    const stream = new Stream(this, id, owner, this.sender.streamWindow, streamWindow);
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
    this.sender.forget(stream);
    this.#receiver.remember(stream.id, wasReset);
    this.onConsumed(stream.unconsumed);
    if (this.streams.size === 0 && !this.#dead) this.handler.onIdle();
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
    this.#cutAll(this.http11Required ? closedForHttp11 : connectionClosed);
    this.socket.end();
  };

  readonly #onDrain = (): void => {
    this.sender.onDrain();
    this.handler.onDrain();
  };

  readonly #onClose = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    this.#dead = true;
    this.#cutAll(this.http11Required ? closedForHttp11 : connectionClosed);
    this.handler.onClose();
  };
}

const connectionClosed: StreamEnd = {
  code: undefined,
  unprocessed: false,
  message: "the connection was closed",
};

const closedForHttp11: StreamEnd = { ...connectionClosed, code: codes.http11Required };

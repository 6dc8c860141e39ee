import { codes, malformed, SessionError, StreamError } from "./errors.ts";
import type { FieldList } from "./fields.ts";
import {
  clientPreface,
  flags,
  type FrameHandler,
  FrameReader,
  frameHeaderSize,
  largest31,
  settings,
  settingsAck,
  types,
} from "./frames.ts";
import { HeaderBlocks } from "./header-blocks.ts";
import { maxControlFrames, Rate } from "./limits.ts";
import type { Session } from "./session.ts";
import type { Stream } from "./stream.ts";

/** Streams that ended lately, for frames that were on their way (RFC 9113 section 5.1). */
const maxRemembered = 256;

/** Takes apart what arrives on a session, and holds the peer to the rules (RFC 9113 sections 5 and 6). */
export class Receiver implements FrameHandler {
  lastPeerStream = 0;
  bytesIn = 0;
  readonly #session: Session;
  readonly #reader = new FrameReader(this);
  readonly #blocks: HeaderBlocks;
  readonly #control = new Rate(maxControlFrames);
  readonly #resets: Rate;
  /** Ids of streams that ended; true where this side has reset them. */
  readonly #ended = new Map<number, boolean>();
  #prefaceBytes = 0;
  #settingsSeen = false;

  constructor(session: Session) {
    this.#session = session;
    this.#blocks = new HeaderBlocks(session.options.limits, (id, list, end) => this.#onBlock(id, list, end));
    const isServer = session.options.role === "server";
    this.#resets = new Rate(isServer ? session.options.limits.maxResets : Number.POSITIVE_INFINITY);
    if (!isServer) this.#prefaceBytes = clientPreface.length;
  }

  get midMessage(): boolean {
    return this.#blocks.open !== undefined || this.#reader.midFrame || !this.#settingsSeen;
  }

  /** @throws {SessionError} */
  execute(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    const from = this.#prefaceBytes < clientPreface.length ? this.#preface(chunk) : 0;
    if (from < chunk.length) this.#reader.execute(from === 0 ? chunk : chunk.subarray(from));
  }

  /** Remembers the id of a stream that ended. */
  remember(id: number, wasReset: boolean): void {
    this.#ended.set(id, wasReset);
    if (this.#ended.size <= maxRemembered) return;
    for (const oldest of this.#ended.keys()) {
      this.#ended.delete(oldest);
      return;
    }
  }

  /** Data was sent, which the peer may open windows for. */
  allowUpdates(): void {
    this.#control.allow(2);
  }

  countReset(): void {
    if (!this.#resets.count()) throw tooMuch("streams are reset too often");
  }

  onData(id: number, bytes: Buffer, flow: number, end: boolean, first: boolean): void {
    this.#checkOrder(types.data, id);
    if (id === 0) throw protocolError("DATA without a stream");
    if (first && flow === 0 && !end) this.#countControl();
    const session = this.#session;
    session.onReceived(flow);
    const stream = session.streams.get(id);
    if (stream === undefined || stream.remoteEnded) {
      session.onPassedOver(flow);
      if (stream === undefined) this.#onLateFrame(id);
      else
        session.faultStream(stream, new StreamError(codes.streamClosed, "DATA behind the end of the stream"));
      return;
    }
    stream.bytesIn += flow + (first ? frameHeaderSize : 0);
    stream.receiveWindow -= flow;
    if (stream.receiveWindow < 0) {
      const error = new StreamError(codes.flowControlError, "more data than the stream's window allows");
      session.onPassedOver(flow);
      session.faultStream(stream, error);
      return;
    }
    stream.unconsumed += flow;
    stream.consumed(flow - bytes.length);
    try {
      if (bytes.length > 0) stream.owner.onBytes(bytes);
      if (!end || stream.closed) return;
      stream.remoteEnded = true;
      stream.owner.onEnd();
    } catch (error) {
      this.#onFault(stream, error);
    }
    this.#closeIfDone(stream);
  }

  onFrame(type: number, bits: number, id: number, payload: Buffer): void {
    this.#checkOrder(type, id);
    if (type === types.settings && !this.#settingsSeen && (bits & flags.ack) === 0) this.#settingsSeen = true;
    else if (!this.#settingsSeen) throw protocolError("the first frame is not SETTINGS");
    switch (type) {
      case types.headers:
        this.#blocks.onHeaders(bits, id, payload);
        break;
      case types.continuation:
        this.#blocks.onContinuation(bits, payload);
        break;
      case types.rstStream:
        this.#onRstStream(id, payload);
        break;
      case types.settings:
        this.#onSettings(bits, id, payload);
        break;
      case types.ping:
        this.#onPing(bits, id, payload);
        break;
      case types.goaway:
        this.#onGoaway(id, payload);
        break;
      case types.windowUpdate:
        this.#onWindowUpdate(id, payload);
        break;
      case types.pushPromise:
        throw protocolError("PUSH_PROMISE, which nobody may send here");
      case types.priority:
        this.#countControl();
        this.#onPriority(id, payload);
        break;
      default:
        // Extensions are passed over (RFC 9113 section 5.5).
        this.#countControl();
    }
  }

  #preface(chunk: Buffer): number {
    const from = this.#prefaceBytes;
    const to = Math.min(clientPreface.length, from + chunk.length);
    if (clientPreface.compare(chunk, 0, to - from, from, to) !== 0) {
      throw protocolError("the connection does not begin with the preface of HTTP/2");
    }
    this.#prefaceBytes = to;
    return to - from;
  }

  /** Nothing may come between the frames of a header block (RFC 9113 section 4.3). */
  #checkOrder(type: number, id: number): void {
    const open = this.#blocks.open;
    if (open === undefined || (type === types.continuation && id === open)) return;
    throw protocolError("a frame in the middle of a header block");
  }

  /** A whole header block: a request, a response or trailers. */
  #onBlock(id: number, list: FieldList, end: boolean): void {
    const session = this.#session;
    const stream = session.streams.get(id);
    if (stream !== undefined) {
      stream.bytesIn += list.wireSize;
      if (stream.remoteEnded) {
        session.faultStream(
          stream,
          new StreamError(codes.streamClosed, "HEADERS behind the end of the stream"),
        );
        return;
      }
      if (end) stream.remoteEnded = true;
      try {
        stream.owner.onFields(list, end);
      } catch (error) {
        this.#onFault(stream, error);
      }
      this.#closeIfDone(stream);
      return;
    }
    if (session.options.role === "server" && id > this.lastPeerStream) {
      if (id % 2 === 0) throw protocolError("a client's stream with an even number");
      this.lastPeerStream = id;
      session.handler.onStream(id, list, end);
      return;
    }
    const wasReset = this.#ended.get(id);
    if (wasReset === true) return;
    if (wasReset === false) throw new SessionError(codes.streamClosed, "HEADERS on a stream that has ended");
    throw protocolError("HEADERS on a stream that was never opened");
  }

  /** A frame for a stream that is closed, or was never opened. */
  #onLateFrame(id: number): void {
    if (this.#isIdle(id)) throw protocolError("a frame on a stream that was never opened");
    if (this.#ended.get(id) === true) return;
    this.countReset();
    this.#session.refuse(id, codes.streamClosed);
  }

  #isIdle(id: number): boolean {
    if (this.#session.options.role === "server") return id > this.lastPeerStream || id % 2 === 0;
    return id % 2 === 0 || id > this.#session.lastOwnStream;
  }

  #onRstStream(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new SessionError(codes.frameSizeError, "RST_STREAM of a wrong size");
    if (id === 0 || this.#isIdle(id)) throw protocolError("RST_STREAM on a stream that was never opened");
    const stream = this.#session.streams.get(id);
    if (stream === undefined) {
      this.#countControl();
      return;
    }
    const code = payload.readUInt32BE(0);
    stream.bytesIn += frameHeaderSize + 4;
    const message = `the stream was reset (${code})`;
    const unprocessed = code === codes.refusedStream || code === codes.http11Required;
    this.#session.cut(stream, { code, unprocessed, message });
    this.countReset();
  }

  #onSettings(bits: number, id: number, payload: Buffer): void {
    if (id !== 0) throw protocolError("SETTINGS on a stream");
    if ((bits & flags.ack) !== 0) {
      if (payload.length > 0)
        throw new SessionError(codes.frameSizeError, "an acknowledgement with a payload");
      return;
    }
    if (payload.length % 6 !== 0) throw new SessionError(codes.frameSizeError, "SETTINGS of a wrong size");
    this.#countControl();
    for (let at = 0; at < payload.length; at += 6) {
      this.#setting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    this.#session.output.write(settingsAck());
    this.#session.handler.onSettings();
  }

  #setting(setting: number, value: number): void {
    const session = this.#session;
    switch (setting) {
      case settings.headerTableSize:
        session.sender.encoder.setTableSize(value);
        break;
      case settings.enablePush:
        if (value > (session.options.role === "server" ? 1 : 0)) throw protocolError("a wrong ENABLE_PUSH");
        break;
      case settings.maxConcurrentStreams:
        session.peerMaxStreams = value;
        break;
      case settings.initialWindowSize:
        if (value > largest31) throw flowError("an initial window that is too large");
        for (const stream of session.streams.values()) {
          if (stream.sendWindow + value > largest31 * 2) throw flowError("a window that is too large");
        }
        session.sender.setStreamWindow(value, session.streams.values());
        break;
      case settings.maxFrameSize:
        if (value < 16_384 || value > 16_777_215) throw protocolError("a wrong MAX_FRAME_SIZE");
        session.sender.setFrameSize(value);
        break;
      case settings.enableConnectProtocol:
        if (value > 1) throw protocolError("a wrong ENABLE_CONNECT_PROTOCOL");
        session.peerConnectProtocol = value === 1;
        break;
      default:
    }
  }

  #onPing(bits: number, id: number, payload: Buffer): void {
    if (id !== 0) throw protocolError("PING on a stream");
    if (payload.length !== 8) throw new SessionError(codes.frameSizeError, "PING of a wrong size");
    if ((bits & flags.ack) !== 0) {
      this.#session.handler.onPong();
      return;
    }
    this.#countControl();
    this.#session.ping(payload, true);
  }

  #onGoaway(id: number, payload: Buffer): void {
    if (id !== 0) throw protocolError("GOAWAY on a stream");
    if (payload.length < 8) throw new SessionError(codes.frameSizeError, "GOAWAY of a wrong size");
    this.#countControl();
    const last = payload.readUInt32BE(0) & largest31;
    const session = this.#session;
    // First, so that what is sent again is not sent here.
    session.handler.onGoaway(last);
    if (session.options.role === "server") return;
    session.http11Required ||= payload.readUInt32BE(4) === codes.http11Required;
    const code = session.http11Required ? codes.http11Required : codes.refusedStream;
    for (const stream of session.streams.values()) {
      if (stream.id <= last) continue;
      const message = "the connection is going away";
      session.cut(stream, { code, unprocessed: true, message }, true);
    }
  }

  #onWindowUpdate(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new SessionError(codes.frameSizeError, "WINDOW_UPDATE of a wrong size");
    this.#countControl();
    const increment = payload.readUInt32BE(0) & largest31;
    const session = this.#session;
    if (id === 0) {
      if (increment === 0) throw protocolError("a window opened by nothing");
      if (session.sender.window + increment > largest31) throw flowError("a window that is too large");
      session.sender.onWindowUpdate(undefined, increment);
      return;
    }
    if (this.#isIdle(id)) throw protocolError("WINDOW_UPDATE on a stream that was never opened");
    const stream = session.streams.get(id);
    if (stream === undefined) return;
    if (increment === 0) session.faultStream(stream, malformed("a window opened by nothing"));
    else if (stream.sendWindow + increment > largest31) {
      session.faultStream(stream, new StreamError(codes.flowControlError, "a window that is too large"));
    } else session.sender.onWindowUpdate(stream, increment);
  }

  /** Priorities are not followed (RFC 9113 section 5.3.2), only checked. */
  #onPriority(id: number, payload: Buffer): void {
    if (id === 0) throw protocolError("PRIORITY without a stream");
    if (payload.length !== 5) throw new SessionError(codes.frameSizeError, "PRIORITY of a wrong size");
    if ((payload.readUInt32BE(0) & largest31) === id) throw protocolError("a stream that depends on itself");
  }

  /** What the owner of a stream finds wrong with it ends the stream; anything else is not ours to swallow. */
  #onFault(stream: Stream, error: unknown): void {
    if (!(error instanceof StreamError)) throw error;
    this.#session.faultStream(stream, error);
  }

  #closeIfDone(stream: Stream): void {
    if (stream.remoteEnded && stream.localEnded) this.#session.closeStream(stream);
  }

  #countControl(): void {
    if (!this.#control.count()) throw tooMuch("too many frames without a message");
  }
}

function protocolError(message: string): SessionError {
  return new SessionError(codes.protocolError, message);
}

function flowError(message: string): SessionError {
  return new SessionError(codes.flowControlError, message);
}

function tooMuch(message: string): SessionError {
  return new SessionError(codes.enhanceYourCalm, message);
}

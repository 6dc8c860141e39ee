import type { Headers } from "../headers.ts";
import type { FieldList } from "./fields.ts";
import type { Session } from "./session.ts";

/** Why a stream ended before it was complete. */
export interface StreamEnd {
  /** Error code of RST_STREAM or GOAWAY; `undefined` when the connection went away. */
  readonly code: number | undefined;
  /** This side found that the peer broke the rules. */
  readonly fault?: boolean;
  /** The peer has surely not looked at it: it may be sent again (RFC 9113 section 8.7). */
  readonly unprocessed: boolean;
  /** For the audit. */
  readonly message: string;
}

/** Whoever a stream belongs to: an exchange on either side. */
export interface StreamOwner {
  /** A header block: the response's, or trailers. What it throws as StreamError resets the stream. */
  onFields(list: FieldList, end: boolean): void;
  /** Bytes of the peer's body. Whoever has dealt with them calls {@link Stream.consumed}. */
  onBytes(bytes: Buffer): void;
  /** The peer's message is complete, without trailers. */
  onEnd(): void;
  /** The stream takes bytes again after `write` answered false. */
  onWritable(): void;
  /** All that was written, and the end, are on their way. */
  onSent(): void;
  /** The stream was cut by the peer, by a fault of its, or with the connection. Nothing follows. */
  onCut(end: StreamEnd): void;
}

/** One stream of a session: what waits to be sent, and what flow control allows either way (RFC 9113 section 5). */
export class Stream {
  readonly id: number;
  /** Whoever has what arrives; a channel once the stream has become one. */
  owner: StreamOwner;
  readonly #session: Session;
  /** Bytes that the peer is ready to take. */
  sendWindow: number;
  /** Bytes that the peer may still send. */
  receiveWindow: number;
  /** Bytes received that nobody has dealt with. */
  unconsumed = 0;
  /** Dealt with, and not yet given back to the peer. */
  #credit = 0;
  /** Our END_STREAM was sent. */
  localEnded = false;
  /** The peer's END_STREAM has arrived. */
  remoteEnded = false;
  closed = false;
  /** `write` answered false. */
  #waits = false;
  /** In `write`, whose caller learns from its answer what happened. */
  #writing = false;
  #queue: Uint8Array[] = [];
  #ending = false;
  #trailers: Headers | undefined;
  #resetAfter: number | undefined;
  #resetInstead = false;
  /** Bytes of frames, headers included. */
  bytesIn = 0;
  bytesOut = 0;

  constructor(session: Session, id: number, owner: StreamOwner, sendWindow: number, receiveWindow: number) {
    this.#session = session;
    this.id = id;
    this.owner = owner;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** Bytes wait for the peer to open a window, or to read. */
  get blocked(): boolean {
    return this.#queue.length > 0;
  }

  /** The owner was told to wait, for a window or for the socket. */
  get stalled(): boolean {
    return this.#waits;
  }

  /** Sends a header block made by the session's encoder. */
  sendFields(block: Buffer, end: boolean): void {
    if (this.closed || this.localEnded) return;
    if (end) this.localEnded = true;
    this.#session.sender.sendBlock(this, block, end);
    if (end) this.#finish();
  }

  /** Sends bytes of the body; false when they wait, or the next ones would. */
  write(bytes: Uint8Array): boolean {
    if (this.closed || this.#ending) return false;
    const { sender } = this.#session;
    // Where others wait this stream waits its turn.
    const turn = this.#queue.length === 0 && !sender.contended;
    const sent = turn ? sender.sendData(this, bytes, Number.POSITIVE_INFINITY) : 0;
    if (sent < bytes.length) this.#queue.push(sent === 0 ? bytes : bytes.subarray(sent));
    if (sent < bytes.length || !sender.writable) {
      this.#waits = true;
      this.#writing = true;
      sender.onBlocked(this);
      this.#writing = false;
    }
    return !this.#waits;
  }

  /**
   * Ends our message when everything before was sent.
   * @param resetAfter then resets the stream, if the peer is still sending: nobody reads that
   */
  end(trailers?: Headers, resetAfter?: number): void {
    if (this.closed || this.#ending || this.localEnded) return;
    this.#ending = true;
    this.#trailers = trailers;
    this.#resetAfter = resetAfter;
    if (this.#queue.length === 0) this.#sendEnd();
  }

  /** Resets the stream when everything before was sent: what was written must not look complete. */
  endWithReset(code: number): void {
    this.#resetInstead = true;
    this.end(undefined, code);
  }

  /** Cuts the stream. Its owner is not told. */
  reset(code: number): void {
    if (!this.closed) this.#session.resetStream(this, code);
  }

  /** Somebody has dealt with so many bytes that arrived: the peer may send as many more. */
  consumed(bytes: number): void {
    // What a closed stream had not dealt with was given back when it was closed.
    if (this.closed || bytes === 0) return;
    this.unconsumed -= bytes;
    this.#session.onConsumed(bytes);
    if (this.remoteEnded) return;
    this.#credit += bytes;
    if (this.#credit < this.#session.creditStep) return;
    this.receiveWindow += this.#credit;
    this.#session.openWindow(this.id, this.#credit);
    this.#credit = 0;
  }

  // The session drives it.

  /**
   * Sends what waits, up to a number of bytes.
   * @returns whether more is left
   */
  flush(atMost: number): boolean {
    const first = this.#queue[0];
    if (first === undefined) return false;
    const sent = this.#session.sender.sendData(this, first, atMost);
    if (sent < first.length) this.#queue[0] = first.subarray(sent);
    else this.#queue.shift();
    if (this.#queue.length > 0) return true;
    if (this.#ending) this.#sendEnd();
    return false;
  }

  /** Tells the owner that it may write again, where it waits for that. */
  resume(): void {
    if (!this.#waits || this.#queue.length > 0) return;
    this.#waits = false;
    if (!this.#ending && !this.#writing) this.owner.onWritable();
  }

  #sendEnd(): void {
    if (this.#resetInstead) {
      this.#session.resetStream(this, this.#resetAfter as number);
      this.owner.onSent();
      return;
    }
    this.localEnded = true;
    this.#session.sender.sendEnd(this, this.#trailers);
    this.#finish();
  }

  #finish(): void {
    const resetAfter = this.#resetAfter;
    if (this.remoteEnded) this.#session.closeStream(this);
    else if (resetAfter !== undefined) this.#session.resetStream(this, resetAfter);
    this.owner.onSent();
  }
}

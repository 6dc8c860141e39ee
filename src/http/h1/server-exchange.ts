import type { Socket } from "node:net";
import { Body, BodyAbortedError, type BodySink, type BodySource } from "../body.ts";
import { Headers } from "../headers.ts";
import type { AnswerHead, Incoming } from "../incoming.ts";
import type { Framing, RequestHead } from "../message.ts";
import type { Channel } from "../channel.ts";
import { socketChannel } from "../socket-channel.ts";
import { H1Error } from "./errors.ts";
import type { ServerConnection } from "./server.ts";
import { chunkHeader, lastChunk, responseHeadText } from "./write.ts";

/** One request on a connection and the place its answer goes. */
export class ServerExchange implements Incoming, BodySource, BodySink {
  readonly head: RequestHead;
  /** Bytes the request's body is announced to have. */
  readonly length: number | undefined;
  readonly #connection: ServerConnection;
  #body: Body | undefined;
  #sink: BodySink | undefined;
  /** Body bytes that arrived before anyone read. */
  #waiting: Buffer[] = [];
  #trailers: Headers | undefined;
  #error: Error | undefined;
  #discarding = false;
  #sentContinue = false;
  /** All of the request has arrived. */
  requestDone: boolean;
  /** The answer is complete. */
  answered = false;
  paused = false;
  /** Its handler knows of it; until then the bytes of one read collect here. */
  announced = false;
  bytesIn: number;
  #answerBody: Body | undefined;
  #framing: Framing = { kind: "none" };
  #answerLeft = 0;
  #close = false;
  #writtenBefore: number;
  /** Called when the client went away before the answer was complete. */
  onAbandoned: (() => void) | undefined;
  /** Called once the answer is complete, or cut because its source failed (`error`). */
  onDone: ((error: Error | undefined) => void) | undefined;

  constructor(connection: ServerConnection, head: RequestHead) {
    this.#connection = connection;
    this.head = head;
    this.length = head.framing.kind === "length" ? head.framing.length : undefined;
    this.requestDone = head.framing.kind === "none" || this.length === 0;
    this.bytesIn = head.size;
    this.#writtenBefore = connection.output.written;
  }

  /** The request's body; one object, made when first asked for. */
  get body(): Body {
    this.#body ??= this.head.framing.kind === "none" || this.length === 0 ? Body.empty() : Body.from(this);
    return this.#body;
  }

  /** Somebody reads the request's body. */
  get reading(): boolean {
    return this.#sink !== undefined;
  }

  /** The request's body turned out malformed or too slow; what to answer instead of a failure of the upstream. */
  get requestError(): H1Error | undefined {
    return this.#error instanceof H1Error ? this.#error : undefined;
  }

  /** Bytes written for this exchange so far. */
  get bytesOut(): number {
    return this.#connection.output.written - this.#writtenBefore;
  }

  get socket(): Socket {
    return this.#connection.socket;
  }

  sendInterim(status: number, reason: string, headers: Headers): void {
    if (this.answered || this.head.version < 11) return;
    if (status === 100) {
      if (this.#sentContinue) return;
      this.#sentContinue = true;
    }
    this.#connection.output.write(responseHeadText(status, reason, headers, { kind: "none" }, undefined));
  }

  respond(answer: AnswerHead, body: Body, close = false): void {
    const framing = answer.framing;
    this.#framing = framing;
    this.#answerBody = body;
    this.#answerLeft = framing.kind === "length" ? framing.length : 0;
    this.#close = close || framing.kind === "close" || this.#connection.mustClose(this);
    const connection = this.#close ? "close" : this.head.version < 11 ? "keep-alive" : undefined;
    const { status, reason, headers, keepsLength } = answer;
    this.#connection.output.write(
      responseHeadText(status, reason, headers, framing, connection, keepsLength),
    );
    if (framing.kind === "none") {
      body.cancel();
      this.end(undefined);
    } else body.pipe(this);
  }

  /** Sends raw text and gives the connection away (CONNECT, 101); bytes read too far are put back into it. */
  takeOver(text: string): Socket {
    this.#connection.output.write(text);
    this.answered = true;
    return this.#connection.release();
  }

  accept(headers: Headers): Channel {
    const head = responseHeadText(101, "Switching Protocols", headers, { kind: "none" }, undefined);
    return socketChannel(this.takeOver(head));
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#connection.destroy();
  }

  // The answer's body comes in here.

  write(bytes: Uint8Array): boolean {
    if (this.answered || bytes.length === 0) return !this.answered;
    const output = this.#connection.output;
    let ready: boolean;
    if (this.#framing.kind === "chunked") {
      output.write(chunkHeader(bytes.length));
      output.write(bytes);
      ready = output.write("\r\n");
    } else {
      if (this.#framing.kind === "length") {
        this.#answerLeft -= bytes.length;
        if (this.#answerLeft < 0) {
          this.abort(new BodyAbortedError("the answer is longer than it announced"));
          return false;
        }
      }
      ready = output.write(bytes);
    }
    if (!ready) this.#connection.touch(true);
    return ready;
  }

  end(trailers: Headers | undefined): void {
    if (this.answered) return;
    if (this.#framing.kind === "chunked") this.#connection.output.write(lastChunk(trailers));
    else if (this.#framing.kind === "length" && this.#answerLeft > 0) {
      this.abort(new BodyAbortedError("the answer is shorter than it announced"));
      return;
    }
    this.answered = true;
    const done = this.onDone;
    this.onDone = undefined;
    this.onAbandoned = undefined;
    done?.(undefined);
    this.#connection.onAnswered(this, this.#close);
  }

  /** The answer can not be completed: the connection is cut, never ended, so that nobody takes it for whole. */
  abort(error: Error): void {
    if (this.answered) return;
    this.answered = true;
    this.onAbandoned = undefined;
    this.#connection.destroy(this.#framing.kind === "close");
    const done = this.onDone;
    this.onDone = undefined;
    done?.(error);
  }

  // The request's body goes out here.

  start(sink: BodySink): void {
    this.#sink = sink;
    if (this.head.expectContinue && !this.#sentContinue && !this.requestDone) {
      this.sendInterim(100, "Continue", noHeaders);
    }
    this.paused = false;
    for (const bytes of this.#waiting.splice(0)) {
      if (!sink.write(bytes)) this.paused = true;
    }
    if (this.#error !== undefined) sink.abort(this.#error);
    else if (this.requestDone) sink.end(this.#trailers);
    else {
      this.#connection.setReading(!this.paused);
      this.#connection.touch(!this.paused);
    }
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#connection.setReading(true);
    this.#connection.touch(true);
  }

  cancel(): void {
    this.discard();
  }

  /** Reads the rest of the request for nobody. */
  discard(): void {
    if (this.requestDone) return;
    this.#discarding = true;
    this.#sink = undefined;
    this.#waiting = [];
    this.paused = false;
    this.#connection.setReading(true);
  }

  // The connection tells what happened.

  onBodyBytes(bytes: Buffer): void {
    this.bytesIn += bytes.length;
    if (this.#discarding) return;
    if (this.#sink === undefined) {
      this.#waiting.push(bytes);
      if (!this.announced) return;
    } else if (this.#sink.write(bytes)) return;
    if (this.paused) return;
    this.paused = true;
    this.#connection.setReading(false);
  }

  onBodyEnd(trailers: Headers | undefined): void {
    if (this.requestDone) return;
    this.requestDone = true;
    this.#trailers = trailers;
    if (this.paused) {
      this.paused = false;
      this.#connection.setReading(true);
    }
    if (!this.#discarding) this.#sink?.end(trailers);
    this.#connection.onRequestDone(this);
  }

  /** The request's body is malformed, too slow, or cut. */
  onBodyError(error: Error): void {
    this.#error = error;
    if (this.#sink !== undefined) this.#sink.abort(error);
    else if (this.#discarding) this.destroy();
  }

  onDrain(): void {
    this.#connection.touch(false);
    if (!this.answered) this.#answerBody?.resume();
  }

  /** The connection is gone. */
  onGone(): void {
    if (!this.answered) {
      const abandoned = this.onAbandoned;
      this.answered = true;
      this.#answerBody?.cancel();
      this.onAbandoned = undefined;
      this.onDone = undefined;
      // First, so that nobody takes what the body's readers meet next for a failure of theirs.
      abandoned?.();
    }
    if (this.requestDone || this.#error !== undefined) return;
    this.#error = new BodyAbortedError("the client closed the connection");
    this.#sink?.abort(this.#error);
  }
}

const noHeaders = new Headers();

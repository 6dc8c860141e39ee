import { Body, BodyAbortedError, type BodySink, type BodySource } from "../body.ts";
import type { Channel } from "../channel.ts";
import type { Timed } from "../h1/deadlines.ts";
import { H1Error } from "../h1/errors.ts";
import { type Answer, drainUpTo } from "../h1/server.ts";
import { Headers } from "../headers.ts";
import type { AnswerHead, Incoming, RequestFault } from "../incoming.ts";
import type { Framing, RequestHead } from "../message.ts";
import { responseBlock } from "./encode.ts";
import { codes, malformed } from "./errors.ts";
import { type FieldList, trailerFields } from "./fields.ts";
import type { H2ServerConnection } from "./server.ts";
import type { Stream, StreamEnd, StreamOwner } from "./stream.ts";

/** One request on a stream and the place its answer goes; a channel once it was accepted as one (RFC 8441). */
export class ServerExchange implements Incoming, BodySource, BodySink, Channel, StreamOwner, Timed {
  deadline = Number.POSITIVE_INFINITY;
  readonly source: BodySource = this;
  readonly sink: BodySink = this;
  onDrain: (() => void) | undefined;
  onAbandoned: (() => void) | undefined;
  onDone: ((error: Error | undefined) => void) | undefined;
  /** Bytes the request's body is announced to have. */
  readonly length: number | undefined;
  readonly #connection: H2ServerConnection;
  readonly #head: RequestHead | undefined;
  #stream!: Stream;
  #announced = false;
  #timed = false;

  #body: Body | undefined;
  #sink: BodySink | undefined;
  /** Body bytes that arrived before anyone read. */
  #waiting: Buffer[] = [];
  /** Bytes of the body that arrived. */
  #received = 0;
  /** Bytes that its reader took, but is not ready for more of. */
  #held = 0;
  #discarding = false;
  #requestDone: boolean;
  #trailers: Headers | undefined;
  #error: Error | undefined;
  #sentContinue = false;

  #answerBody: Body | undefined;
  #framing: Framing = noFraming;
  #answerLeft = 0;
  /** The answer, or the channel, is complete or cut. */
  #over = false;
  #tunnel = false;

  /** @param head `undefined` for a request that is answered without being looked at */
  constructor(connection: H2ServerConnection, head: RequestHead | undefined, end: boolean) {
    this.#connection = connection;
    this.#head = head;
    this.#requestDone = end;
    this.length = head?.framing.kind === "length" ? head.framing.length : undefined;
  }

  get head(): RequestHead {
    return this.#head as RequestHead;
  }

  get body(): Body {
    this.#body ??= this.head.framing.kind === "none" || this.length === 0 ? Body.empty() : Body.from(this);
    return this.#body;
  }

  get bytesIn(): number {
    return this.#stream.bytesIn;
  }

  get bytesOut(): number {
    return this.#stream.bytesOut;
  }

  get requestError(): RequestFault | undefined {
    return this.#error instanceof H1Error ? this.#error : undefined;
  }

  /** Says which stream it is on. */
  open(stream: Stream): void {
    this.#stream = stream;
    stream.bytesIn += this.#head?.size ?? 0;
  }

  /** Its handler is about to know of it; false when it was cut before that. */
  announce(): boolean {
    this.#announced = true;
    if (this.#stream.closed) return false;
    if (!this.#requestDone) this.#watch();
    return true;
  }

  sendInterim(status: number, _reason: string, headers: Headers): void {
    const stream = this.#stream;
    if (this.#over || stream.closed || status === 101 || this.#answerBody !== undefined) return;
    if (status === 100) {
      if (this.#sentContinue) return;
      this.#sentContinue = true;
    }
    stream.sendFields(responseBlock(this.#encoder, status, headers, noFraming), false);
  }

  respond(answer: AnswerHead, body: Body): void {
    const { status, headers, framing, keepsLength } = answer;
    const stream = this.#stream;
    if (this.#over || stream.closed) {
      body.cancel();
      return;
    }
    const block = responseBlock(this.#encoder, status, headers, framing, keepsLength);
    this.#framing = framing;
    this.#answerBody = body;
    this.#answerLeft = framing.kind === "length" ? framing.length : 0;
    if (framing.kind === "none" || (framing.kind === "length" && framing.length === 0 && body.length === 0)) {
      body.cancel();
      if (this.#isFaulty) {
        stream.sendFields(block, false);
        stream.endWithReset(codes.protocolError);
      } else {
        stream.sendFields(block, true);
        if (!this.#requestDone && !this.#isDrainable) stream.reset(codes.noError);
      }
      return;
    }
    stream.sendFields(block, false);
    body.pipe(this);
  }

  /** Gives an answer that was made here to a request that nobody else looks at. */
  answerWhole({ status, reason, headers, body }: Answer): void {
    this.#announced = true;
    const { length } = body;
    const framing = length === 0 ? noFraming : ({ kind: "length", length } as const);
    this.respond({ status, reason, headers, framing }, length === 0 ? Body.empty() : Body.of(body));
  }

  accept(headers: Headers): Channel {
    this.onAbandoned = undefined;
    this.onDone = undefined;
    this.#tunnel = true;
    this.#unwatch();
    if (!this.#stream.closed) {
      this.#stream.sendFields(responseBlock(this.#encoder, 200, headers, noFraming), false);
    }
    return this;
  }

  destroy(): void {
    this.#cut(codes.internalError);
  }

  // The answer's body, or a channel's bytes, come in here.

  write(bytes: Uint8Array): boolean {
    if (this.#over) return false;
    if (bytes.length === 0) return true;
    if (this.#framing.kind === "length") {
      this.#answerLeft -= bytes.length;
      if (this.#answerLeft < 0) {
        this.abort(new BodyAbortedError("the answer is longer than it announced"));
        return false;
      }
    }
    const ready = this.#stream.write(bytes);
    if (!ready) this.#watch();
    return ready;
  }

  end(trailers: Headers | undefined): void {
    if (this.#over) return;
    if (this.#framing.kind === "length" && this.#answerLeft > 0) {
      this.abort(new BodyAbortedError("the answer is shorter than it announced"));
      return;
    }
    if (this.#isFaulty) this.#stream.endWithReset(codes.protocolError);
    // A channel goes on in the other direction. A request whose answer is complete is not read to its end
    // (RFC 9113 section 8.1), unless that is near: curl takes a reset while it is sending for a failure.
    else this.#stream.end(trailers, this.#tunnel || this.#isDrainable ? undefined : codes.noError);
  }

  /** The answer cannot be completed: the stream is reset, so that nobody takes it for whole. */
  abort(error: Error): void {
    if (this.#over) return;
    const done = this.onDone;
    this.onDone = undefined;
    this.#cut(this.#tunnel ? codes.cancel : codes.internalError);
    done?.(error);
  }

  // The request's body goes out here.

  start(sink: BodySink): void {
    this.#sink = sink;
    if (this.head.expectContinue && !this.#requestDone) this.sendInterim(100, "Continue", noHeaders);
    for (const bytes of this.#waiting.splice(0)) this.#pass(sink, bytes);
    if (this.#error !== undefined) sink.abort(this.#error);
    else if (this.#requestDone) sink.end(this.#trailers);
    else this.#watch();
  }

  resume(): void {
    const held = this.#held;
    this.#held = 0;
    this.#stream.consumed(held);
    this.#watch();
  }

  /** Nobody wants the rest of the request. */
  cancel(): void {
    if (this.#tunnel) {
      this.#cut(codes.cancel);
      return;
    }
    this.#discarding = true;
    this.#sink = undefined;
    const unread = this.#waiting.splice(0).reduce((sum, bytes) => sum + bytes.length, this.#held);
    this.#held = 0;
    this.#stream.consumed(unread);
  }

  // The stream tells what happened.

  onFields(list: FieldList, end: boolean): void {
    if (!end) throw malformed("trailers that do not end the stream");
    if (list.tooLarge) throw malformed("trailers that are too large");
    this.#trailers = trailerFields(list, true);
    this.onEnd();
  }

  onBytes(bytes: Buffer): void {
    this.#received += bytes.length;
    if (this.length !== undefined && this.#received > this.length) {
      this.#fault("the body is longer than content-length says");
      this.#stream.consumed(bytes.length);
    } else if (this.#discarding) this.#stream.consumed(bytes.length);
    else if (this.#sink === undefined) this.#waiting.push(bytes);
    else this.#pass(this.#sink, bytes);
    if (this.#announced) this.#watch();
  }

  onEnd(): void {
    if (this.length !== undefined && this.#received < this.length) {
      this.#fault("the body is shorter than content-length says");
      return;
    }
    this.#requestDone = true;
    if (this.#over) this.#unwatch();
    else this.#watch();
    if (!this.#discarding && this.#error === undefined) this.#sink?.end(this.#trailers);
  }

  onWritable(): void {
    this.#watch();
    if (this.#over) return;
    if (this.#tunnel) this.onDrain?.();
    else this.#answerBody?.resume();
  }

  onSent(): void {
    if (this.#tunnel) return;
    this.#over = true;
    this.#unwatch();
    const done = this.onDone;
    this.onDone = undefined;
    this.onAbandoned = undefined;
    if (!this.#requestDone && !this.#stream.closed && this.#isDrainable) {
      this.cancel();
      this.#watch();
    }
    done?.(undefined);
  }

  onCut({ message }: StreamEnd): void {
    this.#unwatch();
    const wasOver = this.#over;
    this.#over = true;
    this.#error ??= new BodyAbortedError(message);
    if (!wasOver) {
      const abandoned = this.onAbandoned;
      this.onAbandoned = undefined;
      this.onDone = undefined;
      this.#answerBody?.cancel();
      // First, so that nobody takes what the body's readers meet next for a failure of theirs.
      abandoned?.();
    }
    // A channel may be cut in one direction after the other has ended.
    if (this.#tunnel || !this.#requestDone) this.#sink?.abort(this.#error);
  }

  onDeadline(): void {
    if (this.#over && this.#discarding) this.#stopReading(codes.noError);
    else if (this.#stream.stalled || this.#over) {
      // The client does not read.
      this.#stream.reset(codes.cancel);
      this.onCut({ code: codes.cancel, unprocessed: false, message: "the client does not read its answer" });
    } else if (!this.#requestDone) {
      this.#fail(new H1Error(408, "request_timeout", "The request body stopped arriving."));
    }
  }

  get #encoder() {
    return this.#connection.session.sender.encoder;
  }

  /** Whether the rest of a request that was answered early is short, and surely on its way (as in HTTP/1.1). */
  get #isDrainable(): boolean {
    if (this.#error !== undefined || this.#head === undefined) return false;
    return !this.#head.expectContinue && (this.length ?? Number.POSITIVE_INFINITY) <= drainUpTo;
  }

  /** The request was malformed after all, and the client has to be told so whatever it was answered. */
  get #isFaulty(): boolean {
    return this.#error instanceof H1Error && this.#error.status === 400;
  }

  #pass(sink: BodySink, bytes: Buffer): void {
    if (sink.write(bytes)) this.#stream.consumed(bytes.length);
    else this.#held += bytes.length;
  }

  #fault(message: string): void {
    this.#connection.session.countReset();
    this.#fail(new H1Error(400, "malformed_request", message));
  }

  /** The request's body cannot be completed: whoever reads it is told, and answers. */
  #fail(error: H1Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    if (this.#sink !== undefined) this.#sink.abort(error);
    else if (this.#over) this.#stopReading(codes.protocolError);
    else if (this.#discarding) this.destroy();
  }

  /** The rest of a request that has its answer is not waited for any longer. */
  #stopReading(code: number): void {
    this.#unwatch();
    this.#stream.reset(code);
  }

  #cut(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#unwatch();
    this.onAbandoned = undefined;
    this.#answerBody?.cancel();
    this.#stream.reset(code);
  }

  /** Says what the client is waited for with, if with anything: the rest of its request, or that it reads. */
  #watch(): void {
    const { options } = this.#connection;
    const readsRequest = !this.#requestDone && this.#held === 0 && this.#error === undefined;
    const waits = !this.#tunnel && (this.#stream.stalled || readsRequest);
    this.deadline = waits ? performance.now() + options.bodyMs : Number.POSITIVE_INFINITY;
    if (!waits || this.#timed) return;
    this.#timed = true;
    options.deadlines.add(this);
  }

  #unwatch(): void {
    if (this.#timed) this.#connection.options.deadlines.delete(this);
    this.#timed = false;
  }
}

const noFraming: Framing = { kind: "none" };
const noHeaders = new Headers();

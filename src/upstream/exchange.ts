import { Body, BodyAbortedError, type BodySink, type BodySource } from "../http/body.ts";
import type { Channel } from "../http/channel.ts";
import type { Headers } from "../http/headers.ts";
import { switchesTo } from "../http/hop-by-hop.ts";
import type { ResponseHead } from "../http/message.ts";
import { UpstreamError } from "./error.ts";
import { failures } from "./failures.ts";
import type { TlsIdentity } from "./identity.ts";
import type { Leg } from "./leg.ts";
import type { UpstreamExchange, UpstreamHandlers, UpstreamRequest, UpstreamTarget } from "./types.ts";

const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
/** 1xx responses to one request; more are an attempt to keep us busy. */
const maxInterim = 64;
/**
 * Bodies up to this size are copied behind their head for one write, larger ones are written in pieces of it: only
 * between two writes can be seen whether the upstream still reads.
 */
const pieceSize = 64 * 1024;

/** One request on its way to an upstream, and its response on the way back. */
export class ClientExchange implements UpstreamExchange, BodySource, BodySink {
  readonly target: UpstreamTarget;
  readonly request: UpstreamRequest;
  /** What TLS is made with, where the host has an identity of its own. */
  identity: TlsIdentity | undefined;
  /** Aborts the dialling that is done for it, where there is any. */
  dialing: AbortController | undefined;
  readonly #handlers: UpstreamHandlers;
  #leg: Leg | undefined;
  #over = false;
  /** In {@link begin}, so probably in `send`, whose caller does not have the exchange yet. */
  #beginning = false;
  #cancelled = false;
  /** It was sent before, in vain. */
  #repeated = false;

  #bodyStarted = false;
  /** All of the request was written. */
  requestDone = false;
  /** Bytes still missing of a body with a length. */
  #left = 0;
  /** Bytes written of a body that is in memory. */
  #position = 0;
  /** The upstream reads too slowly. */
  #blocked = false;
  /** The body waits for 100 (Continue). */
  #waits = false;

  /** Bytes of the response's body, where they are announced. */
  length: number | undefined;
  #head: ResponseHead | undefined;
  /** A final head that nobody was told of yet: the bytes that are being read may hold its body too. */
  #unannounced: ResponseHead | undefined;
  /** A valid 101: the connection gives its socket away and says so with {@link onSwitched}. */
  switching: ResponseHead | undefined;
  #interims = 0;
  #sink: BodySink | undefined;
  /** Body bytes that arrived before anyone read. */
  #waiting: Buffer[] = [];
  #paused = false;
  #ended = false;
  #trailers: Headers | undefined;
  #error: Error | undefined;

  constructor(target: UpstreamTarget, request: UpstreamRequest, handlers: UpstreamHandlers) {
    this.target = target;
    this.request = request;
    this.#handlers = handlers;
  }

  /** Whether its end is decided: failed, cancelled or complete. */
  get over(): boolean {
    return this.#over;
  }

  /** The client went away, or nobody wants the rest of the answer. */
  cancel(): void {
    this.#cancelled = true;
    if (this.#over) return;
    this.#over = true;
    this.#waiting = [];
    this.#stopRequest();
    if (this.#leg) this.#leg.destroy();
    else this.dialing?.abort(new BodyAbortedError("the client went away"));
  }

  // The connection drives it.

  /** Sends the request; its bytes leave at the end of this turn of the event loop. */
  begin(leg: Leg): void {
    this.#leg = leg;
    this.#beginning = true;
    try {
      this.#send(leg);
    } catch (error) {
      this.fail(failures.unsendable(error));
    }
    this.#beginning = false;
    this.#arm();
  }

  /**
   * The connection ended or broke before the response was complete.
   * @param again it may be sent once more: the upstream says that it has not looked at the request, say (RFC 9113
   *   section 8.7)
   */
  onLost(error: UpstreamError, anyByte: boolean, again = false): "retry" | "failed" {
    const stale = this.#leg?.info.reused === true && !anyByte && this.idempotent;
    if ((stale || again) && !this.#repeated && this.#bodyIsWhole && !this.#over) {
      this.#repeated = true;
      this.#leg = undefined;
      this.requestDone = false;
      this.#waits = false;
      this.#blocked = false;
      this.#unannounced = undefined;
      this.#waiting = [];
      return "retry";
    }
    this.fail(error);
    return "failed";
  }

  /** The upstream may get it twice (RFC 9110 section 9.2.2). */
  get idempotent(): boolean {
    return idempotent.has(this.request.method);
  }

  /** All of the body can be sent from its beginning. */
  get #bodyIsWhole(): boolean {
    const { framing, body } = this.request;
    return framing.kind === "none" || body.bytes !== undefined || !this.#bodyStarted;
  }

  /** Ends the exchange with an error: as the answer, or in the middle of the answer's body. */
  fail(error: UpstreamError): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopRequest();
    this.#leg?.destroy();
    if (this.#head === undefined) this.#report(error);
    else {
      this.#error = error;
      this.#sink?.abort(error);
    }
  }

  onHead(head: ResponseHead): void {
    if (this.#over) return;
    const leg = this.#leg as Leg;
    if (head.status === 101) this.#onSwitching(head);
    else if (head.status < 200) this.#onInterim(head);
    else if (head.status === 407 && leg.toProxy) {
      this.fail(failures.proxyCredentials(this.target));
    } else {
      this.#waits = false;
      this.#unannounced = head;
    }
  }

  /** Everything was taken in of the bytes that were read. Those of a head gain no time: a head may not trickle in for ever. */
  onRead(): void {
    if (this.#unannounced !== undefined) this.#announce(false, undefined);
    if (this.#head !== undefined) this.#arm();
  }

  /** The response is complete; tells of it if that was not done yet, while the connection can still be cut. */
  onComplete(trailers: Headers | undefined): void {
    if (this.#unannounced !== undefined) this.#announce(true, trailers);
  }

  /** @param complete its body is all here */
  #announce(complete: boolean, trailers: Headers | undefined): void {
    const head = this.#unannounced as ResponseHead;
    this.#unannounced = undefined;
    if (this.#over) return;
    this.#head = head;
    const { framing } = head;
    this.length = framing.kind === "length" ? framing.length : undefined;
    let body: Body;
    if (framing.kind === "none" || this.length === 0) body = Body.empty();
    else if (complete && trailers === undefined) body = Body.of(joined(this.#waiting.splice(0)));
    else body = Body.from(this);
    this.#handlers.onResponse(head, body, (this.#leg as Leg).info);
    if (this.#waiting.length > 0) this.#setPaused(true);
  }

  /** The connection is HTTP no more, and belongs to whoever asked for that. */
  onSwitched(head: ResponseHead, channel: Channel): void {
    const { info } = this.#leg as Leg;
    this.#leg = undefined;
    this.#over = true;
    this.#handlers.onUpgrade?.(head, channel, info);
  }

  onBody(bytes: Buffer): void {
    if (this.#over) return;
    if (this.#sink === undefined) {
      this.#waiting.push(bytes);
      if (this.#unannounced === undefined) this.#setPaused(true);
    } else if (!this.#sink.write(bytes)) this.#setPaused(true);
  }

  /** The response is complete, and the connection not ours any more. */
  onEnd(trailers: Headers | undefined): void {
    this.#leg = undefined;
    this.#ended = true;
    this.#trailers = trailers;
    if (this.#over) return;
    this.#over = true;
    this.#stopRequest();
    this.#sink?.end(trailers);
  }

  onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#arm();
    if (this.request.body.bytes !== undefined) this.#writePieces(this.request.body.bytes);
    else this.request.body.resume();
  }

  onDeadline(): void {
    if (this.#waits) {
      this.#waits = false;
      this.#startBody();
      this.#arm();
    } else if (this.#head !== undefined) this.fail(failures.bodyTimeout(this.target));
    else if (this.requestDone) this.fail(failures.responseTimeout(this.target));
    else this.fail(failures.requestTimeout(this.target));
  }

  // The request's body comes in here.

  write(bytes: Uint8Array): boolean {
    const leg = this.#leg;
    if (this.#over || leg === undefined) return false;
    if (bytes.length === 0) return !this.#blocked;
    if (this.request.framing.kind === "length") {
      this.#left -= bytes.length;
      if (this.#left < 0) {
        this.fail(failures.requestBody(new BodyAbortedError("the request body is longer than it announced")));
        return false;
      }
    }
    const ready = leg.sendBody(this, bytes);
    if (ready === this.#blocked || this.#head !== undefined) {
      this.#blocked = !ready;
      this.#arm();
    }
    return ready;
  }

  end(trailers: Headers | undefined): void {
    const leg = this.#leg;
    if (this.#over || leg === undefined) return;
    if (this.request.framing.kind === "length" && this.#left > 0) {
      this.fail(failures.requestBody(new BodyAbortedError("the request body is shorter than it announced")));
      return;
    }
    leg.endBody(this, trailers);
    this.requestDone = true;
    this.#blocked = false;
    this.#arm();
  }

  abort(error: Error): void {
    this.fail(failures.requestBody(error));
  }

  // The response's body goes out here.

  start(sink: BodySink): void {
    this.#sink = sink;
    let ready = true;
    for (const bytes of this.#waiting.splice(0)) ready = sink.write(bytes);
    if (this.#error !== undefined) sink.abort(this.#error);
    else if (this.#ended) sink.end(this.#trailers);
    else this.#setPaused(!ready);
  }

  resume(): void {
    this.#setPaused(false);
  }

  #send(leg: Leg): void {
    const { framing, body, expectContinue } = this.request;
    if (framing.kind === "none" || (framing.kind === "length" && framing.length === 0)) {
      leg.sendHead(this, true);
      this.requestDone = true;
      return;
    }
    leg.sendHead(this, false);
    if (expectContinue) this.#waits = true;
    else if (
      framing.kind === "length" &&
      body.bytes?.length === framing.length &&
      framing.length <= pieceSize
    ) {
      leg.sendBody(this, body.bytes);
      leg.endBody(this, body.trailers);
      this.requestDone = true;
    } else this.#startBody();
  }

  #report(error: UpstreamError): void {
    if (!this.#beginning) this.#handlers.onError(error);
    else {
      process.nextTick(() => {
        if (!this.#cancelled) this.#handlers.onError(error);
      });
    }
  }

  #startBody(): void {
    const { framing, body } = this.request;
    this.#bodyStarted = true;
    this.#left = framing.kind === "length" ? framing.length : 0;
    this.#position = 0;
    if (body.bytes === undefined) body.pipe(this);
    else this.#writePieces(body.bytes);
  }

  #writePieces(bytes: Buffer): void {
    while (this.#position < bytes.length) {
      const piece = bytes.subarray(this.#position, this.#position + pieceSize);
      this.#position += piece.length;
      if (!this.write(piece)) break;
    }
    if (this.#position === bytes.length) this.end(this.request.body.trailers);
  }

  /** Nobody reads the rest of the request's body. */
  #stopRequest(): void {
    if (this.#bodyStarted && !this.requestDone) this.request.body.cancel();
  }

  #onInterim(head: ResponseHead): void {
    if (++this.#interims > maxInterim) {
      this.fail(failures.tooManyInterim(this.target));
      return;
    }
    this.#handlers.onInterim(head);
    if (head.status !== 100 || !this.#waits) return;
    this.#waits = false;
    this.#startBody();
    this.#arm();
  }

  /** I9, attack 29: a 101 is believed only where it answers the upgrade that was asked for (RFC 9110 section 15.2.2). */
  #onSwitching(head: ResponseHead): void {
    const { upgrade } = this.request;
    if (upgrade === undefined) this.fail(failures.unaskedUpgrade(this.target));
    else if (!switchesTo(head.headers, upgrade)) this.fail(failures.otherUpgrade(this.target));
    else this.switching = head;
  }

  #setPaused(paused: boolean): void {
    const leg = this.#leg;
    if (this.#paused === paused || leg === undefined || this.#over) return;
    this.#paused = paused;
    leg.setReading(!paused);
    this.#arm();
  }

  /** Says what is waited for from now on, and for how long. */
  #arm(): void {
    const leg = this.#leg;
    if (leg === undefined || this.#over) return;
    const { timeouts } = leg;
    let ms = Number.POSITIVE_INFINITY;
    if (this.#head !== undefined) {
      if (!this.#paused) ms = timeouts.bodyMs;
    } else if (this.#waits) ms = timeouts.continueMs;
    else if (this.requestDone) ms = timeouts.responseHeaderMs;
    else if (this.#blocked) ms = timeouts.bodyMs;
    leg.deadline = performance.now() + ms;
  }
}

function joined(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}

import type { Deadlines, Timed } from "../http/h1/deadlines.ts";
import { codes, malformed } from "../http/h2/errors.ts";
import { type FieldList, responseHead, trailerFields } from "../http/h2/fields.ts";
import type { Stream, StreamEnd, StreamOwner } from "../http/h2/stream.ts";
import { StreamChannel } from "../http/h2/stream-channel.ts";
import type { Headers } from "../http/headers.ts";
import type { ResponseHead } from "../http/message.ts";
import { connectAcceptance, connectFields } from "../http/websocket.ts";
import type { ClientExchange } from "./exchange.ts";
import { failures } from "./failures.ts";
import type { H2Connection } from "./h2-connection.ts";
import type { Leg } from "./leg.ts";
import type { ConnectionInfo, UpstreamTimeouts } from "./types.ts";

/** One exchange on a stream of its own (RFC 9113 section 8.1). */
export class H2Leg implements Leg, StreamOwner, Timed {
  deadline = Number.POSITIVE_INFINITY;
  readonly info: ConnectionInfo;
  readonly timeouts: UpstreamTimeouts;
  readonly toProxy = false;
  readonly #connection: H2Connection;
  readonly #exchange: ClientExchange;
  readonly #deadlines: Deadlines;
  #stream: Stream | undefined;
  #reading = true;
  /** Bytes that were handed on, but whose reader is not ready for more. */
  #held = 0;
  /** The final head has arrived. */
  #answered = false;
  /** So has, perhaps, more of the answer with the bytes that are being read. */
  #inHeadsRead = false;
  /** Bytes of the body that are announced and have not arrived. */
  #left = Number.POSITIVE_INFINITY;
  /** What the connection had received when the request went out. */
  #receivedBefore = 0;

  constructor(connection: H2Connection, exchange: ClientExchange, deadlines: Deadlines) {
    this.#connection = connection;
    this.#exchange = exchange;
    this.#deadlines = deadlines;
    this.info = connection.info;
    this.timeouts = connection.timeouts;
  }

  sendHead({ request, target }: ClientExchange, end: boolean): void {
    const { method, headers, framing, credentials, upgrade } = request;
    const { http, received } = this.#connection;
    this.#receivedBefore = received;
    this.#deadlines.add(this);
    if (upgrade !== undefined && http.takesConnect !== true) {
      if (http.takesConnect === undefined) this.#connection.awaitSettings(this);
      else this.#exchange.fail(failures.noWebSocket(target));
      return;
    }
    const fields = {
      method,
      scheme: target.scheme,
      target: request.target,
      headers: upgrade === undefined ? headers : connectFields(headers),
      protocol: upgrade,
      framing,
      sensitive: credentials,
    };
    this.#stream = http.request(fields, end && upgrade === undefined, this);
  }

  /** The server has said whether it takes WebSockets. */
  onSettled(): void {
    const exchange = this.#exchange;
    if (!this.#connection.http.free) {
      this.onCut({ code: undefined, unprocessed: true, message: "the server takes no more streams" });
      return;
    }
    try {
      this.sendHead(exchange, true);
    } catch (error) {
      exchange.fail(failures.unsendable(error));
    }
  }

  sendBody(_exchange: ClientExchange, bytes: Uint8Array): boolean {
    return this.#stream?.write(bytes) ?? false;
  }

  endBody(_exchange: ClientExchange, trailers: Headers | undefined): void {
    this.#stream?.end(trailers);
  }

  setReading(on: boolean): void {
    this.#reading = on;
    if (!on) return;
    const held = this.#held;
    this.#held = 0;
    this.#stream?.consumed(held);
  }

  destroy(): void {
    this.#deadlines.delete(this);
    if (this.#stream === undefined) this.#connection.forget(this);
    else this.#stream.reset(codes.cancel);
  }

  onDeadline(): void {
    // Not even another stream was heard of, or one never to its end: the connection may be dead, and nobody else should
    // have to find out.
    const { received, http } = this.#connection;
    if (received === this.#receivedBefore || http.session.midMessage) this.#connection.retire();
    this.#exchange.onDeadline();
  }

  onFields(list: FieldList, end: boolean): void {
    if (list.tooLarge) throw malformed("too many header fields, or too large");
    if (this.#answered) {
      if (!end) throw malformed("trailers that do not end the stream");
      this.#complete(trailerFields(list, false));
      return;
    }
    const { method, upgrade } = this.#exchange.request;
    const head = responseHead(list, end, upgrade === undefined ? method : "CONNECT");
    if (head.status < 200) {
      this.#exchange.onHead(head);
      return;
    }
    if (upgrade !== undefined) {
      if (head.status < 300) {
        this.#giveAway(head, end);
        return;
      }
      // What stays HTTP was asked for without a body.
      this.#stream?.end();
    }
    this.#answered = true;
    if (head.framing.kind === "length") this.#left = head.framing.length;
    else if (head.framing.kind === "none") this.#left = 0;
    this.#exchange.onHead(head);
    if (end) this.#complete(undefined);
    else {
      this.#inHeadsRead = true;
      this.#connection.awaitRead(this);
    }
  }

  onBytes(bytes: Buffer): void {
    if (!this.#answered) throw malformed("DATA before HEADERS");
    this.#left -= bytes.length;
    if (this.#left < 0) throw malformed("a body that is longer than content-length says");
    this.#exchange.onBody(bytes);
    if (this.#reading) this.#stream?.consumed(bytes.length);
    else this.#held += bytes.length;
    if (!this.#inHeadsRead) this.#exchange.onRead();
  }

  /** All of the bytes that the head came with were taken in. */
  afterHeadsRead(): void {
    this.#inHeadsRead = false;
    this.#exchange.onRead();
  }

  onEnd(): void {
    if (!this.#answered) throw malformed("a stream that ends without HEADERS");
    this.#complete(undefined);
  }

  onWritable(): void {
    this.#exchange.onDrain();
  }

  onSent(): void {}

  onCut({ code, fault, unprocessed, message }: StreamEnd): void {
    this.#deadlines.delete(this);
    const exchange = this.#exchange;
    if (exchange.over) return;
    const { target } = exchange;
    if (fault === true) {
      exchange.fail(failures.invalid(target, new Error(message)));
      return;
    }
    const http11 = code === codes.http11Required;
    if (http11) this.#connection.requireHttp11(exchange);
    const again = !this.#answered && (unprocessed || (http11 && exchange.idempotent));
    let error = failures.reset(target, message);
    if (http11 && !this.#answered) error = failures.http11Required(target);
    else if (code === undefined || unprocessed) {
      error = failures.closed(target, this.#answered, this.#connection.error);
    }
    if (exchange.onLost(error, this.#answered, again) === "retry") this.#connection.retry(exchange, http11);
  }

  /** The stream is a tunnel from now on; whoever asked for it learns so as from a 101. */
  #giveAway(head: ResponseHead, end: boolean): void {
    const exchange = this.#exchange;
    const accepted = connectAcceptance(head, exchange.request.headers);
    exchange.onHead(accepted);
    if (exchange.switching === undefined) return;
    this.#deadlines.delete(this);
    const channel = new StreamChannel(this.#stream as Stream);
    if (end) channel.onEnd();
    exchange.onSwitched(accepted, channel);
  }

  #complete(trailers: Headers | undefined): void {
    if (this.#left > 0 && this.#left < Number.POSITIVE_INFINITY) {
      throw malformed("a body that is shorter than content-length says");
    }
    this.#deadlines.delete(this);
    this.#exchange.onComplete(trailers);
    // Nobody reads the rest of a request that was answered in full.
    if (this.#stream?.localEnded === false) this.#stream.reset(codes.cancel);
    this.#exchange.onEnd(trailers);
  }
}

import type { Socket } from "node:net";
import type { Timed } from "../h1/deadlines.ts";
import type { Answer, BadRequest, ServerOptions } from "../h1/server.ts";
import type { Incoming } from "../incoming.ts";
import { codes, type SessionError, StreamError } from "./errors.ts";
import { type FieldList, requestHead } from "./fields.ts";
import { largest31, settings } from "./frames.ts";
import { connectionWindow, type H2Limits } from "./limits.ts";
import { ServerExchange } from "./server-exchange.ts";
import { Session, type SessionHandler } from "./session.ts";

export interface H2ServerHandler {
  /** Head of a request; its body can be read from now on. Must end in one `respond`, `accept` or `destroy`. */
  onRequest(exchange: Incoming): void;
  /** Bytes that are no request, or one that is refused before anyone looked at it; gives the answer. */
  onBadRequest(bad: BadRequest): Answer | undefined;
  /** The connection is gone; called once. */
  onClose(): void;
}

export interface H2ServerOptions extends Omit<ServerOptions, "limits"> {
  readonly limits: H2Limits;
}

/** How long a client may take to see our last frames before the connection is cut. */
const lingerMs = 1000;
/** How long a client may still open streams after it was told not to: a round trip, if it answers our PING. */
const lastCallMs = 1000;
const lastCallPing = Buffer.from("lastcall");

/** One client connection that speaks HTTP/2: every request is a stream, and an exchange of its own. */
export class H2ServerConnection implements SessionHandler, Timed {
  deadline: number;
  readonly options: H2ServerOptions;
  readonly session: Session;
  readonly #handler: H2ServerHandler;
  /** Requests that came with the bytes being read, which may hold their bodies too. */
  #unannounced: ServerExchange[] = [];
  #draining = false;
  /** The last stream that is taken; higher ones were told to go elsewhere. */
  #lastTaken = largest31;
  #ending = false;
  /** The head of some message is on its way since the deadline was set. */
  #inHead = true;

  constructor(socket: Socket, options: H2ServerOptions, handler: H2ServerHandler) {
    this.options = options;
    this.#handler = handler;
    this.session = new Session(
      socket,
      {
        role: "server",
        limits: options.limits,
        settings: [
          [settings.maxConcurrentStreams, options.limits.maxStreams],
          [settings.enableConnectProtocol, 1],
        ],
        window: connectionWindow,
        credit: "consumption",
      },
      this,
    );
    this.deadline = performance.now() + options.headerMs;
    options.deadlines.add(this);
    socket.on("data", this.#afterData);
  }

  /**
   * Ends the connection as soon as its streams are done. In two steps (RFC 9113 section 6.8): streams that are on their
   * way while the client does not know are still taken.
   */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.session.goaway(largest31, codes.noError);
    this.session.ping(lastCallPing);
    this.deadline = performance.now() + lastCallMs;
  }

  onStream(id: number, list: FieldList, end: boolean): void {
    const { session } = this;
    if (id > this.#lastTaken) {
      session.ignore(id);
      return;
    }
    if (session.streams.size >= this.options.limits.maxStreams) {
      session.countReset();
      session.refuse(id, codes.refusedStream);
      this.#record(0, "overloaded", "more streams than this proxy takes at a time", list.wireSize);
      return;
    }
    if (list.tooLarge) {
      this.#refuse(id, list, end, {
        status: 431,
        reason: "headers_too_large",
        message: "too many field lines or bytes",
      });
      return;
    }
    let exchange: ServerExchange;
    try {
      const head = requestHead(list, end, { scheme: "https" });
      if (head.target.length > this.options.limits.maxStartLine) {
        this.#refuse(id, list, end, { status: 414, reason: "uri_too_long", message: ":path is too long" });
        return;
      }
      exchange = new ServerExchange(this, head, end);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      session.countReset();
      session.refuse(id, error.code);
      this.#record(0, "malformed_request", error.message, list.wireSize);
      return;
    }
    exchange.open(session.adopt(id, exchange, end));
    this.#unannounced.push(exchange);
    if (!this.#inHead) this.deadline = Number.POSITIVE_INFINITY;
  }

  onSettings(): void {}

  onGoaway(): void {}

  onPong(): void {
    if (this.#draining) this.#lastCall();
  }

  onIdle(): void {
    if (this.#ending || this.#inHead) return;
    if (this.#lastTaken !== largest31) this.#close();
    else if (!this.#draining) this.deadline = performance.now() + this.options.idleMs;
  }

  onDrain(): void {}

  onFault(error: SessionError): void {
    this.#linger();
    this.#record(0, "malformed_request", error.message, this.session.bytesIn);
  }

  onClose(): void {
    this.options.deadlines.delete(this);
    this.#handler.onClose();
  }

  onDeadline(): void {
    const { session } = this;
    if (this.#ending) session.destroy();
    else if (this.#draining) this.#lastCall();
    else if (this.#inHead && session.bytesIn > 0) {
      this.#record(
        0,
        "request_timeout",
        "The request's header fields did not arrive in time.",
        session.bytesIn,
      );
      this.#lastTaken = session.lastPeerStream;
      session.goaway(session.lastPeerStream, codes.noError);
      this.#close();
    } else if (session.streams.size === 0) {
      session.goaway(session.lastPeerStream, codes.noError);
      this.#close();
    }
  }

  /** Runs after the session has read the same bytes: listeners are called in the order they were added. */
  readonly #afterData = (): void => {
    const exchanges = this.#unannounced;
    if (exchanges.length > 0) {
      this.#unannounced = [];
      for (const exchange of exchanges) {
        if (exchange.announce()) this.#handler.onRequest(exchange);
        else this.#record(0, "client_disconnected", "the stream was reset at once", exchange.bytesIn);
      }
    }
    this.#watchHead();
  };

  /** A head that trickles in has a time of its own, whatever else goes on (slow headers). */
  #watchHead(): void {
    const { session, options } = this;
    if (session.midMessage === this.#inHead || this.#ending || this.#draining) return;
    this.#inHead = session.midMessage;
    if (this.#inHead) this.deadline = performance.now() + options.headerMs;
    else if (session.streams.size > 0) this.deadline = Number.POSITIVE_INFINITY;
    else this.deadline = performance.now() + options.idleMs;
  }

  #lastCall(): void {
    if (this.#lastTaken !== largest31) return;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#lastTaken = this.session.lastPeerStream;
    this.session.goaway(this.#lastTaken, codes.noError);
    if (this.session.streams.size === 0) this.#close();
  }

  /** Tells of what nobody is answered for. */
  #record(status: 0, reason: BadRequest["reason"], message: string, bytesIn: number): void {
    this.#handler.onBadRequest({ status, reason, message, bytesIn });
  }

  /** Answers a request that nobody else has seen. */
  #refuse(
    id: number,
    list: FieldList,
    end: boolean,
    why: Pick<BadRequest, "status" | "reason" | "message">,
  ): void {
    const contentType = list.entries.find(({ name }) => name === "content-type")?.value;
    const answer = this.#handler.onBadRequest({ ...why, bytesIn: list.wireSize, contentType });
    if (answer === undefined) {
      this.session.refuse(id, codes.refusedStream);
      return;
    }
    const exchange = new ServerExchange(this, undefined, end);
    exchange.open(this.session.adopt(id, exchange, end));
    exchange.answerWhole(answer);
  }

  #close(): void {
    if (this.#ending) return;
    this.#linger();
    this.session.close();
  }

  #linger(): void {
    this.#ending = true;
    this.deadline = performance.now() + lingerMs;
  }
}

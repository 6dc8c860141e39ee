import type { Socket } from "node:net";
import type { Reason } from "../../reasons.ts";
import type { Headers } from "../headers.ts";
import type { RequestHead } from "../message.ts";
import { resetSocket } from "../reset-socket.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import { H1Error } from "./errors.ts";
import type { H1Limits } from "./limits.ts";
import { Output } from "./output.ts";
import { RequestParser } from "./parser.ts";
import { ServerExchange } from "./server-exchange.ts";
import { responseHeadText } from "./write.ts";

/** An answer that was made here, whole. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Why a connection ends without a request that could be handled. */
export interface BadRequest {
  /** 0 when nobody is left to be answered. */
  readonly status: number;
  readonly reason: Reason;
  readonly message: string;
  /** Bytes of the refused message received so far. */
  readonly bytesIn: number;
  /** Of a message of HTTP/2, where it is known and has one. */
  readonly contentType?: string | undefined;
}

export interface ServerHandler {
  /** Head of a request; its body can be read from now on. Must end in one `respond`, `takeOver` or `destroy`. */
  onRequest(exchange: ServerExchange): void;
  /** Bytes that are no request, or one that came too slowly; gives the answer, or nothing to just close. */
  onBadRequest(bad: BadRequest): Answer | undefined;
  /** The connection is gone, or was given away; called once. */
  onClose(): void;
}

export interface ServerOptions {
  readonly limits: H1Limits;
  readonly deadlines: Deadlines;
  /** Milliseconds from the first byte (or the accept) to the end of the header fields. */
  readonly headerMs: number;
  /** Milliseconds of silence in a body, or of a peer that does not read. */
  readonly bodyMs: number;
  /** Milliseconds of silence between requests. */
  readonly idleMs: number;
}

/** Bytes of an unread request body that are worth reading to keep the connection. */
export const drainUpTo = 64 * 1024;
/** How long the peer may take to notice our half-close before its data is answered with a reset. */
const lingerMs = 1000;

/**
 * One client connection that speaks HTTP/1.1: requests are parsed one after another, each answered before the
 * next is looked at (RFC 9112 section 9.3). Bytes that arrive early wait here, unread ones in the kernel.
 */
export class ServerConnection implements Timed {
  deadline: number;
  readonly socket: Socket;
  readonly output: Output;
  readonly #options: ServerOptions;
  readonly #handler: ServerHandler;
  readonly #parser: RequestParser;
  #current: ServerExchange | undefined;
  /** The current exchange has not been handed on yet: what came in the same read is put into it first. */
  #unannounced = false;
  /** Bytes behind the current message. */
  #rest: Buffer | undefined;
  #executing = false;
  #ended = false;
  #draining = false;
  #lingering = false;
  #released = false;
  /** The parser met something it could not follow; no byte after that means anything. */
  #dead = false;
  #bytesIn = 0;

  constructor(socket: Socket, options: ServerOptions, handler: ServerHandler) {
    this.socket = socket;
    this.output = new Output(socket);
    this.#options = options;
    this.#handler = handler;
    this.#parser = new RequestParser(options.limits, {
      onHead: (head) => this.#onHead(head),
      onBody: (bytes) => this.#current?.onBodyBytes(bytes),
      onEnd: (trailers) => this.#current?.onBodyEnd(trailers),
    });
    this.deadline = performance.now() + options.headerMs;
    options.deadlines.add(this);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** No request is in work. */
  get idle(): boolean {
    return this.#current === undefined;
  }

  /** Ends the connection as soon as the exchange in work is answered, at once when there is none. */
  drain(): void {
    this.#draining = true;
    if (this.#current === undefined && this.#parser.phase === "idle") this.#close();
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Bytes read ahead on this connection, before its own listeners were attached. */
  push(bytes: Buffer): void {
    if (bytes.length > 0) this.#onData(bytes);
  }

  /**
   * Cuts the connection: what was written must not look complete.
   * @param reset a plain FIN would say that a body which ends with the connection is whole
   */
  destroy(reset = false): void {
    this.output.flush();
    if (reset) resetSocket(this.socket);
    else this.socket.destroy();
  }

  /** Stops reading HTTP here and gives the socket away; bytes read too far are put back into it (CONNECT, 101). */
  release(): Socket {
    this.#released = true;
    this.output.flush();
    this.#current = undefined;
    this.#options.deadlines.delete(this);
    this.socket.off("data", this.#onData);
    this.socket.off("end", this.#onEnd);
    this.socket.off("drain", this.#onDrain);
    this.socket.off("error", this.#onError);
    this.socket.off("close", this.#onClose);
    this.socket.pause();
    if (this.#rest !== undefined) this.socket.unshift(this.#rest);
    this.#rest = undefined;
    this.#handler.onClose();
    return this.socket;
  }

  /** Called by the exchange: reading may go on, or should stop, for the sake of backpressure. */
  setReading(on: boolean): void {
    if (this.#released) return;
    if (on) this.socket.resume();
    else this.socket.pause();
  }

  /** Called by the exchange when bytes move, so that slow is told from dead. */
  touch(waitsForPeer: boolean): void {
    this.deadline = waitsForPeer ? performance.now() + this.#options.bodyMs : Number.POSITIVE_INFINITY;
  }

  /** Whether the connection can stay open if the answer is given now. */
  mustClose(exchange: ServerExchange): boolean {
    if (this.#draining || this.#ended || !exchange.head.keepAlive) return true;
    if (exchange.requestError !== undefined) return true;
    if (exchange.requestDone || exchange.reading) return false;
    return !isDrainable(exchange);
  }

  /** Called by the exchange when its answer is complete. */
  onAnswered(exchange: ServerExchange, close: boolean): void {
    if (this.#current !== exchange) return;
    if (close || (!exchange.requestDone && (exchange.reading || !isDrainable(exchange)))) {
      this.#current = undefined;
      this.#close();
      return;
    }
    if (!exchange.requestDone) {
      exchange.discard();
      this.touch(true);
      return;
    }
    this.#next();
  }

  /** Called by the exchange when the request is complete, which may be after its answer. */
  onRequestDone(exchange: ServerExchange): void {
    if (exchange.answered && this.#current === exchange) this.#next();
    else this.touch(false);
  }

  onDeadline(): void {
    const current = this.#current;
    if (this.#lingering) this.socket.destroy();
    else if (current === undefined) {
      if (this.#parser.phase === "idle") this.#close();
      else {
        const message = "The request's header fields did not arrive in time.";
        this.#refuse({ status: 408, reason: "request_timeout", message });
      }
    } else if (!current.requestDone && !current.answered) {
      current.onBodyError(new H1Error(408, "request_timeout", "The request body stopped arriving."));
    } else this.socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#lingering || this.#dead) return;
    this.#bytesIn += chunk.length;
    if (this.#rest !== undefined) {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      this.socket.pause();
      return;
    }
    this.#execute(chunk);
  };

  #execute(bytes: Buffer): void {
    let rest = bytes;
    this.#executing = true;
    try {
      while (rest.length > 0) {
        const current = this.#current;
        if (current?.requestDone) {
          this.#rest = rest;
          this.socket.pause();
          break;
        }
        if (current === undefined && this.#parser.phase === "idle") {
          this.deadline = performance.now() + this.#options.headerMs;
        }
        const consumed = this.#parser.execute(rest);
        this.#announce();
        rest = rest.subarray(consumed);
        if (this.#released) {
          // Taken over while its head was parsed: what follows the head belongs to the new owner.
          if (rest.length > 0) this.socket.unshift(rest);
          break;
        }
      }
      const current = this.#current;
      if (current !== undefined && !current.requestDone) this.touch(!current.paused);
    } catch (error) {
      this.#announce();
      this.#onParseError(error);
    }
    this.#executing = false;
  }

  #onHead(head: RequestHead): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#current = new ServerExchange(this, head);
    this.#unannounced = true;
  }

  /** Hands the request on, with whatever of its body is here: a small one needs no waiting for. */
  #announce(): void {
    if (!this.#unannounced) return;
    this.#unannounced = false;
    const exchange = this.#current as ServerExchange;
    exchange.announced = true;
    this.#handler.onRequest(exchange);
  }

  #next(): void {
    this.#current = undefined;
    this.#bytesIn = 0;
    if (this.#draining || this.#ended) {
      this.#close();
      return;
    }
    this.deadline = performance.now() + this.#options.idleMs;
    if (this.#executing) return;
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#rest = undefined;
    this.socket.resume();
    this.#execute(rest);
  }

  #onParseError(error: unknown): void {
    this.#dead = true;
    const failure =
      error instanceof H1Error ? error : new H1Error(400, "malformed_request", "unreadable request");
    const current = this.#current;
    if (current !== undefined && !current.requestDone && !current.answered) {
      this.#draining = true;
      current.onBodyError(failure);
    } else if (current === undefined) {
      this.#refuse({ status: failure.status, reason: failure.reason, message: failure.message });
    } else this.destroy();
    if (!(error instanceof H1Error)) throw error;
  }

  #refuse(bad: Omit<BadRequest, "bytesIn">): void {
    const answer = this.#handler.onBadRequest({ ...bad, bytesIn: this.#bytesIn });
    if (answer !== undefined) {
      const framing = { kind: "length", length: answer.body.length } as const;
      this.output.write(responseHeadText(answer.status, answer.reason, answer.headers, framing, "close"));
      this.output.write(answer.body);
    }
    this.#close();
  }

  /** A reset in the middle of a head: nobody is left to be answered, but somebody asked for something (I13). */
  #recordCutHead(): void {
    const message = "the connection was reset inside the head";
    this.#handler.onBadRequest({
      status: 0,
      reason: "client_disconnected",
      message,
      bytesIn: this.#bytesIn,
    });
  }

  /**
   * Half-closes and reads on for a moment: closing a socket with unread data resets the connection, and the
   * reset can overtake the answer that explains it.
   */
  #close(): void {
    if (this.#lingering || this.#released) return;
    this.output.flush();
    if (this.#ended) {
      this.socket.end();
      return;
    }
    this.#lingering = true;
    this.#rest = undefined;
    this.deadline = performance.now() + lingerMs;
    this.socket.end();
    this.socket.resume();
  }

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#lingering) return;
    // A client that waits for its answer and closes its side has gone, as far as TCP lets anyone tell; going on
    // would keep an upstream busy, and paid for, on nobody's behalf. Those that only half-close are very rare.
    if (this.#current?.requestDone) {
      this.socket.destroy();
      return;
    }
    try {
      this.#parser.finish();
      this.#close();
    } catch (error) {
      this.#onParseError(error);
    }
  };

  readonly #onDrain = (): void => {
    this.#current?.onDrain();
  };

  readonly #onError = (): void => {
    // "close" follows and says all there is to say.
  };

  readonly #onClose = (): void => {
    this.#options.deadlines.delete(this);
    const current = this.#current;
    this.#current = undefined;
    current?.onGone();
    if (this.#parser.phase === "head" && !this.#lingering) this.#recordCutHead();
    this.#handler.onClose();
  };
}

/** Whether the rest of a request that was answered early is short, and surely on its way. */
function isDrainable({ head, length }: ServerExchange): boolean {
  return !head.expectContinue && (length ?? Number.POSITIVE_INFINITY) <= drainUpTo;
}

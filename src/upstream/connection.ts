import type { Socket } from "node:net";
import { type Authority, defaultPorts } from "../http/authority.ts";
import type { Deadlines, Timed } from "../http/h1/deadlines.ts";
import { H1Error } from "../http/h1/errors.ts";
import { Output } from "../http/h1/output.ts";
import { ResponseParser } from "../http/h1/parser.ts";
import { chunkHeader, lastChunk, requestHeadText } from "../http/h1/write.ts";
import type { Headers } from "../http/headers.ts";
import type { ResponseHead } from "../http/message.ts";
import { socketChannel } from "../http/socket-channel.ts";
import type { Dialed } from "./dial.ts";
import type { ClientExchange } from "./exchange.ts";
import { failures } from "./failures.ts";
import type { TlsIdentity } from "./identity.ts";
import type { ForwardProxy } from "./forward-proxy.ts";
import type { Leg } from "./leg.ts";
import type { ConnectionInfo, UpstreamLimits, UpstreamTarget, UpstreamTimeouts } from "./types.ts";

/** Whoever keeps the connections. */
export interface ConnectionOwner {
  /** The connection can carry another exchange. */
  onIdle(connection: UpstreamConnection): void;
  /** It carried its last one. Called once. */
  onGone(connection: UpstreamConnection): void;
  /** The exchange met a connection that had been closed; it goes out once more, on a new one. */
  onRetry(exchange: ClientExchange): void;
}

export interface ConnectionOptions {
  readonly timeouts: UpstreamTimeouts;
  readonly limits: UpstreamLimits;
  readonly deadlines: Deadlines;
  readonly owner: ConnectionOwner;
}

/** Servers close at the second they announce; a request should not be on its way to them at that moment. */
const keepAliveMarginMs = 1000;

/** One HTTP/1.1 connection to an upstream (RFC 9112 section 9.3): one exchange at a time, no pipelining. */
export class UpstreamConnection implements Leg, Timed {
  deadline = Number.POSITIVE_INFINITY;
  readonly socket: Socket;
  readonly #output: Output;
  readonly timeouts: UpstreamTimeouts;
  readonly #httpProxy: ForwardProxy | undefined;
  /** The pool's; connections with equal keys are interchangeable. */
  readonly key: string;
  info: ConnectionInfo;
  readonly #options: ConnectionOptions;
  readonly #parser: ResponseParser;
  #exchange: ClientExchange | undefined;
  /** Something of the response has arrived. */
  #anyByte = false;
  #keepAlive = false;
  #idleMs: number;
  #messageEnded = false;
  #trailers: Headers | undefined;
  #error: Error | undefined;

  constructor(dialed: Dialed, key: string, options: ConnectionOptions) {
    const { socket, address, tls, httpProxy } = dialed;
    this.socket = socket;
    this.key = key;
    this.#httpProxy = httpProxy;
    this.timeouts = options.timeouts;
    this.info = { address, tls, reused: false };
    this.#output = new Output(socket);
    this.#options = options;
    this.#idleMs = options.timeouts.idleMs;
    this.#parser = new ResponseParser(options.limits.h1, {
      onHead: (head) => this.#onHead(head),
      onBody: (bytes) => this.#exchange?.onBody(bytes),
      onEnd: (trailers) => {
        this.#messageEnded = true;
        this.#trailers = trailers;
      },
    });
    options.deadlines.add(this);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    // A handshake with a forward proxy leaves it paused, and a listener alone does not change that.
    socket.resume();
  }

  /** Whether a request written now has a chance to be read. */
  get usable(): boolean {
    return this.#exchange === undefined && this.socket.writable && !this.socket.readableEnded;
  }

  /** Sends a request; its bytes leave at the end of this turn of the event loop. */
  start(exchange: ClientExchange): void {
    this.#exchange = exchange;
    this.#anyByte = false;
    this.#parser.expect(exchange.request.method);
    exchange.begin(this);
  }

  /** Starts the time an unused connection has. */
  rest(): void {
    this.deadline = performance.now() + this.#idleMs;
  }

  /** Cuts the connection; what was on it fails. */
  destroy(): void {
    this.#options.deadlines.delete(this);
    this.socket.destroy();
  }

  get toProxy(): boolean {
    return this.#httpProxy !== undefined;
  }

  sendHead({ request, target }: ClientExchange): void {
    const { method, headers, framing } = request;
    const proxy = this.#httpProxy;
    if (proxy === undefined) this.#output.write(requestHeadText(method, request.target, headers, framing));
    else {
      const fields = headers.clone();
      if (proxy.credentials) fields.set("Proxy-Authorization", proxy.credentials.basic());
      const absolute = absoluteForm(target.authority, request.target);
      this.#output.write(requestHeadText(method, absolute, fields, framing));
    }
  }

  sendBody({ request }: ClientExchange, bytes: Uint8Array): boolean {
    if (request.framing.kind !== "chunked") return this.#output.write(bytes);
    this.#output.write(chunkHeader(bytes.length));
    this.#output.write(bytes);
    return this.#output.write("\r\n");
  }

  endBody({ request }: ClientExchange, trailers: Headers | undefined): void {
    if (request.framing.kind === "chunked") this.#output.write(lastChunk(trailers));
  }

  setReading(on: boolean): void {
    if (on) this.socket.resume();
    else this.socket.pause();
  }

  onDeadline(): void {
    if (this.#exchange === undefined) this.destroy();
    else this.#exchange.onDeadline();
  }

  readonly #onData = (chunk: Buffer): void => {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.over) {
      // Nothing is outstanding: whatever this is, the next request's response would be mistaken for it (attack 32).
      this.destroy();
      return;
    }
    this.#anyByte = true;
    let consumed: number;
    try {
      consumed = this.#parser.execute(chunk);
    } catch (error) {
      this.#onBroken(exchange, error);
      return;
    }
    if (this.#messageEnded) this.#finish(exchange, consumed === chunk.length);
    else if (exchange.switching !== undefined) {
      this.#giveAway(exchange, exchange.switching, chunk.subarray(consumed));
    } else exchange.onRead();
  };

  readonly #onDrain = (): void => this.#exchange?.onDrain();

  readonly #onError = (error: Error): void => {
    this.#error ??= error;
  };

  /** Ends HTTP here after a 101; what came behind its head goes back into the socket. */
  #giveAway(exchange: ClientExchange, head: ResponseHead, rest: Buffer): void {
    const { socket } = this;
    this.#output.flush();
    this.#exchange = undefined;
    this.#options.deadlines.delete(this);
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.off("drain", this.#onDrain);
    socket.off("close", this.#onClose);
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    const channel = socketChannel(socket);
    socket.off("error", this.#onError);
    this.#options.owner.onGone(this);
    exchange.onSwitched(head, channel);
  }

  #onHead(head: ResponseHead): void {
    if (head.status >= 200) {
      this.#keepAlive = head.keepAlive;
      this.#idleMs = Math.min(this.timeouts.idleMs, announcedIdleMs(head.headers));
    }
    this.#exchange?.onHead(head);
  }

  #onBroken(exchange: ClientExchange, error: unknown): void {
    this.#exchange = undefined;
    this.destroy();
    const { target } = exchange;
    exchange.fail(
      error instanceof H1Error ? failures.invalid(target, error) : failures.closed(target, true, undefined),
    );
    // Anything else was thrown by whoever handles the response, and is not ours to swallow.
    if (!(error instanceof H1Error)) throw error;
  }

  /** @param clean no byte followed the message */
  #finish(exchange: ClientExchange, clean: boolean): void {
    const trailers = this.#trailers;
    exchange.onComplete(trailers);
    const reusable = clean && this.#keepAlive && exchange.requestDone && !exchange.over && this.#idleMs > 0;
    this.#exchange = undefined;
    this.#messageEnded = false;
    this.#trailers = undefined;
    if (reusable) {
      if (!this.info.reused) this.info = { ...this.info, reused: true };
      this.deadline = Number.POSITIVE_INFINITY;
      if (this.socket.isPaused()) this.socket.resume();
      this.#options.owner.onIdle(this);
    } else if (clean && exchange.requestDone) {
      this.#options.deadlines.delete(this);
      this.socket.destroySoon();
    } else this.destroy();
    exchange.onEnd(trailers);
  }

  readonly #onEnd = (): void => {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.destroy();
      return;
    }
    try {
      this.#parser.finish();
    } catch {
      // Inside a head or a body with an announced end: "close" follows and fails the exchange.
      return;
    }
    if (this.#messageEnded) this.#finish(exchange, true);
  };

  readonly #onClose = (): void => {
    this.#options.deadlines.delete(this);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#options.owner.onGone(this);
    if (exchange === undefined || exchange.over) return;
    const error = failures.closed(exchange.target, this.#anyByte, this.#error);
    if (exchange.onLost(error, this.#anyByte) === "retry") this.#options.owner.onRetry(exchange);
  };
}

/** What a `Keep-Alive: timeout=5` leaves of the time until the server closes; Infinity where nothing is announced. */
function announcedIdleMs(headers: Headers): number {
  const index = headers.indexOf("keep-alive");
  if (index < 0) return Number.POSITIVE_INFINITY;
  const seconds = /(?:^|[,;\s])timeout=([0-9]{1,6})/i.exec(headers.valueAt(index))?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000 - keepAliveMarginMs;
}

/** Equal for targets whose exchanges may share a connection (I10). Only the last part may hold a space. */
export function poolKey(
  { scheme, authority, partition }: UpstreamTarget,
  identity: TlsIdentity | undefined,
): string {
  if (identity === undefined) return `${scheme} ${authority.text} ${partition}`;
  return `${scheme}#${identity.id} ${authority.text} ${partition}`;
}

/** RFC 9112 section 3.2.2, and 3.2.4 for `*`. */
function absoluteForm({ text, port }: Authority, target: string): string {
  const authority = port === defaultPorts.http ? text.slice(0, text.lastIndexOf(":")) : text;
  return `http://${authority}${target === "*" ? "" : target}`;
}

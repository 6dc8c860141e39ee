import { H2ClientConnection } from "../http/h2/client.ts";
import type { Deadlines, Timed } from "../http/h1/deadlines.ts";
import type { Dialed } from "./dial.ts";
import type { ClientExchange } from "./exchange.ts";
import { H2Leg } from "./h2-leg.ts";
import type { ConnectionInfo, UpstreamLimits, UpstreamTimeouts } from "./types.ts";

/** Whoever keeps the connections. */
export interface H2ConnectionOwner {
  onIdle(connection: H2Connection): void;
  /** It takes no more exchanges. */
  onGoingAway(connection: H2Connection): void;
  /** It is closed. Called once. */
  onGone(connection: H2Connection): void;
  /** The upstream wants HTTP/1.1 instead for an exchange (RFC 9113 section 7), and for others too, to judge by that. */
  onHttp11Required(exchange: ClientExchange): void;
  /**
   * The upstream has surely not looked at the exchange, or it may be sent twice: it goes out once more.
   * @param http11 over HTTP/1.1
   */
  onRetry(exchange: ClientExchange, http11: boolean): void;
}

export interface H2ConnectionOptions {
  readonly timeouts: UpstreamTimeouts;
  readonly limits: UpstreamLimits;
  readonly deadlines: Deadlines;
  readonly owner: H2ConnectionOwner;
}

/** One HTTP/2 connection to an upstream; the exchanges of one caller share it (I10). */
export class H2Connection implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  readonly http: H2ClientConnection;
  readonly timeouts: UpstreamTimeouts;
  /** The pool's; connections with equal keys are interchangeable. */
  readonly key: string;
  info: ConnectionInfo;
  /** What broke the socket. */
  error: Error | undefined;
  readonly #options: H2ConnectionOptions;
  /** WebSockets that wait for the server to say whether it takes them. */
  readonly #unsettled = new Set<H2Leg>();
  /** Exchanges whose head came with the bytes being read, which may hold their bodies too. */
  #headed: H2Leg[] = [];

  constructor({ socket, address, tls }: Dialed, key: string, options: H2ConnectionOptions) {
    this.key = key;
    this.timeouts = options.timeouts;
    this.info = { address, tls, reused: false };
    this.#options = options;
    const { owner, deadlines, limits } = options;
    this.http = new H2ClientConnection(socket, limits.h1, {
      onSettings: () => this.#settle((leg) => leg.onSettled()),
      onGoingAway: () => owner.onGoingAway(this),
      onIdle: () => {
        this.deadline = performance.now() + this.timeouts.idleMs;
        owner.onIdle(this);
      },
      onClose: () => {
        deadlines.delete(this);
        this.#settle((leg) => leg.onCut(neverSent));
        owner.onGone(this);
      },
    });
    // Runs after the session has read the same bytes: listeners are called in the order they were added.
    socket.on("data", this.#afterData);
    socket.on("error", (error: Error) => {
      this.error ??= error;
    });
    deadlines.add(this);
    socket.resume();
  }

  /** Nothing is on it. */
  get idle(): boolean {
    return this.http.session.streams.size === 0;
  }

  /** Bytes that have arrived on it. */
  get received(): number {
    return this.http.session.bytesIn;
  }

  /** Sends a request; its bytes leave at the end of this turn of the event loop. */
  start(exchange: ClientExchange): void {
    this.deadline = Number.POSITIVE_INFINITY;
    const leg = new H2Leg(this, exchange, this.#options.deadlines);
    exchange.begin(leg);
    if (!this.info.reused) this.info = { ...this.info, reused: true };
  }

  retry(exchange: ClientExchange, http11: boolean): void {
    this.#options.owner.onRetry(exchange, http11);
  }

  /** The upstream wants HTTP/1.1 instead. */
  requireHttp11(exchange: ClientExchange): void {
    this.#options.owner.onHttp11Required(exchange);
    this.retire();
  }

  /** Tells a leg once the server's SETTINGS are here. */
  awaitSettings(leg: H2Leg): void {
    this.#unsettled.add(leg);
  }

  /** Tells a leg once the bytes that are being read are taken in. */
  awaitRead(leg: H2Leg): void {
    this.#headed.push(leg);
  }

  forget(leg: H2Leg): void {
    this.#unsettled.delete(leg);
  }

  /** Takes no more exchanges, and closes when those on it have ended. */
  retire(): void {
    this.http.retire();
  }

  destroy(): void {
    this.#options.deadlines.delete(this);
    this.http.destroy();
  }

  onDeadline(): void {
    if (this.idle) this.retire();
  }

  readonly #afterData = (): void => {
    if (this.#headed.length === 0) return;
    const legs = this.#headed;
    this.#headed = [];
    for (const leg of legs) leg.afterHeadsRead();
  };

  #settle(tell: (leg: H2Leg) => void): void {
    const legs = [...this.#unsettled];
    this.#unsettled.clear();
    for (const leg of legs) tell(leg);
  }
}

const neverSent = { code: undefined, unprocessed: true, message: "the connection was closed" };

import type { TLSSocket } from "node:tls";
import type { Dispatcher } from "undici";
import { Deadlines } from "../http/h1/deadlines.ts";
import { type ConnectionOptions, poolKey, UpstreamConnection } from "./connection.ts";
import { createDialer, type Dial, type Dialed } from "./dial.ts";
import { createDispatcher } from "./dispatcher.ts";
import { UpstreamError } from "./error.ts";
import { ClientExchange } from "./exchange.ts";
import { failures } from "./failures.ts";
import { createChooser } from "./forward-proxy.ts";
import { createGuard } from "./guard.ts";
import { H2Connection, type H2ConnectionOptions } from "./h2-connection.ts";
import { H2Pool } from "./h2-pool.ts";
import type { IdentityOf, TlsIdentity } from "./identity.ts";
import { Pool } from "./pool.ts";
import { createResolver, type Resolver } from "./resolver.ts";
import { createTlsClient, type TlsClient } from "./tls-client.ts";
import type {
  ConnectOptions,
  RawConnection,
  UpstreamExchange,
  UpstreamHandlers,
  UpstreamOptions,
  UpstreamRequest,
  UpstreamStats,
  UpstreamTarget,
} from "./types.ts";

const http1 = ["http/1.1"];
const http2 = ["h2", "http/1.1"];
const onlyHttp2 = ["h2"];
/** How long a resolved name is kept, in milliseconds. */
const keepNamesMs = 2000;

/** Everything between a decided request and the upstream that answers it. */
export class Upstream {
  /** For requests that are made on behalf of workloads, such as those to token endpoints. */
  readonly dispatcher: Dispatcher;
  /**
   * For destinations that the operator wrote down, such as a secret store on this machine: the deny list is not asked
   * for these; everything else is as for {@link dispatcher}.
   */
  readonly operatorDispatcher: Dispatcher;
  readonly #resolver: Resolver;
  readonly #tlsClient: TlsClient;
  readonly #dial: Dial;
  readonly #identityOf: IdentityOf | undefined;
  readonly #pool: Pool;
  readonly #connectionOptions: ConnectionOptions;
  readonly #connections = new Set<UpstreamConnection>();
  readonly #h2Pool: H2Pool;
  readonly #h2Options: H2ConnectionOptions;
  readonly #h2Connections = new Set<H2Connection>();
  readonly #http2: NonNullable<UpstreamOptions["http2"]>;
  #dialing = 0;
  #dialed = 0;
  #reused = 0;
  #retried = 0;
  #destroyed = false;
  #closing: PromiseWithResolvers<void> | undefined;

  /**
   * @throws {TypeError} for a network, resolver or forward proxy that is not valid
   */
  constructor(options: UpstreamOptions) {
    const { timeouts, limits } = options;
    this.#resolver = createResolver({
      server: options.resolver,
      timeoutMs: timeouts.connectMs,
      keepMs: keepNamesMs,
    });
    this.#tlsClient = createTlsClient(options.secureContext);
    this.#dial = createDialer({
      guard: createGuard(options),
      resolver: this.#resolver,
      chooseProxy: createChooser(options.forwardProxy),
      tlsClient: this.#tlsClient,
      connectMs: timeouts.connectMs,
      limits: limits.h1,
    });
    this.#pool = new Pool(limits);
    this.#identityOf = options.identityOf;
    this.dispatcher = createDispatcher(this.#dial, false, this.#identityOf);
    this.operatorDispatcher = createDispatcher(this.#dial, true, this.#identityOf);
    const deadlines = new Deadlines();
    this.#connectionOptions = {
      timeouts,
      limits,
      deadlines,
      owner: {
        onIdle: (connection) => this.#pool.settle(connection),
        onGone: (connection) => this.#forget(connection),
        onRetry: (exchange) => {
          this.#retried++;
          this.#dialFor(exchange);
        },
      },
    };
    this.#http2 = options.http2 ?? "off";
    this.#h2Pool = new H2Pool(limits.idleTotal);
    this.#h2Options = {
      timeouts,
      limits,
      deadlines,
      owner: {
        onIdle: (connection) => this.#restH2(connection),
        onGoingAway: (connection) => this.#h2Pool.remove(connection),
        onGone: (connection) => this.#forgetH2(connection),
        onHttp11Required: ({ target, identity }) =>
          this.#h2Pool.learn(originKey(target, identity), "only http/1.1"),
        onRetry: (exchange, http11) => {
          this.#retried++;
          if (http11) this.#dialFor(exchange);
          else this.#start(exchange);
        },
      },
    };
  }

  /**
   * Sends a request. With an unused connection in the pool it is on its way with this turn of the event loop; no handler is
   * called before that.
   */
  send(target: UpstreamTarget, request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamExchange {
    const exchange = new ClientExchange(target, request, handlers);
    if (this.#closing) {
      process.nextTick(() => exchange.fail(failures.closing()));
      return exchange;
    }
    if (this.#identityOf === undefined || target.scheme === "http") this.#start(exchange);
    else this.#identify(exchange, this.#identityOf);
    return exchange;
  }

  /**
   * A connection of the caller's own, made as those for exchanges are, and never pooled.
   * @throws {UpstreamError} or the reason of `options.signal`
   */
  async connect(target: UpstreamTarget, options: ConnectOptions = {}): Promise<RawConnection> {
    if (this.#closing) throw failures.closing();
    const raw = options.raw === true;
    const ownTls = target.scheme === "https" && !raw;
    const identity = ownTls
      ? await this.#identityOf?.(target.authority, target.clientCertificate !== false)
      : undefined;
    const { alpn = http1, signal } = options;
    try {
      const mode = raw ? "raw" : "stream";
      const { socket, address, tls } = await this.#counted(target, { mode, alpn, identity, signal });
      return { socket, info: { address, tls, reused: false } };
    } finally {
      this.#resolveIfClosed();
    }
  }

  stats(): UpstreamStats {
    const { idle, settling } = this.#pool;
    const h2Idle = this.#h2Pool.idle;
    return {
      active: this.#connections.size - idle - settling + this.#h2Connections.size - h2Idle,
      idle: idle + h2Idle,
      dialing: this.#dialing,
      dialed: this.#dialed,
      reused: this.#reused,
      retried: this.#retried,
      resumed: this.#tlsClient.resumed,
    };
  }

  /** Lets the exchanges that are on their way end, takes no new ones, and keeps no connection after that. */
  async close(): Promise<void> {
    this.#closing ??= Promise.withResolvers();
    this.#pool.close();
    for (const connection of this.#h2Pool.connections) connection.retire();
    this.#resolveIfClosed();
    await Promise.all([this.#closing.promise, this.dispatcher.close(), this.operatorDispatcher.close()]);
    this.#resolver.close();
  }

  /** Cuts everything. */
  destroy(): void {
    this.#destroyed = true;
    this.#closing ??= Promise.withResolvers();
    this.#pool.close();
    for (const connection of this.#connections) connection.destroy();
    for (const connection of this.#h2Connections) connection.destroy();
    this.#resolver.close();
    // They say only that they are destroyed, which is what was asked for.
    void Promise.allSettled([this.dispatcher.destroy(), this.operatorDispatcher.destroy()]);
  }

  /** Finds out what TLS is made with, before a connection is chosen (I10); mostly that is known already. */
  #identify(exchange: ClientExchange, identityOf: IdentityOf): void {
    const { authority, clientCertificate } = exchange.target;
    let identity: ReturnType<IdentityOf>;
    try {
      identity = identityOf(authority, clientCertificate !== false);
    } catch (error) {
      process.nextTick(() => exchange.fail(asUpstreamError(error)));
      return;
    }
    if (!(identity instanceof Promise)) {
      exchange.identity = identity;
      this.#start(exchange);
      return;
    }
    this.#dialing++;
    void identity
      .then(
        (known) => {
          exchange.identity = known;
          if (!exchange.over) this.#start(exchange);
        },
        (error: unknown) => exchange.fail(asUpstreamError(error)),
      )
      .finally(() => {
        this.#dialing--;
        this.#resolveIfClosed();
      });
  }

  #start(exchange: ClientExchange): void {
    const key = poolKey(exchange.target, exchange.identity);
    if (exchange.request.upgrade !== undefined) {
      this.#startUpgrade(exchange, key);
      return;
    }
    const offersH2 = this.#offersH2(exchange);
    const shared = offersH2 ? this.#h2Pool.take(key) : undefined;
    const connection = shared ?? this.#pool.take(key);
    if (connection !== undefined) {
      this.#reused++;
      connection.start(exchange);
    } else if (offersH2) this.#dialShared(exchange, key);
    else this.#dialFor(exchange);
  }

  /** As browsers do it: a stream of a connection that is there and takes tunnels, else HTTP/1.1 wherever that is spoken. */
  #startUpgrade(exchange: ClientExchange, key: string): void {
    const { target, identity } = exchange;
    const mayShare = this.#http2 !== "off" && target.scheme === "https";
    const onlyH2 = mayShare && this.#h2Pool.spoken(originKey(target, identity)) === "only h2";
    const shared = mayShare ? this.#h2Pool.take(key, !onlyH2) : undefined;
    if (shared !== undefined) {
      this.#reused++;
      shared.start(exchange);
    } else if (onlyH2) this.#dialShared(exchange, key);
    else this.#dialFor(exchange);
  }

  /** HTTP/1.1 keeps the casing of names and is what a client of HTTP/1.1 expects to meet, where there is a choice. */
  #offersH2({ target, request, identity }: ClientExchange): boolean {
    if (this.#http2 === "off" || target.scheme === "http") return false;
    if (this.#http2 === "always" || request.http2 === true) return true;
    return this.#h2Pool.spoken(originKey(target, identity)) === "only h2";
  }

  /** Makes one connection for all who ask while it is being made, unless the upstream is known not to share any. */
  #dialShared(exchange: ClientExchange, key: string): void {
    const origin = originKey(exchange.target, exchange.identity);
    const spoken = this.#h2Pool.spoken(origin);
    if (spoken === "only http/1.1") {
      this.#dialFor(exchange);
      return;
    }
    const single = spoken !== "http/1.1";
    if (single && this.#h2Pool.join(key, exchange)) return;
    const dialing = new AbortController();
    exchange.dialing = dialing;
    const { target, identity } = exchange;
    const alpn = spoken === "only h2" ? onlyHttp2 : http2;
    const dial = this.#counted(target, { mode: "exchange", alpn, identity, signal: dialing.signal });
    void dial.then(
      (dialed) => {
        const others = single ? this.#h2Pool.land(key) : [];
        if ((dialed.socket as TLSSocket).alpnProtocol === "h2") {
          if (spoken === undefined || spoken === "http/1.1") this.#h2Pool.learn(origin, "h2");
          this.#adoptH2(dialed, key, exchange);
        } else {
          this.#h2Pool.learn(origin, "http/1.1");
          this.#adopt(dialed, key, exchange);
        }
        for (const other of others) this.#start(other);
      },
      (error: unknown) => {
        const others = single ? this.#h2Pool.land(key) : [];
        // The one it was made for has gone; the others want it still.
        if (exchange.over) for (const other of others) this.#start(other);
        else for (const one of [exchange, ...others]) one.fail(asUpstreamError(error));
        this.#resolveIfClosed();
      },
    );
  }

  #adopt(dialed: Dialed, key: string, exchange: ClientExchange): void {
    const connection = new UpstreamConnection(dialed, key, this.#connectionOptions);
    this.#connections.add(connection);
    if (exchange.over) this.#pool.settle(connection);
    else connection.start(exchange);
  }

  #adoptH2(dialed: Dialed, key: string, exchange: ClientExchange): void {
    const connection = new H2Connection(dialed, key, this.#h2Options);
    this.#h2Connections.add(connection);
    this.#h2Pool.add(connection);
    if (!exchange.over) connection.start(exchange);
    else this.#restH2(connection);
  }

  #restH2(connection: H2Connection): void {
    if (this.#closing) connection.retire();
    else this.#h2Pool.rest(connection);
  }

  #forgetH2(connection: H2Connection): void {
    this.#h2Connections.delete(connection);
    this.#h2Pool.remove(connection);
    this.#resolveIfClosed();
  }

  /** A connection of HTTP/1.1 for one exchange. */
  #dialFor(exchange: ClientExchange): void {
    const dialing = new AbortController();
    exchange.dialing = dialing;
    const { target, identity, request } = exchange;
    // What becomes another protocol is lost to the pool anyway, and is not for a forward proxy to understand.
    const mode = request.upgrade === undefined ? "exchange" : "stream";
    const dial = this.#counted(target, { mode, alpn: http1, identity, signal: dialing.signal });
    void dial.then(
      (dialed) => this.#adopt(dialed, poolKey(target, identity), exchange),
      (error: unknown) => {
        if (this.#isOnlyH2(exchange, error)) {
          this.#start(exchange);
          return;
        }
        exchange.fail(asUpstreamError(error));
        this.#resolveIfClosed();
      },
    );
  }

  async #counted(target: UpstreamTarget, options: Parameters<Dial>[2]): Promise<Dialed> {
    if (this.#destroyed) throw failures.closing();
    this.#dialing++;
    try {
      const dialed = await this.#dial(target.scheme, target.authority, options);
      this.#dialed++;
      if (!this.#destroyed) return dialed;
      dialed.socket.destroy();
      throw failures.closing();
    } finally {
      this.#dialing--;
    }
  }

  #forget(connection: UpstreamConnection): void {
    this.#connections.delete(connection);
    this.#pool.remove(connection);
    this.#resolveIfClosed();
  }

  #resolveIfClosed(): void {
    if (this.#connections.size + this.#h2Connections.size + this.#dialing === 0) this.#closing?.resolve();
  }

  /** An upstream that refuses HTTP/1.1 in the handshake is asked again, once, for HTTP/2 (RFC 7301 section 3.2). */
  #isOnlyH2({ target, identity, over }: ClientExchange, error: unknown): boolean {
    const refused = error instanceof UpstreamError && error.detail === noApplicationProtocol;
    if (!refused || over || this.#http2 === "off") return false;
    this.#h2Pool.learn(originKey(target, identity), "only h2");
    return true;
  }
}

const noApplicationProtocol = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL";

/** Whom a connection is with, whoever it is for. */
function originKey(target: UpstreamTarget, identity: TlsIdentity | undefined): string {
  return poolKey({ ...target, partition: "" }, identity);
}

function asUpstreamError(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  return new UpstreamError({
    reason: "internal_error",
    leg: "connect",
    status: 500,
    message: "The connection could not be made.",
    detail: error instanceof Error ? error.message : undefined,
  });
}

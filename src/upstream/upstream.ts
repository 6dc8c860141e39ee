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
import type { IdentityOf } from "./identity.ts";
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
    this.#connectionOptions = {
      timeouts,
      limits,
      deadlines: new Deadlines(),
      owner: {
        onIdle: (connection) => this.#pool.settle(connection),
        onGone: (connection) => this.#forget(connection),
        onRetry: (exchange) => {
          this.#retried++;
          this.#dialFor(exchange);
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
    const { socket, address, tls } = await this.#counted(target, {
      mode: raw ? "raw" : "stream",
      alpn: options.alpn ?? http1,
      identity: ownTls
        ? await this.#identityOf?.(target.authority, target.clientCertificate !== false)
        : undefined,
      signal: options.signal,
    });
    return { socket, info: { address, tls, reused: false } };
  }

  stats(): UpstreamStats {
    const { idle, settling } = this.#pool;
    return {
      active: this.#connections.size - idle - settling,
      idle,
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
    // What becomes another protocol is lost to the pool anyway, and is not for a forward proxy to understand.
    if (exchange.request.upgrade !== undefined) {
      this.#dialFor(exchange, "stream");
      return;
    }
    const connection = this.#pool.take(poolKey(exchange.target, exchange.identity));
    if (connection !== undefined) {
      this.#reused++;
      connection.start(exchange);
    } else this.#dialFor(exchange);
  }

  #dialFor(exchange: ClientExchange, mode: "exchange" | "stream" = "exchange"): void {
    const dialing = new AbortController();
    exchange.dialing = dialing;
    const { target, identity } = exchange;
    const dial = this.#counted(target, { mode, alpn: http1, identity, signal: dialing.signal });
    void dial.then(
      (dialed) => {
        const connection = new UpstreamConnection(dialed, poolKey(target, identity), this.#connectionOptions);
        this.#connections.add(connection);
        if (exchange.over) this.#pool.settle(connection);
        else connection.start(exchange);
      },
      (error: unknown) => {
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
    if (this.#connections.size === 0 && this.#dialing === 0) this.#closing?.resolve();
  }
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

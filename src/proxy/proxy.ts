import { randomBytes } from "node:crypto";
import { createAuditSink, type LineAuditSink } from "../audit/sink.ts";
import type { AuditRecord, AuditSink } from "../audit/types.ts";
import { type Issue, type Locate, placeText } from "../config/issues.ts";
import type { Config, Listen } from "../config/types.ts";
import { Deadlines } from "../http/h1/deadlines.ts";
import { Connections } from "../listeners/connections.ts";
import type { Authentication, ListenerContext } from "../listeners/context.ts";
import { listenHttp } from "../listeners/http.ts";
import { listenHttps } from "../listeners/https.ts";
import { connectionRecord } from "../listeners/record.ts";
import type { Listener } from "../listeners/tcp.ts";
import { listenTunnel } from "../listeners/tunnel.ts";
import { type Logger, resolveFormat } from "../log/logger.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { refusal } from "../pipeline/refusal.ts";
import type { Transform } from "../pipeline/types.ts";
import { SourceRegistry } from "../sources/registry.ts";
import type { CertificateAuthority } from "../tls/ca.ts";
import { LeafStore } from "../tls/leaf.ts";
import { upstreamContext } from "../tls/roots.ts";
import { transformKinds } from "../transforms/registry.ts";
import { Upstream, upstreamOptions } from "../upstream/index.ts";
import { buildTransforms } from "./build-transforms.ts";
import { explainBudget } from "./explain-budget.ts";
import { type ForwardContext, forward } from "./forward.ts";
import type { Outcome } from "./record.ts";

/** What a proxy is started with besides its configuration. */
export interface ProxyOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  /** Places of the configuration, for messages about what its transforms find wrong. */
  readonly locate: Locate;
  readonly ca: CertificateAuthority;
  /** Checks `Proxy-Authorization`; everyone is let in where it is absent. */
  readonly authenticate?: (proxyAuthorization: string | undefined) => Authentication;
  /** Told of every exchange that ended. */
  readonly onOutcome?: (exchange: ExchangeState | undefined, outcome: Outcome) => void;
  /** Told of every audit record: exchanges, tunnels and refused connections. */
  readonly onRecord?: (record: AuditRecord) => void;
}

/** A configuration that cannot be run; every issue is in it. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly issues: readonly Issue[];
  constructor(issues: readonly Issue[]) {
    super("the configuration has errors");
    this.issues = issues;
  }
}

/** Addresses as bound; absent for listeners that are off. */
export interface BoundAddresses {
  readonly http?: string;
  readonly https?: string;
  readonly tunnel?: string;
}

/** Where the policy in force came from. */
interface Policy {
  readonly pipeline: Pipeline;
  readonly sources: SourceRegistry;
}

/** A running proxy. */
export class Proxy {
  readonly addresses: BoundAddresses;
  readonly #options: ProxyOptions;
  readonly #audit: LineAuditSink;
  readonly #upstream: Upstream;
  readonly #leaves: LeafStore;
  readonly #connections: Connections;
  readonly #listeners: readonly Listener[];
  readonly #holder: { policy: Policy };

  private constructor(parts: {
    options: ProxyOptions;
    addresses: BoundAddresses;
    audit: LineAuditSink;
    upstream: Upstream;
    leaves: LeafStore;
    connections: Connections;
    listeners: readonly Listener[];
    holder: { policy: Policy };
  }) {
    this.addresses = parts.addresses;
    this.#options = parts.options;
    this.#audit = parts.audit;
    this.#upstream = parts.upstream;
    this.#leaves = parts.leaves;
    this.#connections = parts.connections;
    this.#listeners = parts.listeners;
    this.#holder = parts.holder;
  }

  /**
   * Builds everything the configuration asks for and binds its ports; when this resolves, requests are served.
   * @throws {ConfigurationError} when transforms or sources are configured wrongly
   * @throws {ListenError} when a port cannot be bound
   */
  static async start(config: Config, options: ProxyOptions): Promise<Proxy> {
    const { logger, env } = options;
    const leaves = new LeafStore(options.ca, {
      cacheSize: config.tls.certCacheSize,
      expiryHours: config.tls.leafCertExpiryHours,
    });
    const connections = new Connections(config.proxy.limits.maxConnections);
    const listeners: Listener[] = [];
    const roots = upstreamContext({ upstreamCa: config.tls.upstreamCa, env });
    const upstream = new Upstream(
      upstreamOptions(config, roots, () => listeners.map(({ ip, port }) => ({ address: ip, port }))),
    );
    const holder = await orClose(upstream, () => ({ policy: buildPolicy(config, options, upstream) }));
    const audit = await orClose(upstream, () => openAudit(config, logger));
    const context = listenerContext(config, options, { audit, leaves, connections, upstream, holder });
    const addresses: { http?: string; https?: string; tunnel?: string } = {};
    try {
      for (const [name, at, bind] of [
        ["http", config.proxy.httpListen, listenHttp],
        ["https", config.proxy.httpsListen, listenHttps],
        ["tunnel", config.proxy.tunnelListen, listenTunnel],
      ] as const satisfies readonly [string, Listen, typeof listenHttp][]) {
        if (at === "off") continue;
        const listener = await bind(at, context);
        listeners.push(listener);
        addresses[name] = listener.address;
        logger.info(`${name} proxy starting`, { addr: listener.address });
      }
    } catch (error) {
      for (const listener of listeners) listener.close();
      await Promise.all([upstream.close(), audit.close()]);
      throw error;
    }
    const names = holder.policy.pipeline.names;
    if (names !== "") logger.info("transform pipeline", { transforms: names });
    const proxy = new Proxy({ options, addresses, audit, upstream, leaves, connections, listeners, holder });
    await proxy.#checkSources(config);
    return proxy;
  }

  /** What the policy in force is made of, in order. */
  get transforms(): readonly Transform[] {
    return this.#holder.policy.pipeline.transforms;
  }

  /** Puts the policy of another configuration in place for every exchange that begins from now on. */
  reload(config: Config, locate: Locate): void {
    const policy = buildPolicy(config, { ...this.#options, locate }, this.#upstream);
    const old = this.#holder.policy;
    this.#holder.policy = policy;
    old.pipeline.retire();
    old.sources.close();
    this.#options.logger.info("pipeline reloaded", { transforms: policy.pipeline.names });
  }

  /** Opens the audit file anew, after it was moved away. */
  reopenAudit(): void {
    this.#audit.reopen();
  }

  /**
   * Takes no new connection, lets exchanges under way finish, writes every audit record.
   * @param timeoutMs what is still open then is cut
   */
  async stop(timeoutMs: number): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    const cut = await this.#connections.drain(timeoutMs);
    if (cut > 0) this.#options.logger.warn("connections cut at the end of the drain", { connections: cut });
    await this.#upstream.close();
    this.#holder.policy.pipeline.retire();
    this.#holder.policy.sources.close();
    this.#leaves.close();
    await this.#audit.close();
  }

  /** Writes what the audit still holds, for a process that ends at once. */
  flushSync(): void {
    this.#audit.flushSync();
  }

  async #checkSources(config: Config): Promise<void> {
    // The cache has a warning for each that fails.
    const check = this.#holder.policy.sources.check();
    if (!config.sources.requireAtStart) return;
    const failures = await check;
    if (failures.length === 0) return;
    await this.stop(0);
    throw new Error(
      `sources.require_at_start: ${failures.map(({ name }) => name).join(", ")} could not be read`,
    );
  }
}

/** What fails at start leaves nothing open. */
async function orClose<T>(upstream: Upstream, make: () => T): Promise<T> {
  try {
    return make();
  } catch (error) {
    await upstream.close();
    throw error;
  }
}

function buildPolicy(config: Config, options: ProxyOptions, upstream: Upstream): Policy {
  const { logger, env, locate } = options;
  const sources = new SourceRegistry({
    env,
    onWarning: (source, message) => logger.warn("a secret source failed", { source, error: message }),
    dispatcher: upstream.operatorDispatcher,
  });
  const services = {
    dispatcher: () => upstream.dispatcher,
    log: (level: "info" | "warn" | "error", message: string, fields?: Record<string, unknown>) =>
      logger[level](message, fields),
  };
  const kinds = transformKinds;
  const built = buildTransforms(config, { kinds, sources, locate, file: config.file, services });
  if (built.issues.some((issue) => issue.severity === "error")) {
    sources.close();
    throw new ConfigurationError(built.issues);
  }
  for (const issue of built.issues) {
    logger.warn(issue.message, { at: placeText(issue) });
  }
  return { pipeline: new Pipeline(built.transforms), sources };
}

function openAudit(config: Config, logger: Logger): LineAuditSink {
  return createAuditSink({
    file: config.audit.file,
    onFailure: config.audit.onFailure,
    format: resolveFormat(config.log.format, process.stderr.isTTY),
    onProblem: (message) => logger.error(message),
    onRecovery: (message) => logger.info(message),
  });
}

/** The sink that also tells `onRecord`. */
function observed(sink: AuditSink, onRecord: ProxyOptions["onRecord"]): AuditSink {
  if (onRecord === undefined) return sink;
  return {
    write(record) {
      sink.write(record);
      onRecord(record);
    },
    get healthy() {
      return sink.healthy;
    },
    reopen: () => sink.reopen(),
    close: () => sink.close(),
  };
}

function listenerContext(
  config: Config,
  options: ProxyOptions,
  parts: {
    audit: LineAuditSink;
    leaves: LeafStore;
    connections: Connections;
    upstream: Upstream;
    holder: { policy: Policy };
  },
): ListenerContext {
  const { timeouts, limits } = config.proxy;
  const { leaves, connections, upstream, holder } = parts;
  const audit = observed(parts.audit, options.onRecord);
  const nextId = requestIds();
  const authenticate = options.authenticate ?? (() => true);
  const pipeline = () => holder.policy.pipeline;
  const forwarding: ForwardContext = {
    upstream,
    audit,
    denialMessage: config.proxy.denialMessage,
    maxRequestBody: config.proxy.maxRequestBodyBytes,
    maxResponseBody: config.proxy.maxResponseBodyBytes,
    plaintextCredentials: config.proxy.plaintextCredentials === "allow",
    pipeline,
    nextId,
    authenticate,
    onOutcome: options.onOutcome,
  };
  return {
    serverOptions: {
      limits,
      deadlines: new Deadlines(),
      headerMs: timeouts.clientHeaderMs,
      bodyMs: timeouts.clientBodyMs,
      idleMs: timeouts.clientIdleMs,
    },
    handshakeMs: timeouts.tlsHandshakeMs,
    leaves,
    audit,
    connections,
    denialMessage: config.proxy.denialMessage,
    pipeline,
    nextId,
    authenticate,
    mayExplain: explainBudget(config.tls.explainDenials),
    handle: (exchange, facts) => forward(forwarding, exchange, facts),
    refuseBytes(facts, bad) {
      const requestId = nextId();
      const { status, reason, message, bytesIn } = bad;
      const host = facts.authority?.text ?? facts.host?.name ?? "";
      const action = reason === "client_disconnected" ? "client_cancel" : "reject";
      const event = { method: "", host, action, status, reason, bytesIn, error: message } as const;
      audit.write(connectionRecord(requestId, facts, event));
      return refusal({ status, reason, requestId, detail: message });
    },
    debug: (message, fields) => options.logger.debug(message, fields),
  };
}

/** Request ids: unique among processes by a random part, in order within one. */
function requestIds(): () => string {
  const prefix = randomBytes(5).toString("hex");
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}

import { setImmediate } from "node:timers/promises";
import { createAuditSink, type LineAuditSink } from "../audit/sink.ts";
import type { Locate } from "../config/issues.ts";
import type { Config, Listen } from "../config/types.ts";
import { Deadlines } from "../http/h1/deadlines.ts";
import { Connections } from "../listeners/connections.ts";
import { listenHttp } from "../listeners/http.ts";
import { listenHttps } from "../listeners/https.ts";
import type { Listener } from "../listeners/tcp.ts";
import { listenTunnel } from "../listeners/tunnel.ts";
import type { DnsServer } from "../listeners/dns/server.ts";
import { resolveFormat } from "../log/logger.ts";
import type { Transform } from "../pipeline/types.ts";
import type { SecretHandle } from "../sources/types.ts";
import { LeafStore } from "../tls/leaf.ts";
import { upstreamContext } from "../tls/roots.ts";
import { type OwnAddress, Upstream, upstreamOptions } from "../upstream/index.ts";
import { Findings } from "../findings/findings.ts";
import { KnownValues } from "../findings/known-values.ts";
import { holdable } from "./descriptors.ts";
import { startDns } from "./dns.ts";
import { learnValues } from "./findings.ts";
import { listenerContext } from "./listener-context.ts";
import type { ProxyOptions } from "./options.ts";
import { ownPlaceholders, warnOfExposures } from "./exposure-checks.ts";
import { buildPolicy, type Policy, type PolicyOptions } from "./policy.ts";
import { announceReload, keysForRestart, type Reloaded } from "./restart.ts";
import { MintCounts, type ProxyStats } from "./stats.ts";

export type { ProxyOptions } from "./options.ts";
export { ConfigurationError } from "./policy.ts";

/** Addresses as bound; absent for listeners that are off. */
export interface BoundAddresses {
  readonly http?: string;
  readonly https?: string;
  readonly tunnel?: string;
  /** UDP and TCP. */
  readonly dns?: string;
}

export type { Reloaded } from "./restart.ts";

/** How long findings that wait for their receiver may take when nothing comes after them. */
const webhookFlushMs = 2000;

/** A running proxy. */
export class Proxy {
  readonly addresses: BoundAddresses;
  readonly #started: Config;
  readonly #options: ProxyOptions;
  readonly #policyOptions: PolicyOptions;
  readonly #audit: LineAuditSink;
  readonly #upstream: Upstream;
  readonly #leaves: LeafStore | undefined;
  readonly #connections: Connections;
  readonly #listeners: readonly Listener[];
  readonly #dns: DnsServer | undefined;
  readonly #mints: MintCounts;
  readonly #findings: Findings;
  readonly #holder: { policy: Policy };
  #sourcesChecked = false;

  private constructor(parts: {
    started: Config;
    options: ProxyOptions;
    policyOptions: PolicyOptions;
    addresses: BoundAddresses;
    audit: LineAuditSink;
    upstream: Upstream;
    leaves: LeafStore | undefined;
    connections: Connections;
    listeners: readonly Listener[];
    dns: DnsServer | undefined;
    mints: MintCounts;
    findings: Findings;
    holder: { policy: Policy };
  }) {
    this.addresses = parts.addresses;
    this.#started = parts.started;
    this.#options = parts.options;
    this.#policyOptions = parts.policyOptions;
    this.#audit = parts.audit;
    this.#upstream = parts.upstream;
    this.#leaves = parts.leaves;
    this.#connections = parts.connections;
    this.#listeners = parts.listeners;
    this.#dns = parts.dns;
    this.#mints = parts.mints;
    this.#findings = parts.findings;
    this.#holder = parts.holder;
  }

  /**
   * Builds everything the configuration asks for and binds its ports; when this resolves, requests are served.
   * @throws {ConfigurationError} when transforms or sources are configured wrongly
   * @throws {ListenError} when a port cannot be bound
   */
  static async start(config: Config, options: ProxyOptions): Promise<Proxy> {
    const { logger, env } = options;
    const leaves = leavesOf(config, options);
    const limits = { ...config.proxy.limits, ...holdable(config.proxy.limits, logger) };
    const connections = new Connections(limits.maxConnections);
    const listeners: Listener[] = [];
    const roots = upstreamContext({ upstreamCa: config.tls.upstreamCa, env });
    const upstream = new Upstream(
      upstreamOptions(
        { ...config, proxy: { ...config.proxy, limits } },
        roots,
        () => [
          ...listeners.map(({ ip, port }) => ({ address: ip, port })),
          ...(options.served ?? []),
          ...(options.ownAddresses?.() ?? []),
        ],
        (authority, certificate) => holder.policy.identities.identityOf?.(authority, certificate),
      ),
    );
    const known = new KnownValues();
    const mints = new MintCounts();
    const policyOptions: PolicyOptions = {
      env,
      logger,
      upstream,
      authenticate: options.authenticate,
      deadlines: new Deadlines(),
      known,
      keep: keeper(),
      minted: (mechanism, ok) => mints.add(mechanism, ok),
      custody: options.custody,
    };
    const holder = await orClose(upstream, () => ({
      policy: buildPolicy(config, options.locate, policyOptions),
    }));
    options.onHosts?.(holder.policy.hosts);
    const audit = await orClose(upstream, () => options.audit ?? openAudit(config, options));
    const policy = () => holder.policy;
    const findings = new Findings(known, {
      audit,
      watch: () => holder.policy.watch,
      post(record) {
        holder.policy.webhook?.post(record);
        options.onFinding?.(record);
      },
    });
    const context = listenerContext({ options, audit, leaves, connections, upstream, policy, findings });
    const addresses: { http?: string; https?: string; tunnel?: string; dns?: string } = {};
    let dns: DnsServer | undefined;
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
        const mode = name === "https" && leaves === undefined ? " (sni-only)" : "";
        logger.info(`${name} proxy starting${mode}`, { addr: listener.address });
      }
      dns = await startDns(config, context, [...listeners, ...(options.served ?? [])], logger);
      if (dns !== undefined) {
        listeners.push(dns);
        addresses.dns = dns.address;
      }
    } catch (error) {
      for (const listener of listeners) listener.close();
      await Promise.all([upstream.close(), audit.close()]);
      throw error;
    }
    // Where workers serve, it is told when they do: tools wait for this line.
    const { names } = holder.policy.pipeline;
    if (names !== "" && options.served === undefined) {
      logger.info("transform pipeline", { transforms: names });
    }
    const proxy = new Proxy({
      started: config,
      options,
      policyOptions,
      addresses,
      audit,
      upstream,
      leaves,
      connections,
      listeners,
      dns,
      mints,
      findings,
      holder,
    });
    await proxy.#checkSources();
    return proxy;
  }

  /** What the policy in force is made of, in order. */
  get transforms(): readonly Transform[] {
    return this.#holder.policy.pipeline.transforms;
  }

  /** Their names, as the log shows them. */
  get pipelineNames(): string {
    return this.#holder.policy.pipeline.names;
  }

  /** Sources besides those of transforms: client certificates and their keys. */
  get identitySecrets(): readonly SecretHandle[] {
    return this.#holder.policy.identitySecrets;
  }

  /** Whether every source has been asked once since the start, with whatever outcome. */
  get sourcesChecked(): boolean {
    return this.#sourcesChecked;
  }

  /**
   * Puts the policy of another configuration in place for every exchange that begins from now on: all of it at once, or
   * nothing. Exchanges under way keep what they began with. A credential that cannot be read anew keeps its value.
   * @throws {ConfigurationError} and the old policy stays
   */
  reload(config: Config, locate: Locate): Reloaded {
    const policy = buildPolicy(config, locate, this.#policyOptions);
    const old = this.#holder.policy;
    policy.sources.adopt(old.sources);
    this.#holder.policy = policy;
    this.#connections.limit = holdable(config.proxy.limits, this.#options.logger).maxConnections;
    // Its port, and the resolver that everything else uses too, wait for a restart.
    const { upstreamResolver } = this.#started.dns;
    if (config.dns.enabled) this.#dns?.configure({ ...config.dns, upstreamResolver });
    this.#options.onHosts?.(policy.hosts);
    old.pipeline.retire();
    old.sources.close();
    void old.webhook?.close(webhookFlushMs);
    // Reads the credentials now, rather than when a request waits for them.
    void policy.sources.check().then(() => {
      this.#learn(policy);
      return policy.identities.check();
    });
    const restart = keysForRestart(this.#started, config);
    const reloaded = { transforms: policy.pipeline.names, restart };
    // Where workers serve, it is told when it is in force there.
    if (this.#options.served === undefined) announceReload(reloaded, this.#options.logger);
    return reloaded;
  }

  /** Counters and gauges, for metrics and for the management API. */
  stats(): ProxyStats {
    const { size, accepted, limit } = this.#connections;
    const { written, lost, waitingBytes, failing } = this.#audit;
    return {
      connections: { open: size, accepted, limit },
      upstream: this.#upstream.stats(),
      leaves: { size: this.#leaves?.size ?? 0, made: this.#leaves?.made ?? 0 },
      audit: { written, lost, waitingBytes, failing },
      dns: this.#dns?.stats,
      sources: this.#holder.policy.sources.status(),
      mints: this.#mints.list(),
      findings: this.#findings.counts,
      findingPosts: this.#holder.policy.webhook?.stats,
    };
  }

  /** Ports that this process has bound. */
  get ports(): readonly OwnAddress[] {
    return this.#listeners.map(({ ip, port }) => ({ address: ip, port }));
  }

  /** Where records go, also those of other processes. */
  get audit(): LineAuditSink {
    return this.#audit;
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
    await this.#holder.policy.webhook?.close(webhookFlushMs);
    await this.#upstream.close();
    this.#holder.policy.pipeline.retire();
    this.#holder.policy.sources.close();
    this.#leaves?.close();
    await this.#audit.close();
  }

  /** Writes what the audit still holds, for a process that ends at once. */
  flushSync(): void {
    this.#audit.flushSync();
  }

  /** Takes in what the sources of a policy gave. */
  #learn({ pipeline }: Policy): void {
    warnOfExposures(pipeline.transforms, this.#options.logger);
    learnValues(pipeline.transforms, this.#findings.known);
  }

  async #checkSources(): Promise<void> {
    // The cache has a warning for each that fails.
    const check = this.#holder.policy.sources.check().then((failures) => {
      this.#sourcesChecked = true;
      this.#learn(this.#holder.policy);
      void this.#holder.policy.identities.check();
      return failures;
    });
    // Variables and files have been read by the end of this turn.
    await Promise.race([check, setImmediate()]);
    const own = ownPlaceholders(this.transforms);
    if (own.length > 0) {
      await this.stop(0);
      throw new Error(
        `secrets: the value of ${own.join(", ")} is its own placeholder; choose another proxy_value`,
      );
    }
    if (!this.#started.sources.requireAtStart) return;
    const failures = await check;
    if (failures.length === 0) return;
    await this.stop(0);
    throw new Error(
      `sources.require_at_start: ${failures.map(({ name }) => name).join(", ")} could not be read`,
    );
  }
}

/** Makes each thing once, for whoever asks first. */
function keeper(): NonNullable<PolicyOptions["keep"]> {
  const kept = new Map<string, unknown>();
  return <T>(key: string, make: () => T): T => {
    if (!kept.has(key)) kept.set(key, make());
    return kept.get(key) as T;
  };
}

function leavesOf({ tls }: Config, { ca, ticketKeys }: ProxyOptions): LeafStore | undefined {
  if (tls.mode === "sni-only") return undefined;
  if (ca === undefined) throw new Error("tls.mode: mitm needs a CA");
  return new LeafStore(ca, {
    cacheSize: tls.certCacheSize,
    expiryHours: tls.leafCertExpiryHours,
    ...(ticketKeys === undefined ? {} : { ticketKeys }),
  });
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

function openAudit(config: Config, { logger, onAuditHealth }: ProxyOptions): LineAuditSink {
  const sink = createAuditSink({
    file: config.audit.file,
    onFailure: config.audit.onFailure,
    format: resolveFormat(config.log.format, process.stderr.isTTY),
    onProblem(message) {
      logger.error(message);
      onAuditHealth?.(sink.healthy);
    },
    onRecovery(message) {
      logger.info(message);
      onAuditHealth?.(sink.healthy);
    },
  });
  return sink;
}

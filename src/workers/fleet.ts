// clients ──▶ workers ── asks, records, counts ──▶ first process ──▶ secret stores, token endpoints, audit file

import cluster from "node:cluster";
import { type KeyObject, randomBytes } from "node:crypto";
import type { RequestCounts } from "../admin/request-counts.ts";
import type { AuditRecord } from "../audit/types.ts";
import { signingVariables } from "../callers/keys.ts";
import type { Locate } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import { resolveFormat } from "../log/logger.ts";
import type { Transform } from "../pipeline/types.ts";
import { holdable } from "../proxy/descriptors.ts";
import { type BoundAddresses, Proxy, type ProxyOptions, type Reloaded } from "../proxy/proxy.ts";
import { announceReload, keysForRestart } from "../proxy/restart.ts";
import type { Served } from "../proxy/served.ts";
import type { ProxyStats } from "../proxy/stats.ts";
import { PrimaryCommons } from "./commons.ts";
import { Deaths } from "./deaths.ts";
import type { Boot } from "./messages.ts";
import { type WorkerEvents, WorkerProcess } from "./process.ts";
import { findPorts, type Ports, primaryConfig, workerConfig, workersOf } from "./shares.ts";
import { type Departed, noneDeparted, totalStats, withDeparted } from "./totals.ts";
import { Vault, Vaults } from "./vault.ts";

export interface FleetOptions extends ProxyOptions {
  /** Gets what the workers count. */
  readonly counts: RequestCounts | undefined;
  /** Called before the first worker is made, which gets this process's environment as it is then. */
  readonly beforeWorkers: (primary: Proxy) => void;
  /** Workers die as soon as they are made: there is no use in going on. */
  readonly onHopeless: (message: string) => void;
}

/**
 * A proxy of several processes on the same ports. This process serves none of the traffic: it has the sources, mints,
 * writes the audit and answers the operator, so that each of these is done once however many workers there are.
 */
export class Fleet implements Served {
  readonly #options: FleetOptions;
  readonly #started: Config;
  readonly #ports: Ports;
  readonly #wanted: number;
  readonly #vaults = new Vaults();
  readonly #ticketKeys = randomBytes(48);
  readonly #workers = new Set<WorkerProcess>();
  readonly #commons = new PrimaryCommons(() => this.#workers);
  readonly #deaths: Deaths;
  /** Set right after the constructor, as the next one is. */
  #primary!: Proxy;
  /** Of the policy that was built last. */
  #vault!: Vault;
  #generation = 1;
  #config: Config;
  #addresses: BoundAddresses = {};
  #departed: Departed = noneDeparted;
  #exchangesLost = 0;
  #stopping = false;

  private constructor(config: Config, options: FleetOptions, ports: Ports) {
    this.#started = config;
    this.#config = config;
    this.#options = options;
    this.#ports = ports;
    this.#wanted = workersOf(config);
    this.#deaths = new Deaths(this.#wanted);
  }

  /**
   * Starts this process's part and then the workers; when this resolves, all of them serve.
   * @throws {ConfigurationError} when transforms or sources are configured wrongly
   * @throws {ListenError} when a port cannot be bound
   * @throws {WorkerStartError} when a worker could not start
   */
  static async start(config: Config, options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(config, options, await findPorts(config));
    await fleet.#begin();
    return fleet;
  }

  async #begin(): Promise<void> {
    const { logger, beforeWorkers } = this.#options;
    this.#primary = await Proxy.start(primaryConfig(this.#started), {
      ...this.#options,
      served: this.#ports.own,
      custody: () => (this.#vault = new Vault(this.#commons)),
      commons: this.#commons,
      onAuditHealth: (healthy) => {
        for (const worker of this.#workers) worker.auditHealth(healthy);
      },
    });
    this.#vaults.put(this.#generation, this.#vault);
    beforeWorkers(this.#primary);
    // Dealt out in turn, so that parts of a limit fill evenly; docs/workers.md has what that costs.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({ serialization: "advanced" });
    try {
      const ready = Array.from({ length: this.#wanted }, () => this.#add().ready);
      const [addresses = {}] = await Promise.all(ready);
      this.#addresses = { ...addresses, ...this.#primary.addresses };
    } catch (error) {
      this.#stopping = true;
      for (const worker of this.#workers) worker.kill();
      await this.#primary.stop(0);
      throw error;
    }
    for (const [name, addr] of Object.entries(this.#addresses)) {
      if (name === "dns") continue;
      const mode = name === "https" && this.#started.tls.mode === "sni-only" ? " (sni-only)" : "";
      logger.info(`${name} proxy starting${mode}`, { addr });
    }
    holdable(this.#workerConfig().proxy.limits, logger);
    logger.info("workers serve", { workers: this.#wanted });
    const transforms = this.#primary.pipelineNames;
    if (transforms !== "") logger.info("transform pipeline", { transforms });
  }

  get addresses(): BoundAddresses {
    return this.#addresses;
  }

  get transforms(): readonly Transform[] {
    return this.#primary.transforms;
  }

  /** Sources besides those of transforms. */
  get identitySecrets(): Proxy["identitySecrets"] {
    return this.#primary.identitySecrets;
  }

  get sourcesChecked(): boolean {
    return this.#primary.sourcesChecked && this.#serving.length > 0;
  }

  stats(): ProxyStats {
    const workers = this.#serving;
    const reports = workers.flatMap(({ lastReport }) => lastReport?.stats ?? []);
    return {
      ...totalStats(this.#primary.stats(), reports, this.#departed),
      workers: {
        wanted: this.#wanted,
        died: this.#deaths.total,
        exchangesLost: this.#exchangesLost,
        processes: workers.map(({ pid, startedAt, lastReport }) => ({
          pid,
          startedAt,
          connections: lastReport?.stats.connections.open ?? 0,
          residentBytes: lastReport?.residentBytes ?? 0,
          cpuSeconds: lastReport?.cpuSeconds ?? 0,
        })),
      },
    };
  }

  async refresh(): Promise<void> {
    await Promise.all(this.#serving.map((worker) => worker.report()));
  }

  /**
   * Puts another configuration in force, here and in every worker; resolves when no request is decided by the old one
   * any more. A worker that dies meanwhile comes back with the new one.
   * @throws {ConfigurationError} and the old one stays, everywhere
   */
  async reload(config: Config, locate: Locate): Promise<Reloaded> {
    const { transforms } = this.#primary.reload(primaryConfig(config), locate);
    this.#config = config;
    this.#vaults.put(++this.#generation, this.#vault);
    const own = this.#workerConfig();
    await Promise.all([...this.#workers].map((worker) => worker.apply(this.#generation, own)));
    const reloaded = { transforms, restart: keysForRestart(this.#started, config) };
    announceReload(reloaded, this.#options.logger);
    return reloaded;
  }

  reopenAudit(): void {
    this.#primary.reopenAudit();
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#workers].map((worker) => worker.stop(timeoutMs)));
    await this.#primary.stop(timeoutMs);
  }

  /** For a process that ends at once: what workers have not sent by then ends with them. */
  flushSync(): void {
    this.#stopping = true;
    for (const worker of this.#workers) this.#bury(worker);
    this.#primary.flushSync();
  }

  get #serving(): WorkerProcess[] {
    return [...this.#workers].filter(({ isReady }) => isReady);
  }

  #workerConfig(): Config {
    return workerConfig(this.#config, this.#ports, this.#wanted);
  }

  #add(): WorkerProcess {
    const worker = new WorkerProcess(this.#boot(), this.#events);
    this.#workers.add(worker);
    return worker;
  }

  #boot(): Boot {
    const { ca, env, ownAddresses, counts, onRecord } = this.#options;
    const keys = signingVariables.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
    return {
      kind: "boot",
      generation: this.#generation,
      config: this.#workerConfig(),
      ca: ca && { certificate: ca.chainPem, key: pemOf(ca.signer.key) },
      ticketKeys: this.#ticketKeys,
      env: Object.fromEntries(keys) as NodeJS.ProcessEnv,
      ownAddresses: [...this.#primary.ports, ...(ownAddresses?.() ?? [])],
      learnt: this.#commons.lessons(),
      wants: { counts: counts !== undefined, records: onRecord !== undefined },
      auditHealthy: this.#primary.audit.healthy,
      auditFormat: this.#auditFormat(),
    };
  }

  #auditFormat(): "json" | "text" {
    const { audit, log } = this.#config;
    return audit.file === undefined ? resolveFormat(log.format, process.stderr.isTTY) : "json";
  }

  readonly #events: WorkerEvents = {
    ask: (ask) => this.#vaults.grant(ask),
    learnt: (lesson, worker, known) => this.#commons.learn(lesson, worker, known),
    audit: ({ bytes, lines, records, errands }) => {
      if (lines > 0) this.#primary.audit.writeLines(bytes, lines);
      for (const record of records) this.#options.onRecord?.(record);
      for (const errand of errands) this.#commons.run(errand);
    },
    log: ({ level, message, fields }, { pid }) => {
      this.#options.logger[level](message, { ...fields, worker: pid });
    },
    report: ({ counts }) => {
      if (counts !== undefined) this.#options.counts?.absorb(counts);
    },
    exit: (worker, how) => this.#onExit(worker, how),
  };

  #onExit(worker: WorkerProcess, how: string): void {
    const lost = this.#bury(worker);
    if (this.#stopping) return;
    const pauseMs = this.#deaths.next(Date.now() - worker.startedAt);
    this.#options.logger.error("a worker died; another takes its place", {
      worker: worker.pid,
      how,
      exchanges: lost.length,
      request_ids: lost.slice(0, 20).map(({ requestId }) => requestId),
    });
    if (pauseMs === undefined) {
      this.#options.onHopeless(
        `workers die as soon as they are made, the last one by ${how}; the log says what they met`,
      );
      return;
    }
    setTimeout(() => {
      if (!this.#stopping) this.#add();
    }, pauseMs);
  }

  /** Says of each exchange that a worker took with it what is known of it (I13). */
  #bury(worker: WorkerProcess): AuditRecord[] {
    if (!this.#workers.delete(worker)) return [];
    if (worker.lastReport !== undefined) {
      this.#departed = withDeparted(this.#departed, worker.lastReport.stats);
    }
    const now = Date.now();
    const lost = [...worker.begun.values()].map((record): AuditRecord => {
      const error = "the process that served it died";
      const durationMs = record.durationMs + now - record.time;
      return { ...record, time: now, durationMs, action: "error", reason: "worker_died", error };
    });
    this.#exchangesLost += lost.length;
    for (const record of lost) {
      this.#primary.audit.write(record);
      this.#options.onRecord?.(record);
    }
    return lost;
  }
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" });
}

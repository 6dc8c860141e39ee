// first process ── configuration, credentials ──▶ worker ── records, counts ──▶ first process

import { RequestCounts } from "../admin/request-counts.ts";
import type { Locate } from "../config/issues.ts";
import type { LogLevel } from "../log/logger.ts";
import { Proxy } from "../proxy/proxy.ts";
import { parseCa } from "../tls/ca.ts";
import { AuditLink } from "./audit-link.ts";
import { linkLogger, type LinkLogger } from "./link-logger.ts";
import type { Boot, Grant, ToPrimary, ToWorker } from "./messages.ts";
import { RemoteCommons } from "./remote-commons.ts";
import { type AskPrimary, remoteCustody } from "./remote-custody.ts";

/** How often counts are sent unasked: what a worker that dies had counted since is lost. */
const reportEveryMs = 1000;
/** Longest that the last words of a worker which fails may take, in milliseconds. */
const lastWordsMs = 500;

/** Places of configuration are told by the first process. */
const nowhere: Locate = () => ({ line: 0, column: 0 });

/** Signals are the first process's: a terminal sends them to all. USR1 would open node's inspector (I14). */
const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;

/**
 * Serves as one of several processes, as the first process says, until that says to stop or ends; gives the exit code.
 * @param env of this process; what the first process has besides comes over the channel
 */
export function runWorker(env: NodeJS.ProcessEnv): Promise<number> {
  for (const signal of signals) process.on(signal, () => {});
  return new Promise((resolve) => {
    let worker: Worker | undefined;
    process.on("message", (message: ToWorker) => {
      if (message.kind === "boot") worker = new Worker(message, { ...env, ...message.env }, resolve);
      else worker?.receive(message);
    });
    // Without the first process there are no credentials and no audit.
    process.on("disconnect", () => process.exit(1));
  });
}

/** @param sent called when the message has left this process */
function send(message: ToPrimary, sent?: () => void): void {
  process.send?.(message, undefined, undefined, () => sent?.());
}

class Worker {
  readonly #boot: Boot;
  readonly #end: (code: number) => void;
  readonly #counts: RequestCounts | undefined;
  readonly #audit: AuditLink;
  readonly #commons: RemoteCommons;
  readonly #log: LinkLogger;
  readonly #waiting = new Map<number, (grant: Grant) => void>();
  #lastAsk = 0;
  #generation: number;
  readonly #proxy: Promise<Proxy>;

  constructor(boot: Boot, env: NodeJS.ProcessEnv, end: (code: number) => void) {
    this.#boot = boot;
    this.#end = end;
    this.#generation = boot.generation;
    this.#counts = boot.wants.counts ? new RequestCounts() : undefined;
    this.#audit = new AuditLink({
      send,
      format: boot.auditFormat,
      withRecords: boot.wants.records,
      healthy: boot.auditHealthy,
    });
    this.#commons = new RemoteCommons({
      send,
      sendErrand: (errand) => this.#audit.sendErrand(errand),
      learnt: boot.learnt,
    });
    const tell = (level: LogLevel, message: string, fields: Record<string, unknown>) =>
      send({ kind: "log", level, message, fields });
    this.#log = linkLogger(boot.config.log.level, tell);
    const crash = (error: unknown) => this.#crash(error);
    process.on("uncaughtException", crash);
    process.on("unhandledRejection", crash);
    this.#proxy = this.#start(env);
    this.#proxy.then(
      ({ addresses }) => {
        this.#log.quiet = false;
        send({ kind: "ready", addresses });
        setInterval(() => void this.#report(), reportEveryMs).unref();
      },
      (error: unknown) => {
        const message = error instanceof Error ? error.message : "unexpected error";
        send({ kind: "failed", message }, () => end(1));
      },
    );
  }

  receive(message: Exclude<ToWorker, Boot>): void {
    switch (message.kind) {
      case "grant":
        this.#waiting.get(message.id)?.(message.grant);
        this.#waiting.delete(message.id);
        return;
      case "learnt":
        this.#commons.learn(message);
        return;
      case "known":
        this.#commons.known(message);
        return;
      case "audit_health":
        this.#audit.healthy = message.healthy;
        return;
      case "policy":
        void this.#proxy.then((proxy) => this.#reload(proxy, message));
        return;
      case "report":
        void this.#report();
        return;
      case "stop":
        void this.#stop(message.timeoutMs);
        return;
    }
  }

  #start(env: NodeJS.ProcessEnv): Promise<Proxy> {
    const { config, ca, ticketKeys, ownAddresses } = this.#boot;
    const counts = this.#counts;
    return Proxy.start(config, {
      env,
      logger: this.#log.logger,
      locate: nowhere,
      ca: ca === undefined ? undefined : parseCa(ca.certificate, ca.key),
      ticketKeys: Buffer.from(ticketKeys),
      ownAddresses: () => ownAddresses,
      audit: this.#audit,
      custody: () => remoteCustody(this.#generation, this.#ask, this.#commons),
      commons: this.#commons,
      onBegun: (id, record) => this.#audit.begin(id, record),
      ...(counts === undefined
        ? {}
        : {
            onOutcome: (exchange, outcome) => counts.onOutcome(exchange, outcome),
            onConnection: (record) => counts.onConnection(record),
            onHosts: (hosts) => counts.setHosts(hosts),
          }),
    });
  }

  readonly #ask: AskPrimary = (ask) => {
    const id = ++this.#lastAsk;
    const { promise, resolve } = Promise.withResolvers<Grant>();
    this.#waiting.set(id, resolve);
    send({ kind: "ask", id, ...ask });
    return promise;
  };

  /** What the first process could put in force must work here; if not, this process is no use any more. */
  #reload(proxy: Proxy, { generation, config }: Extract<ToWorker, { kind: "policy" }>): void {
    this.#generation = generation;
    this.#log.quiet = true;
    try {
      proxy.reload(config, nowhere);
    } finally {
      this.#log.quiet = false;
    }
    send({ kind: "applied", generation });
  }

  async #report(): Promise<void> {
    const { stats } = await this.#proxy.then((proxy) => ({ stats: proxy.stats() }));
    const { user, system } = process.cpuUsage();
    send({
      kind: "report",
      stats,
      counts: this.#counts?.take(),
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
    });
  }

  async #stop(timeoutMs: number): Promise<void> {
    const proxy = await this.#proxy;
    await proxy.stop(timeoutMs);
    await this.#report();
    send({ kind: "stopped" }, () => this.#end(0));
  }

  async #lastWords(): Promise<void> {
    await this.#audit.close();
    process.exit(1);
  }

  #crash(error: unknown): void {
    // Name and place, not the text: a message may quote the data it choked on (I14).
    const { name, stack } = error instanceof Error ? error : new Error("unknown");
    const at = stack?.split("\n").find((line) => line.trimStart().startsWith("at ")) ?? "";
    this.#log.logger.error("fatal error", { error: `${name} ${at.trim()}` });
    // Nothing is served in a state that nobody knows; what is left to say goes out first.
    setTimeout(() => process.exit(1), lastWordsMs);
    void this.#lastWords();
  }
}

import { createHash } from "node:crypto";
import type { Issue } from "../config/issues.ts";
import { formatIssue } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { ProxyStats, WorkersStatus } from "../proxy/stats.ts";
import { bearerCheck } from "./bearer.ts";
import type { Readiness } from "./health.ts";
import type { Outcome, ReloadHistory } from "./reloader.ts";
import { json, type Reply, type Route } from "./server.ts";

export interface ManagementOptions {
  /** The key that requests must have as `Authorization: Bearer`. */
  readonly key: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Undefined while the proxy does not serve yet. */
  running(): Running | undefined;
  readiness(): Readiness;
  /** Brings the counts of other processes up to date. */
  refresh?(): Promise<void>;
  /** Told of requests without the right key, now and then. */
  readonly onUnauthorized: () => void;
}

/** Someone who guesses is to be seen, and not to fill the log. */
const reportEveryMs = 10_000;

/** What the management API tells of a running proxy, and does to it. */
export interface Running {
  readonly config: Config;
  readonly reloads: ReloadHistory;
  readonly draining: boolean;
  /** By name, as bound. */
  readonly listeners: Readonly<Record<string, string>>;
  readonly transforms: readonly string[];
  readonly stats: ProxyStats;
  reload(): Promise<Outcome>;
}

/** The management API: `POST /v1/reload` and `GET /v1/status`, for those who have the key. */
export function managementRoutes(options: ManagementOptions): Route[] {
  const isAuthorized = bearerCheck(options.key);
  let reportedAt = Number.NEGATIVE_INFINITY;
  const guard: NonNullable<Route["guard"]> = ({ headers }) => {
    if (isAuthorized(headers.authorization)) return undefined;
    if (performance.now() - reportedAt >= reportEveryMs) {
      reportedAt = performance.now();
      options.onUnauthorized();
    }
    return json(401, { error: "unauthorized" }, { "WWW-Authenticate": 'Bearer realm="sallyport"' });
  };
  return [
    { path: "/v1/reload", method: "POST", guard, handle: () => reload(options.running()) },
    { path: "/v1/status", method: "GET", guard, handle: () => status(options) },
  ];
}

async function reload(running: Running | undefined): Promise<Reply> {
  if (running === undefined) return json(503, { error: "the proxy is starting; try again in a moment" });
  if (running.draining) return json(503, { error: "the proxy is stopping; nothing is reloaded any more" });
  const outcome = await running.reload();
  switch (outcome.kind) {
    case "ok": {
      const { transforms, restart } = outcome.reloaded;
      const warnings = outcome.warnings.map(issueOf);
      return json(200, { status: "ok", transforms, restart_required: restart, warnings });
    }
    case "rejected": {
      const error = outcome.issues.map(formatIssue).join("\n");
      return json(422, { error, issues: outcome.issues.map(issueOf) });
    }
    case "failed":
      return json(500, { error: "internal error" });
  }
}

function issueOf({ file, line, column, path, message }: Issue) {
  return { file, line, column, path, message };
}

async function status(options: ManagementOptions): Promise<Reply> {
  await options.refresh?.();
  return json(200, statusOf(options));
}

function statusOf(options: ManagementOptions): unknown {
  const { version, startedAt } = options;
  const { ready, reasons, failingSources } = options.readiness();
  const process = {
    version,
    node: globalThis.process.version,
    pid: globalThis.process.pid,
    started_at: time(startedAt),
    ready,
    not_ready_because: reasons,
    failing_sources: failingSources,
  };
  const running = options.running();
  if (running === undefined) return process;
  const { config, reloads, stats } = running;
  return {
    ...process,
    draining: running.draining,
    config: { file: config.file ?? null, hash: hashOf(config), loaded_at: time(reloads.loadedAt) },
    reloads: {
      succeeded: reloads.succeeded,
      rejected: reloads.rejected,
      failed: reloads.failed,
      last: reloads.last === undefined ? null : { ...reloads.last, at: time(reloads.last.at) },
      restart_required: reloads.restart,
    },
    listeners: running.listeners,
    transforms: running.transforms,
    sources: stats.sources.map(({ name, state, ageMs, reads, failures, error }) => ({
      name,
      state,
      age_seconds: ageMs === undefined ? null : Math.round(ageMs / 1000),
      reads,
      failures,
      error: error ?? null,
    })),
    ...(stats.workers === undefined ? {} : { workers: workersOf(stats.workers) }),
    mints: stats.mints,
    connections: stats.connections,
    upstream: stats.upstream,
    leaves: stats.leaves,
    audit: {
      written: stats.audit.written,
      lost: stats.audit.lost,
      waiting_bytes: stats.audit.waitingBytes,
      failing: stats.audit.failing,
    },
  };
}

function workersOf({ wanted, died, exchangesLost, processes }: WorkersStatus) {
  return {
    wanted,
    died,
    exchanges_lost: exchangesLost,
    processes: processes.map(({ pid, startedAt, connections, residentBytes, cpuSeconds }) => ({
      pid,
      started_at: time(startedAt),
      connections,
      resident_bytes: residentBytes,
      cpu_seconds: cpuSeconds,
    })),
  };
}

function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** The same for replicas that have the same configuration in force. It holds names of credentials, not values. */
function hashOf(config: Config): string {
  return createHash("sha256").update(JSON.stringify(config)).digest("hex").slice(0, 16);
}

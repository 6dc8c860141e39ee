import { collectDefaultMetrics, Registry } from "prom-client";
import type { ProxyStats, WorkersStatus } from "../proxy/stats.ts";
import type { DeliveryStats } from "../audit/types.ts";
import { durationsMetric, family, type Sample } from "./families.ts";
import type { ReloadHistory } from "./reloader.ts";
import type { Count, RequestCounts } from "./request-counts.ts";

/** What metrics are made of; asked at each scrape. */
export interface MetricsSources {
  readonly version: string;
  readonly counts: RequestCounts;
  /** Undefined while the proxy does not serve yet. */
  stats(): ProxyStats | undefined;
  reloads(): ReloadHistory | undefined;
  /** Export of audit records by OTLP; undefined where it is off. */
  delivery(): DeliveryStats | undefined;
  ready(): boolean;
  draining(): boolean;
}

/** How often the delay of the event loop is sampled, in milliseconds. */
const loopSampleMs = 20;

/**
 * Metrics in a registry of their own. Values are read from plain counters when a scrape comes, so that the request
 * path knows nothing of Prometheus; docs/operations.md has every series.
 */
export function createMetrics(sources: MetricsSources): Registry {
  const registry = new Registry();
  describeRequests(registry, sources.counts);
  describeProxy(registry, () => sources.stats());
  describeOperation(registry, sources);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: loopSampleMs });
  return registry;
}

function describeRequests(registry: Registry, counts: RequestCounts): void {
  const sample = ({ host, verdict, reason, count }: Count): Sample => [{ host, verdict, reason }, count];
  family(registry, "counter", {
    name: "sallyport_requests_total",
    help: "Requests that ended, by host of the rules, verdict and reason.",
    labels: ["host", "verdict", "reason"],
    samples: () => counts.requests.map(sample),
  });
  family(registry, "counter", {
    name: "sallyport_tunnels_total",
    help: "Tunnels that were opened or refused, by host of the rules, verdict and reason.",
    labels: ["host", "verdict", "reason"],
    samples: () => counts.tunnels.map(sample),
  });
  family(registry, "counter", {
    name: "sallyport_connection_events_total",
    help: "Connections with an audit record of their own: refused, failed before a request, or passed through.",
    labels: ["verdict", "reason"],
    samples: () => counts.connections.map(({ verdict, reason, count }) => [{ verdict, reason }, count]),
  });
  durationsMetric(registry, {
    name: "sallyport_request_duration_seconds",
    help: "Time of requests by leg: total to the end of the answer, upstream to the head of the response.",
    legs: { total: counts.total, upstream: counts.upstream },
  });
}

function describeProxy(registry: Registry, stats: () => ProxyStats | undefined): void {
  /** A family of which there is one series, or none while the proxy is starting. */
  const one = (
    type: "counter" | "gauge",
    name: string,
    help: string,
    value: (stats: ProxyStats) => number,
  ): void => {
    const samples = (): Sample[] => {
      const now = stats();
      return now === undefined ? [] : [[{}, value(now)]];
    };
    family(registry, type, { name, help, labels: [], samples });
  };
  const many = (
    type: "counter" | "gauge",
    name: string,
    help: string,
    labels: readonly string[],
    samples: (stats: ProxyStats) => Sample[],
  ): void => {
    const all = (): Sample[] => {
      const now = stats();
      return now === undefined ? [] : samples(now);
    };
    family(registry, type, { name, help, labels, samples: all });
  };

  one("gauge", "sallyport_connections", "Client connections that are open.", (s) => s.connections.open);
  one(
    "counter",
    "sallyport_connections_accepted_total",
    "Client connections taken.",
    (s) => s.connections.accepted,
  );
  one("gauge", "sallyport_connections_limit", "Client connections at a time.", (s) => s.connections.limit);

  many(
    "gauge",
    "sallyport_upstream_connections",
    "Upstream connections by state: busy with an exchange, idle in the pool, being dialled.",
    ["state"],
    ({ upstream }) => [
      [{ state: "busy" }, upstream.active],
      [{ state: "idle" }, upstream.idle],
      [{ state: "dialing" }, upstream.dialing],
    ],
  );
  one("counter", "sallyport_upstream_dialed_total", "Upstream connections made.", (s) => s.upstream.dialed);
  one(
    "counter",
    "sallyport_upstream_reused_total",
    "Exchanges on a pooled connection.",
    (s) => s.upstream.reused,
  );
  one(
    "counter",
    "sallyport_upstream_retried_total",
    "Exchanges repeated on another connection.",
    (s) => s.upstream.retried,
  );
  one(
    "counter",
    "sallyport_upstream_tls_resumed_total",
    "TLS handshakes that resumed a session.",
    (s) => s.upstream.resumed,
  );

  one("gauge", "sallyport_leaf_cache_entries", "Certificates for hosts that are kept.", (s) => s.leaves.size);
  one(
    "counter",
    "sallyport_leaf_certificates_total",
    "Certificates for hosts that were made.",
    (s) => s.leaves.made,
  );

  one(
    "counter",
    "sallyport_audit_records_total",
    "Audit records taken to be written.",
    (s) => s.audit.written,
  );
  one("counter", "sallyport_audit_lost_total", "Audit records that were lost.", (s) => s.audit.lost);
  one(
    "gauge",
    "sallyport_audit_queue_bytes",
    "Bytes of audit records that wait to be written.",
    (s) => s.audit.waitingBytes,
  );
  one("gauge", "sallyport_audit_failing", "1 while audit records cannot be written.", (s) =>
    Number(s.audit.failing),
  );

  many(
    "gauge",
    "sallyport_source_healthy",
    "1 when the last read of the source went well.",
    ["source"],
    (s) => bySource(s, ({ state }) => (state === "unread" ? undefined : Number(state === "ok")), Math.min),
  );
  many("gauge", "sallyport_source_age_seconds", "Age of the value that is held.", ["source"], (s) =>
    bySource(s, ({ ageMs }) => (ageMs === undefined ? undefined : ageMs / 1000), Math.max),
  );
  many("counter", "sallyport_source_reads_total", "Attempts to read the source.", ["source"], (s) =>
    bySource(s, ({ reads }) => reads, sum),
  );
  many(
    "counter",
    "sallyport_source_failures_total",
    "Attempts to read the source that failed.",
    ["source"],
    (s) => bySource(s, ({ failures }) => failures, sum),
  );

  many(
    "counter",
    "sallyport_mints_total",
    "Attempts to mint a token.",
    ["mechanism", "result"],
    ({ mints }) =>
      mints.flatMap(({ mechanism, minted, failed }): Sample[] => [
        [{ mechanism, result: "minted" }, minted],
        [{ mechanism, result: "failed" }, failed],
      ]),
  );
  many(
    "gauge",
    "sallyport_mint_healthy",
    "1 when the last attempt to mint went well.",
    ["mechanism"],
    ({ mints }) => mints.map(({ mechanism, healthy }) => [{ mechanism }, Number(healthy)]),
  );

  many(
    "counter",
    "sallyport_findings_total",
    "Misuse and leaks that were found, by kind and by what was done.",
    ["kind", "action"],
    ({ findings }) => findings.map(({ kind, action, count }) => [{ kind, action }, count]),
  );
  many(
    "counter",
    "sallyport_finding_posts_total",
    "Findings for the webhook by what became of them.",
    ["result"],
    ({ findingPosts: posts }) =>
      posts === undefined
        ? []
        : [
            [{ result: "sent" }, posts.sent],
            [{ result: "failed" }, posts.failed],
            [{ result: "dropped" }, posts.dropped],
          ],
  );

  describeWorkers(many);

  many("counter", "sallyport_dns_queries_total", "Queries that the DNS server took.", [], ({ dns }) =>
    dns === undefined ? [] : [[{}, dns.queries]],
  );
  many(
    "counter",
    "sallyport_dns_events_total",
    "Queries that were forwarded, and those that were not answered as asked.",
    ["event"],
    ({ dns }) => (dns === undefined ? [] : dnsEvents.map((event): Sample => [{ event }, dns[event]])),
  );
}

/** Of processes that serve, where they are several; this one's own are among the standard metrics. */
function describeWorkers(
  many: (
    type: "counter" | "gauge",
    name: string,
    help: string,
    labels: readonly string[],
    samples: (stats: ProxyStats) => Sample[],
  ) => void,
): void {
  const one = (
    type: "counter" | "gauge",
    name: string,
    help: string,
    value: (workers: WorkersStatus) => number,
  ): void => many(type, name, help, [], ({ workers }) => (workers ? [[{}, value(workers)]] : []));
  one("gauge", "sallyport_workers", "Processes that serve.", ({ processes }) => processes.length);
  one(
    "counter",
    "sallyport_worker_deaths_total",
    "Processes that ended without being told to.",
    ({ died }) => died,
  );
  one(
    "counter",
    "sallyport_worker_exchanges_lost_total",
    "Exchanges that ended with the process that served them, as far as is known.",
    ({ exchangesLost }) => exchangesLost,
  );
  one("gauge", "sallyport_workers_resident_bytes", "Memory of all processes that serve.", ({ processes }) =>
    processes.reduce((bytes, { residentBytes }) => bytes + residentBytes, 0),
  );
  one(
    "gauge",
    "sallyport_workers_cpu_seconds",
    "Processor time of the processes that serve now.",
    ({ processes }) => processes.reduce((seconds, { cpuSeconds }) => seconds + cpuSeconds, 0),
  );
}

const dnsEvents = ["forwarded", "failed", "refused", "limited", "malformed"] as const;

/** One value for each name: sources that differ only in how long they are kept share theirs. */
function bySource(
  { sources }: ProxyStats,
  value: (source: ProxyStats["sources"][number]) => number | undefined,
  join: (one: number, other: number) => number,
): Sample[] {
  const values = new Map<string, number>();
  for (const source of sources) {
    const own = value(source);
    if (own === undefined) continue;
    const before = values.get(source.name);
    values.set(source.name, before === undefined ? own : join(before, own));
  }
  return [...values].map(([source, joined]) => [{ source }, joined]);
}

function sum(one: number, other: number): number {
  return one + other;
}

function describeOperation(registry: Registry, sources: MetricsSources): void {
  family(registry, "gauge", {
    name: "sallyport_ready",
    help: "1 while /readyz answers 200.",
    labels: [],
    samples: () => [[{}, Number(sources.ready())]],
  });
  family(registry, "gauge", {
    name: "sallyport_draining",
    help: "1 while exchanges under way are let finish before the end.",
    labels: [],
    samples: () => [[{}, Number(sources.draining())]],
  });
  family(registry, "counter", {
    name: "sallyport_config_reloads_total",
    help: "Reloads of the configuration by result.",
    labels: ["result"],
    samples() {
      const { succeeded, rejected, failed } = sources.reloads() ?? { succeeded: 0, rejected: 0, failed: 0 };
      return [
        [{ result: "succeeded" }, succeeded],
        [{ result: "rejected" }, rejected],
        [{ result: "failed" }, failed],
      ];
    },
  });
  const reloaded = (name: string, help: string, value: (history: ReloadHistory) => number): void =>
    family(registry, "gauge", {
      name,
      help,
      labels: [],
      samples() {
        const history = sources.reloads();
        return history === undefined ? [] : [[{}, value(history)]];
      },
    });
  reloaded(
    "sallyport_config_last_success_timestamp_seconds",
    "When the configuration in force was put there.",
    ({ loadedAt }) => loadedAt / 1000,
  );
  reloaded(
    "sallyport_config_last_reload_successful",
    "1 unless the last reload was rejected or failed.",
    ({ last }) => Number(last === undefined || last.result === "ok"),
  );
  family(registry, "counter", {
    name: "sallyport_otlp_records_total",
    help: "Audit records for the OTLP collector by what became of them.",
    labels: ["result"],
    samples() {
      const delivery = sources.delivery();
      if (delivery === undefined) return [];
      const { exported, failed, dropped } = delivery;
      return [
        [{ result: "exported" }, exported],
        [{ result: "failed" }, failed],
        [{ result: "dropped" }, dropped],
      ];
    },
  });
  family(registry, "gauge", {
    name: "sallyport_otlp_queue_records",
    help: "Audit records that wait for the OTLP collector.",
    labels: [],
    samples() {
      const delivery = sources.delivery();
      return delivery === undefined ? [] : [[{}, delivery.waiting]];
    },
  });
  family(registry, "gauge", {
    name: "sallyport_build_info",
    help: "1, with the version as label.",
    labels: ["version", "node"],
    samples: () => [[{ version: sources.version, node: process.version }, 1]],
  });
}

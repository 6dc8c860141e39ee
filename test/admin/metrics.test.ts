import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics, type MetricsSources } from "../../src/admin/metrics.ts";
import { RequestCounts } from "../../src/admin/request-counts.ts";
import { makeAuthority, parseHost } from "../../src/http/authority.ts";
import type { ExchangeState } from "../../src/pipeline/exchange.ts";
import { emptyFacts } from "../../src/proxy/record.ts";
import type { ProxyStats } from "../../src/proxy/stats.ts";
import { auditRecord } from "../audit/records.ts";
import { read, rows } from "../docs/pages.ts";
import { type Family, parseExposition } from "./exposition.ts";

const source = { ageMs: 1500, reads: 3, failures: 1, error: undefined };
const stats: ProxyStats = {
  connections: { open: 2, accepted: 9, limit: 10_000 },
  upstream: { active: 1, idle: 4, dialing: 2, dialed: 7, reused: 30, retried: 1, resumed: 5 },
  leaves: { size: 3, made: 6 },
  audit: { written: 40, lost: 1, waitingBytes: 120, failing: true },
  sources: [
    { ...source, name: 'op://vault/"odd"\\item', state: "ok" },
    { ...source, name: "TWICE", state: "ok" },
    { ...source, name: "TWICE", state: "failing", ageMs: 9000 },
    { ...source, name: "UNREAD", state: "unread", ageMs: undefined, reads: 0, failures: 0 },
  ],
  mints: [{ mechanism: "oauth_token", minted: 4, failed: 2, healthy: false }],
  findings: [
    { kind: "placeholder_wrong_host", action: "blocked", count: 3 },
    { kind: "credential_in_response", action: "scrubbed", count: 8 },
  ],
  findingPosts: { sent: 5, failed: 1, dropped: 2, waiting: 4 },
  dns: { queries: 20, forwarded: 5, failed: 1, refused: 2, limited: 3, malformed: 4 },
};

function countedRequests(): RequestCounts {
  const counts = new RequestCounts();
  counts.setHosts(["api.test"]);
  const exchange = { authority: makeAuthority(parseHost("api.test"), 443) } as ExchangeState;
  counts.onOutcome(exchange, { ...emptyFacts(), durationMs: 30, upstreamMs: 20 });
  counts.onOutcome(exchange, {
    ...emptyFacts(),
    action: "reject",
    reason: "request_not_allowed",
    durationMs: 1,
  });
  counts.onConnection(auditRecord({ method: "CONNECT", host: "api.test:443" }));
  counts.onConnection(auditRecord({ method: "", host: "", action: "reject", reason: "malformed_request" }));
  return counts;
}

async function families(change: Partial<MetricsSources> = {}): Promise<Map<string, Family>> {
  const registry = createMetrics({
    version: "1.2.3",
    counts: countedRequests(),
    stats: () => stats,
    reloads: () => ({
      loadedAt: 1_700_000_000_500,
      succeeded: 3,
      rejected: 2,
      failed: 1,
      last: { at: 1, by: "SIGHUP", result: "rejected", error: "" },
      restart: [],
    }),
    delivery: () => ({ exported: 10, failed: 2, dropped: 3, waiting: 4 }),
    ready: () => true,
    draining: () => false,
    ...change,
  });
  // Twice: what is collected at a scrape is not added to the one before.
  await registry.metrics();
  assert.equal(registry.contentType, "text/plain; version=0.0.4; charset=utf-8");
  return new Map(parseExposition(await registry.metrics()).map((family) => [family.name, family]));
}

const all = await families();

function shown(name: string): string[] {
  return (all.get(name)?.samples ?? []).map(
    ({ labels, value }) => `${[...labels].map(([label, text]) => `${label}=${text}`).join(" ")} ${value}`,
  );
}

for (const [name, expected] of [
  [
    "sallyport_requests_total",
    ["host=api.test verdict=allow reason= 1", "host=api.test verdict=reject reason=request_not_allowed 1"],
  ],
  ["sallyport_tunnels_total", ["host=api.test verdict=allow reason= 1"]],
  ["sallyport_connection_events_total", ["verdict=reject reason=malformed_request 1"]],
  ["sallyport_connections", [" 2"]],
  ["sallyport_connections_accepted_total", [" 9"]],
  ["sallyport_connections_limit", [" 10000"]],
  ["sallyport_upstream_connections", ["state=busy 1", "state=idle 4", "state=dialing 2"]],
  ["sallyport_upstream_reused_total", [" 30"]],
  ["sallyport_leaf_cache_entries", [" 3"]],
  ["sallyport_audit_lost_total", [" 1"]],
  ["sallyport_audit_queue_bytes", [" 120"]],
  ["sallyport_audit_failing", [" 1"]],
  ["sallyport_source_healthy", ['source=op://vault/"odd"\\item 1', "source=TWICE 0"]],
  ["sallyport_source_age_seconds", ['source=op://vault/"odd"\\item 1.5', "source=TWICE 9"]],
  [
    "sallyport_source_failures_total",
    ['source=op://vault/"odd"\\item 1', "source=TWICE 2", "source=UNREAD 0"],
  ],
  [
    "sallyport_mints_total",
    ["mechanism=oauth_token result=minted 4", "mechanism=oauth_token result=failed 2"],
  ],
  ["sallyport_dns_queries_total", [" 20"]],
  [
    "sallyport_dns_events_total",
    ["event=forwarded 5", "event=failed 1", "event=refused 2", "event=limited 3", "event=malformed 4"],
  ],
  ["sallyport_mint_healthy", ["mechanism=oauth_token 0"]],
  ["sallyport_config_reloads_total", ["result=succeeded 3", "result=rejected 2", "result=failed 1"]],
  ["sallyport_config_last_success_timestamp_seconds", [" 1700000000.5"]],
  ["sallyport_config_last_reload_successful", [" 0"]],
  ["sallyport_otlp_records_total", ["result=exported 10", "result=failed 2", "result=dropped 3"]],
  ["sallyport_otlp_queue_records", [" 4"]],
  ["sallyport_ready", [" 1"]],
  ["sallyport_draining", [" 0"]],
  ["sallyport_build_info", [`version=1.2.3 node=${process.version} 1`]],
] as const) {
  test(`${name} is what was counted`, () => assert.deepEqual(shown(name), expected));
}

test("durations are a histogram of seconds for each leg", () => {
  const { type, samples = [] } = all.get("sallyport_request_duration_seconds") ?? {};
  assert.equal(type, "histogram");
  const at = (name: string, leg: string, le?: string) =>
    samples.find(
      (one) =>
        one.name.endsWith(name) &&
        one.labels.get("leg") === leg &&
        (le === undefined || one.labels.get("le") === le),
    )?.value;
  assert.deepEqual([at("_count", "total"), at("_count", "upstream")], [2, 1]);
  assert.equal(at("_sum", "total"), 0.031);
  assert.deepEqual([at("_bucket", "total", "0.001"), at("_bucket", "total", "0.05")], [1, 2]);
});

test("before the proxy serves there are no counters of it, and everything else is there", async () => {
  const early = await families({ stats: () => undefined, reloads: () => undefined, ready: () => false });
  assert.equal(early.get("sallyport_ready")?.samples[0]?.value, 0);
  assert.deepEqual(early.get("sallyport_source_healthy")?.samples, []);
});

test("the process and its event loop are there too", () => {
  for (const name of [
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "nodejs_eventloop_lag_p99_seconds",
  ]) {
    assert.ok((all.get(name)?.samples.length ?? 0) > 0, name);
  }
});

test("docs/operations.md has every family of ours with its type and labels, and no other", () => {
  const documented = rows(read("docs/operations.md"))
    .filter(([name]) => name?.includes("sallyport_"))
    .map(([name = "", type = "", labels = ""]) => `${name} ${type} ${labels}`)
    .sort();
  const own = [...all.values()].filter(({ name }) => name.startsWith("sallyport_"));
  const described = own
    .map(({ name, type, samples }) => {
      const labels = [...(samples[0]?.labels.keys() ?? [])].filter((label) => label !== "le");
      return `\`${name}\` ${type} ${labels.map((label) => `\`${label}\``).join(", ")}`;
    })
    .sort();
  assert.deepEqual(documented, described);
});

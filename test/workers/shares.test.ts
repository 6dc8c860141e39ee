import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { RequestCounts } from "../../src/admin/request-counts.ts";
import { withinDescriptors } from "../../src/proxy/descriptors.ts";
import type { ProxyStats } from "../../src/proxy/stats.ts";
import { emptyFacts } from "../../src/proxy/record.ts";
import { Deaths } from "../../src/workers/deaths.ts";
import { findPorts, primaryConfig, workerConfig, workersOf } from "../../src/workers/shares.ts";
import { noneDeparted, totalStats, withDeparted } from "../../src/workers/totals.ts";
import { configOf as configOfText } from "../helpers/config.ts";

/** The configuration with this `proxy` section. */
function configOf({ proxy }: { proxy: object }) {
  const tls = { ca_cert: "ca.crt", ca_key: "ca.key" };
  return configOfText(JSON.stringify({ proxy, tls }));
}

test("what is limited for the proxy is shared out, rounded up", async () => {
  const config = configOf({
    proxy: { workers: 3, limits: { max_connections: 100, upstream_idle_total: 2 } },
  });
  assert.equal(workersOf(config), 3);
  const ports = { listen: { httpListen: "off", httpsListen: "off", tunnelListen: "off" }, own: [] } as const;
  const own = workerConfig(config, ports, 3);
  assert.equal(own.proxy.limits.maxConnections, 34);
  assert.equal(own.proxy.limits.upstreamIdleTotal, 1);
  assert.equal(own.tls.explainDenials, 7);
  assert.equal(own.dns.listen, "off");
  assert.equal(primaryConfig(config).proxy.tunnelListen, "off");
});

test("workers: auto is one for each core", () => {
  const count = workersOf(configOf({ proxy: { workers: "auto" } }));
  assert.ok(count >= 1 && Number.isInteger(count));
});

test("a port that the system chooses is the same for every worker, now and later", async () => {
  const config = configOf({
    proxy: { tunnel_listen: "127.0.0.1:0", http_listen: "off", https_listen: "off" },
  });
  const { listen, own } = await findPorts(config);
  assert.notEqual(listen.tunnelListen, "off");
  assert.equal(own.length, 1);
  assert.deepEqual(listen.tunnelListen, { host: "127.0.0.1", port: own[0]?.port });
});

test("a port that another program has is named before any worker is made", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => other.once("listening", resolve));
  t.after(() => other.close());
  const { port } = other.address() as { port: number };
  const proxy = { tunnel_listen: `127.0.0.1:${port}`, http_listen: "off", https_listen: "off" };
  await assert.rejects(
    findPorts(configOf({ proxy })),
    /proxy\.tunnel_listen: cannot listen on .* another program/,
  );
});

test("deaths: the first is followed at once, more at growing intervals, and in the end by nothing", () => {
  const deaths = new Deaths(2);
  const pauses = Array.from({ length: 8 }, () => deaths.next(100));
  assert.deepEqual(pauses, [0, 200, 400, 800, 1600, 3200, 5000, undefined]);
  assert.equal(deaths.total, 8);
});

test("deaths: one that lived for a while begins a new count", () => {
  const deaths = new Deaths(1);
  for (let count = 0; count < 50; count++) assert.equal(deaths.next(60_000), 0);
});

const stats = (more: Partial<ProxyStats["connections"]>): ProxyStats => ({
  connections: { open: 1, accepted: 10, limit: 50, ...more },
  upstream: { active: 1, idle: 2, dialing: 0, dialed: 3, reused: 4, retried: 0, resumed: 1 },
  leaves: { size: 2, made: 2 },
  audit: { written: 10, lost: 1, waitingBytes: 5, failing: false },
  dns: undefined,
  sources: [],
  mints: [],
  findings: [{ kind: "placeholder_repeated", action: "blocked", count: 2 }],
  findingPosts: undefined,
});

test("figures are summed, and those of a worker that has ended keep their counters without their gauges", () => {
  const departed = withDeparted(noneDeparted, stats({ open: 9, accepted: 100 }));
  const total = totalStats(stats({}), [stats({}), stats({ open: 4 })], departed);
  assert.deepEqual(total.connections, { open: 5, accepted: 120, limit: 100 });
  assert.equal(total.upstream.dialed, 12);
  assert.equal(total.upstream.idle, 6);
  assert.deepEqual(total.leaves, { size: 4, made: 6 });
  assert.deepEqual(total.audit, { written: 10, lost: 4, waitingBytes: 15, failing: false });
  const { findings } = stats({});
  assert.deepEqual(total.findings, findings, "the first process has those of all");
});

test("counts that were taken are counted once, wherever they are added", () => {
  const worker = new RequestCounts();
  const all = new RequestCounts();
  const ended = (reason?: "overloaded") =>
    worker.onOutcome(undefined, { ...emptyFacts(), action: "reject", reason, durationMs: 3 });
  ended("overloaded");
  ended("overloaded");
  all.absorb(structuredClone(worker.take()));
  ended("overloaded");
  all.absorb(structuredClone(worker.take()));
  all.absorb(structuredClone(worker.take()));
  assert.deepEqual(
    all.requests.map(({ verdict, reason, count }) => [verdict, reason, count]),
    [["reject", "overloaded", 3]],
  );
  assert.equal(all.total.sumMs, 9);
  assert.equal(
    all.total.counts.reduce((sum, count) => sum + count),
    3,
  );
  assert.deepEqual(worker.requests, []);
});

test("I12: connections leave room for as many to upstreams, whatever the limit of open files", () => {
  const wanted = { maxConnections: 10_000, upstreamIdleTotal: 1024 };
  for (const limit of [70, 128, 1024, 4096, 20_000]) {
    const { maxConnections, upstreamIdleTotal } = withinDescriptors(wanted, limit);
    assert.ok(maxConnections >= 1 && 2 * maxConnections + upstreamIdleTotal <= limit, String(limit));
  }
  assert.deepEqual(withinDescriptors(wanted, Number.POSITIVE_INFINITY), wanted);
});

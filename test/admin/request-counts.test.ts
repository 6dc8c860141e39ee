import assert from "node:assert/strict";
import { test } from "node:test";
import { bounds, Durations } from "../../src/admin/durations.ts";
import { type Count, maxHostLabels, RequestCounts } from "../../src/admin/request-counts.ts";
import { makeAuthority, parseHost } from "../../src/http/authority.ts";
import type { ExchangeState } from "../../src/pipeline/exchange.ts";
import { emptyFacts, type Outcome } from "../../src/proxy/record.ts";
import type { Reason } from "../../src/reasons.ts";
import { auditRecord } from "../audit/records.ts";

function exchange(host: string): ExchangeState {
  return { authority: makeAuthority(parseHost(host), 443) } as ExchangeState;
}

function outcome(change: Partial<Outcome> = {}): Outcome {
  return { ...emptyFacts(), durationMs: 3, ...change };
}

function rejected(reason: Reason): Outcome {
  return outcome({ action: "reject", reason });
}

function shown(counts: readonly Count[]): string[] {
  return counts.map(({ host, verdict, reason, count }) => `${host} ${verdict} ${reason} ${count}`).sort();
}

test("counts requests by host of the rules, verdict and reason", () => {
  const counts = new RequestCounts();
  counts.setHosts(["api.test", "*.example.com"]);
  counts.onOutcome(exchange("api.test"), outcome());
  counts.onOutcome(exchange("api.test"), outcome());
  counts.onOutcome(exchange("a.example.com"), rejected("request_not_allowed"));
  counts.onOutcome(exchange("b.example.com"), rejected("request_not_allowed"));
  counts.onOutcome(exchange("evil.test"), rejected("host_not_allowed"));
  counts.onOutcome(undefined, rejected("malformed_request"));
  counts.onOutcome(exchange("api.test"), outcome({ action: "error", reason: "upstream_closed" }));
  assert.deepEqual(shown(counts.requests), [
    "*.example.com reject request_not_allowed 2",
    "api.test allow  2",
    "api.test error upstream_closed 1",
    "none reject malformed_request 1",
    "other reject host_not_allowed 1",
  ]);
});

test("after a reload hosts are sorted anew, and what was counted stays", () => {
  const counts = new RequestCounts();
  counts.setHosts(["api.test"]);
  counts.onOutcome(exchange("api.test"), outcome());
  counts.setHosts(["*.test"]);
  counts.onOutcome(exchange("api.test"), outcome());
  assert.deepEqual(shown(counts.requests), ["*.test allow  1", "api.test allow  1"]);
});

test("I12: names that a workload makes up never become labels", () => {
  const counts = new RequestCounts();
  counts.setHosts(["api.test"]);
  for (let at = 0; at < 5000; at++) {
    counts.onOutcome(exchange(`name-${at}.evil.test`), rejected("host_not_allowed"));
    counts.onConnection(
      auditRecord({ method: "CONNECT", host: `name-${at}.evil.test:443`, action: "reject" }),
    );
  }
  assert.deepEqual(shown(counts.requests), ["other reject host_not_allowed 5000"]);
  assert.deepEqual(shown(counts.tunnels), ["other reject  5000"]);
});

test("I12: a configuration with very many hosts has a bounded number of labels, over all reloads", () => {
  const counts = new RequestCounts();
  for (let reload = 0; reload < 3; reload++) {
    const hosts = Array.from({ length: 80 }, (_, at) => `h${at}.r${reload}.test`);
    counts.setHosts(hosts);
    for (const host of hosts) counts.onOutcome(exchange(host), outcome());
  }
  assert.equal(new Set(counts.requests.map(({ host }) => host)).size, maxHostLabels + 1);
  assert.equal(
    counts.requests.reduce((total, { count }) => total + count, 0),
    240,
  );
});

test("tunnels and connections without a request are counted apart", () => {
  const counts = new RequestCounts();
  counts.setHosts(["api.test"]);
  counts.onConnection(auditRecord({ method: "CONNECT", host: "api.test:443", action: "allow" }));
  counts.onConnection(
    auditRecord({ method: "CONNECT", host: "\u0000 no host", action: "reject", reason: "invalid_host" }),
  );
  counts.onConnection(auditRecord({ method: "", host: "", action: "error", reason: "tls_handshake_failed" }));
  assert.deepEqual(shown(counts.tunnels), ["api.test allow  1", "none reject invalid_host 1"]);
  assert.deepEqual(shown(counts.connections), [" error tls_handshake_failed 1"]);
  assert.deepEqual(counts.requests, []);
});

test("durations fall into the first bound that holds them, and those beyond the last are kept too", () => {
  const durations = new Durations();
  for (const ms of [0, 1, 1.01, 2.5, 300_000, 300_001]) durations.observe(ms);
  assert.deepEqual([durations.counts[0], durations.counts[1]], [2, 2]);
  assert.deepEqual(durations.counts.slice(-2), [1, 1]);
  assert.equal(durations.sumMs, 600_005.51);
  assert.equal(durations.counts.length, bounds.length + 1);
});

test("the total leg is of every request, the upstream's only where an upstream answered", () => {
  const counts = new RequestCounts();
  counts.onOutcome(exchange("api.test"), outcome({ durationMs: 12, upstreamMs: 9 }));
  counts.onOutcome(exchange("api.test"), rejected("host_not_allowed"));
  assert.equal(
    counts.total.counts.reduce((one, other) => one + other),
    2,
  );
  assert.equal(
    counts.upstream.counts.reduce((one, other) => one + other),
    1,
  );
  assert.equal(counts.upstream.sumMs, 9);
});

test("counting a request costs less than two microseconds", () => {
  const counts = new RequestCounts();
  counts.setHosts(["*.example.com", ...Array.from({ length: 50 }, (_, at) => `h${at}.test`)]);
  const exchanges = Array.from({ length: 64 }, (_, at) => exchange(`w${at}.example.com`));
  const ended = outcome({ upstreamMs: 20, durationMs: 21 });
  const rounds = 100_000;
  let best = Number.POSITIVE_INFINITY;
  // The best of several runs: other work on the machine only ever adds.
  for (let run = 0; run < 5; run++) {
    const since = performance.now();
    for (let at = 0; at < rounds; at++) counts.onOutcome(exchanges[at & 63], ended);
    best = Math.min(best, ((performance.now() - since) * 1000) / rounds);
  }
  assert.ok(best < 2, `${best.toFixed(3)} microseconds`);
});

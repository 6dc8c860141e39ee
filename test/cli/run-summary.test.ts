import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditRecord } from "../../src/audit/types.ts";
import { createSummary } from "../../src/cli/run/summary.ts";
import { emptyFacts } from "../../src/proxy/record.ts";
import { fakeExchange } from "../helpers/exchange.ts";

function record(given: Partial<AuditRecord>): AuditRecord {
  return {
    time: 0,
    requestId: "1",
    host: "api.example",
    method: "GET",
    path: "/",
    remoteAddress: "",
    sni: "",
    mode: "mitm",
    action: "allow",
    status: 200,
    durationMs: 1,
    bytesIn: 0,
    bytesOut: 0,
    requestTraces: [],
    responseTraces: [],
    ...given,
  };
}

function credentialed(annotations: Record<string, unknown>, name = "secrets") {
  const exchange = fakeExchange();
  exchange.credentialed = true;
  exchange.requestTraces.push({ name, action: "allow", durationMs: 0, annotations });
  return exchange;
}

test("says what was allowed, what had a credential and what was refused", () => {
  const summary = createSummary();
  for (let count = 0; count < 12; count++) summary.onRecord(record({}));
  summary.onRecord(record({ method: "CONNECT", host: "api.example:443" }));
  for (let count = 0; count < 9; count++) {
    const swapped = [{ secret: "OPENAI_API_KEY", locations: ["header:Authorization"] }];
    summary.onOutcome(credentialed({ swapped }), emptyFacts());
  }
  for (let count = 0; count < 2; count++) {
    summary.onRecord(
      record({ method: "CONNECT", host: "evil.example:443", action: "reject", reason: "host_not_allowed" }),
    );
  }
  assert.equal(
    summary.text(),
    "12 requests allowed, 9 with a credential (OPENAI_API_KEY 9), 2 refused (evil.example 2)",
  );
});

test("says so when there was nothing", () => {
  assert.equal(createSummary().text(), "no requests");
});

test("names the mechanism where it does not name its credentials", () => {
  const summary = createSummary();
  summary.onRecord(record({}));
  summary.onOutcome(credentialed({ region: "eu-west-1" }, "aws_auth"), emptyFacts());
  assert.equal(summary.text(), "1 request allowed, 1 with a credential (aws_auth 1)");
});

test("counts no credential of a request that was refused after all", () => {
  const summary = createSummary();
  summary.onOutcome(credentialed({}), { ...emptyFacts(), action: "reject" });
  assert.equal(summary.text(), "no requests");
});

test("tells failures from refusals, with their reasons", () => {
  const summary = createSummary();
  summary.onRecord(record({ action: "error", reason: "upstream_resolve_failed", status: 502 }));
  summary.onRecord(record({ method: "", action: "reject", reason: "tls_handshake_failed", status: 0 }));
  summary.onRecord(record({ method: "CONNECT", action: "reject", reason: "caller_required", status: 407 }));
  assert.equal(
    summary.text(),
    "2 failed (api.example upstream_resolve_failed 1, api.example tls_handshake_failed 1), " +
      "1 sent without the proxy's password",
  );
});

test("I12: names of hosts are bounded, and obey no terminal", () => {
  const summary = createSummary();
  for (let count = 0; count < 500; count++) {
    summary.onRecord(record({ action: "reject", reason: "host_not_allowed", host: `${count}.example` }));
  }
  summary.onRecord(record({ action: "reject", reason: "host_not_allowed", host: "\u001b[2J" }));
  const text = summary.text();
  assert.match(text, /^501 refused \(others 401, 0\.example 1, .*, and 96 more\)$/);
  const single = createSummary();
  single.onRecord(record({ action: "reject", host: "\u001b[2J" }));
  assert.equal(single.text(), "1 refused (\\u001b[2J 1)");
});

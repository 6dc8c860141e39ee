import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { serializeRecord } from "../../src/audit/serialize.ts";
import type { AuditRecord, Trace } from "../../src/audit/types.ts";
import { reasons } from "../../src/reasons.ts";
import { Secret } from "../../src/sources/types.ts";
import { auditRecord } from "./records.ts";

test("an allowed request has the fields of the schema in their order, and nothing that does not apply", () => {
  assert.equal(
    serializeRecord(auditRecord()),
    '{"time":"2026-11-22T06:13:05.042Z","level":"INFO","msg":"request","audit":{"host":"api.example.com",' +
      '"method":"GET","path":"/v1/items","remote_addr":"10.0.0.7:51724","sni":"api.example.com","mode":"mitm",' +
      '"action":"allow","status_code":200,"duration_ms":12.346,"request_id":"0192f3a1-7c4e","bytes_in":187,' +
      '"bytes_out":431}}',
  );
});

for (const [action, level] of [
  ["allow", "INFO"],
  ["stub", "INFO"],
  ["client_cancel", "INFO"],
  ["reject", "WARN"],
  ["error", "ERROR"],
] as const) {
  test(`the level of action ${action} is ${level}`, () => {
    assert.equal(JSON.parse(serializeRecord(auditRecord({ action }))).level, level);
  });
}

test("milliseconds of the time keep their leading zeroes, over a change of second", () => {
  const times = [0, 9, 10, 99, 100, 999, 1000, 1001, 999];
  assert.deepEqual(
    times.map((time) => JSON.parse(serializeRecord(auditRecord({ time }))).time),
    times.map((time) => new Date(time).toISOString()),
  );
});

test("I14: a secret among annotations prints as [redacted]", () => {
  const annotations = { token: new Secret("hunter2"), nested: [new Secret("hunter2")] };
  const line = serializeRecord(
    auditRecord({ requestTraces: [{ name: "t", action: "allow", durationMs: 0, annotations }] }),
  );
  assert.ok(!line.includes("hunter2"));
  assert.deepEqual(JSON.parse(line).request_transforms[0].annotations, {
    token: "[redacted]",
    nested: ["[redacted]"],
  });
});

test("annotations that JSON cannot hold do not cost the record", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;
  for (const annotations of [cycle, { big: 1n }]) {
    const line = serializeRecord(
      auditRecord({ requestTraces: [{ name: "t", action: "allow", durationMs: 0, annotations }] }),
    );
    assert.deepEqual(JSON.parse(line).request_transforms[0].annotations, { unserializable: true });
  }
});

test("numbers that JSON cannot hold become 0", () => {
  const line = serializeRecord(auditRecord({ durationMs: Number.NaN, bytesIn: Number.POSITIVE_INFINITY }));
  const { audit } = JSON.parse(line);
  assert.equal(audit.duration_ms, 0);
  assert.equal(audit.bytes_in, 0);
});

test("a line never holds a control character, so a path cannot write on a terminal or start a new line", () => {
  const path = "/\n\r\u001b[2J\u009b31m\u202e\u2028\u007f\0";
  const line = serializeRecord(auditRecord({ path }));
  assert.match(line, /^[\u0020-\u007e]*$/);
  assert.equal(JSON.parse(line).audit.path, path);
});

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.string());
const trace: fc.Arbitrary<Trace> = fc.record(
  {
    name: text,
    action: fc.constantFrom("allow" as const, "reject" as const, "stub" as const, "error" as const),
    durationMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    error: text,
    annotations: fc.dictionary(text, fc.jsonValue()),
  },
  { requiredKeys: ["name", "action", "durationMs"] },
);
const anyRecord: fc.Arbitrary<AuditRecord> = fc.record(
  {
    time: fc.integer({ min: 0, max: 4102444800000 }),
    requestId: text,
    host: text,
    method: text,
    path: text,
    remoteAddress: text,
    sni: text,
    mode: fc.constantFrom("mitm" as const, "sni-only" as const),
    action: fc.constantFrom("allow", "reject", "stub", "error", "client_cancel"),
    status: fc.integer({ min: 0, max: 599 }),
    durationMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
    bytesIn: fc.nat(),
    bytesOut: fc.nat(),
    reason: fc.constantFrom(...reasons),
    rejectedBy: text,
    stubbedBy: text,
    error: text,
    caller: text,
    upstreamAddress: text,
    reused: fc.boolean(),
    tls: fc.record({ client: text, upstream: text }, { requiredKeys: [] }),
    http: fc.record({ client: text, upstream: text }, { requiredKeys: ["client"] }),
    tunnel: fc.record({ target: text, traces: fc.array(trace, { maxLength: 2 }) }),
    requestTraces: fc.array(trace, { maxLength: 3 }),
    responseTraces: fc.array(trace, { maxLength: 3 }),
    bodyCapture: fc.record({ request_body: text, request_body_truncated: fc.boolean() }),
  },
  {
    requiredKeys: [
      "time",
      "requestId",
      "host",
      "method",
      "path",
      "remoteAddress",
      "sni",
      "mode",
      "action",
      "status",
      "durationMs",
      "bytesIn",
      "bytesOut",
      "requestTraces",
      "responseTraces",
    ],
  },
);

test("every line is valid JSON and holds the record, for any record", () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      const line = serializeRecord(record);
      assert.ok(!/[\u0000-\u001f]/.test(line));
      assert.ok(!/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/.test(line));
      // Through text again, since that shows the order of the keys as well.
      const expected: unknown = JSON.parse(JSON.stringify(expectedObject(record)));
      assert.equal(JSON.stringify(JSON.parse(line)), JSON.stringify(expected));
    }),
    { numRuns: 150 },
  );
});

/** The record as an object with its keys in the schema's order: the slow and obvious way to the same line. */
function expectedObject(record: AuditRecord): unknown {
  const list = (traces: readonly Trace[]): unknown =>
    traces.length === 0 ? undefined : traces.map(expectedTrace);
  return {
    time: new Date(record.time).toISOString(),
    level: record.action === "error" ? "ERROR" : record.action === "reject" ? "WARN" : "INFO",
    msg: "request",
    audit: {
      host: record.host,
      method: record.method,
      path: record.path,
      remote_addr: record.remoteAddress,
      sni: record.sni,
      mode: record.mode,
      action: record.action,
      status_code: record.status,
      duration_ms: Math.round(record.durationMs * 1000) / 1000,
      request_id: record.requestId,
      bytes_in: record.bytesIn,
      bytes_out: record.bytesOut,
      upstream_addr: record.upstreamAddress,
      tls: record.tls && { client: record.tls.client, upstream: record.tls.upstream },
      http: record.http && { client: record.http.client, upstream: record.http.upstream },
      reused: record.reused,
      reason: record.reason,
      caller: record.caller,
    },
    tunnel: record.tunnel && {
      target: record.tunnel.target,
      request_transforms: list(record.tunnel.traces),
    },
    rejected_by: record.rejectedBy,
    stubbed_by: record.stubbedBy,
    error: record.error,
    request_transforms: list(record.requestTraces),
    response_transforms: list(record.responseTraces),
    body_capture: record.bodyCapture && {
      request_body: record.bodyCapture.request_body,
      request_body_truncated: record.bodyCapture.request_body_truncated,
    },
  };
}

function expectedTrace(trace: Trace): unknown {
  const annotations = trace.annotations;
  return {
    name: trace.name,
    action: trace.action,
    duration_ms: Math.round(trace.durationMs * 1000) / 1000,
    error: trace.error,
    annotations: annotations === undefined || Object.keys(annotations).length === 0 ? undefined : annotations,
  };
}

import assert from "node:assert/strict";
import { afterEach, type TestContext, test } from "node:test";
import { type AuditExport, openAuditExport } from "../../src/audit/otlp.ts";
import type { AuditRecord } from "../../src/audit/types.ts";
import { eventually } from "../e2e/harness/wait.ts";
import { type Collector, Integer, startGrpcCollector, startHttpCollector } from "../fakes/collector.ts";
import { auditRecord } from "./records.ts";

/** The SDK reads the variables of the process. */
afterEach(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith("OTEL_")) delete process.env[name];
});

interface Bench {
  readonly exporting: AuditExport;
  readonly problems: string[];
  readonly recoveries: string[];
}

async function open(
  t: TestContext,
  collector: Collector,
  variables: Record<string, string> = {},
): Promise<Bench> {
  Object.assign(process.env, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BLRP_SCHEDULE_DELAY: "10",
    ...variables,
  });
  const problems: string[] = [];
  const recoveries: string[] = [];
  const exporting = await openAuditExport({
    env: process.env,
    version: "1.2.3",
    onProblem: (message) => problems.push(message),
    onRecovery: (message) => recoveries.push(message),
  });
  assert.ok(exporting !== undefined);
  t.after(async () => {
    await collector.close();
    await exporting.close(0);
  });
  return { exporting, problems, recoveries };
}

const everything: AuditRecord = auditRecord({
  action: "error",
  status: 502,
  reason: "upstream_connect_failed",
  error: "connect to 203.0.113.8:443: connection refused",
  caller: "sandbox-41",
  upstreamAddress: "203.0.113.8:443",
  reused: false,
  tls: { client: "TLSv1.3", upstream: "TLSv1.2" },
  http: { client: "2", upstream: "1.1" },
  rejectedBy: "allowlist",
  stubbedBy: "oauth_token",
  tunnel: {
    target: "api.example.com:443",
    traces: [{ name: "allowlist", action: "allow", durationMs: 0.5 }],
  },
  requestTraces: [
    {
      name: "secrets",
      action: "allow",
      durationMs: 0.25,
      annotations: {
        swapped: [{ secret: "KEY", locations: ["header:Authorization"] }],
        count: 2,
        ratio: 0.5,
      },
    },
    { name: "broken", action: "error", durationMs: 1, error: "failed", annotations: { big: 10n } },
  ],
  responseTraces: [{ name: "annotate", action: "allow", durationMs: 2 }],
  bodyCapture: { request_body: "{}", request_body_truncated: false },
});

test("a finding arrives with the fields of its line", async (t) => {
  const collector = await startHttpCollector();
  const { exporting } = await open(t, collector, { OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" });
  const finding = {
    kind: "placeholder_wrong_host",
    action: "blocked",
    secret: "KEY",
    where: "query",
    count: 2,
    host: "api.example.com",
    method: "GET",
  } as const;
  const more = { time: 5, requestId: "r-1", remoteAddress: "10.0.0.7:5", caller: "sandbox-41", repeated: 3 };
  exporting.writeFinding({ ...finding, ...more });
  const record = await eventually("the finding", () => collector.records[0]);
  assert.equal(record.body, "finding");
  assert.deepEqual(record.severity, [13, "WARN"]);
  assert.equal(record.observed, 5_000_000n);
  assert.deepEqual(record.attributes, {
    ...finding,
    count: new Integer(2),
    repeated: new Integer(3),
    remote_addr: "10.0.0.7:5",
    caller: "sandbox-41",
    request_id: "r-1",
  });
});

for (const [protocol, start] of [
  ["http/protobuf", startHttpCollector],
  ["http/json", startHttpCollector],
  ["grpc", startGrpcCollector],
] as const) {
  test(`${protocol}: a record arrives with everything that its line has`, async (t) => {
    const collector = await start();
    const { exporting } = await open(t, collector, { OTEL_EXPORTER_OTLP_PROTOCOL: protocol });
    exporting.write(everything);
    const record = await eventually("the record", () => collector.records[0]);
    assert.equal(record.scope, "sallyport/audit");
    assert.equal(record.resource["service.name"], "sallyport");
    assert.equal(record.resource["service.version"], "1.2.3");
    assert.equal(record.resource["telemetry.sdk.language"], "nodejs");
    const written = BigInt(everything.time) * 1_000_000n;
    assert.equal(record.observed, written, "when the record was written");
    assert.equal(record.time, written - 12_346_000n, "when the request began");
    assert.deepEqual(record.severity, [17, "ERROR"]);
    assert.equal(record.body, "request");
    const int = (value: number) => new Integer(value);
    assert.deepEqual(record.attributes, {
      host: "api.example.com",
      method: "GET",
      path: "/v1/items",
      remote_addr: "10.0.0.7:51724",
      sni: "api.example.com",
      mode: "mitm",
      action: "error",
      status_code: int(502),
      duration_ms: 12.3456,
      request_id: "0192f3a1-7c4e",
      bytes_in: int(187),
      bytes_out: int(431),
      upstream_addr: "203.0.113.8:443",
      reused: false,
      reason: "upstream_connect_failed",
      caller: "sandbox-41",
      rejected_by: "allowlist",
      stubbed_by: "oauth_token",
      error: "connect to 203.0.113.8:443: connection refused",
      tls: { client: "TLSv1.3", upstream: "TLSv1.2" },
      http: { client: "2", upstream: "1.1" },
      tunnel: {
        target: "api.example.com:443",
        request_transforms: [{ name: "allowlist", action: "allow", duration_ms: 0.5 }],
      },
      body_capture: { request_body: "{}", request_body_truncated: false },
      request_transforms: [
        {
          name: "secrets",
          action: "allow",
          duration_ms: 0.25,
          annotations: {
            swapped: [{ secret: "KEY", locations: ["header:Authorization"] }],
            count: int(2),
            ratio: 0.5,
          },
        },
        {
          name: "broken",
          action: "error",
          duration_ms: int(1),
          error: "failed",
          annotations: { unserializable: true },
        },
      ],
      response_transforms: [{ name: "annotate", action: "allow", duration_ms: int(2) }],
    });
    await eventually("the count", () => exporting.stats.exported === 1);
    assert.deepEqual(exporting.stats, { exported: 1, failed: 0, dropped: 0, waiting: 0 });
  });

  test(`${protocol}: headers and the resource are those of the variables`, async (t) => {
    const collector = await start();
    const { exporting } = await open(t, collector, {
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_HEADERS: "x-token=t0ken,x-scope=a%20b",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
      OTEL_SERVICE_NAME: "egress",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=prod,service.name=ignored",
    });
    exporting.write(auditRecord());
    const record = await eventually("the record", () => collector.records[0]);
    assert.equal(record.resource["service.name"], "egress");
    assert.equal(record.resource["deployment.environment.name"], "prod");
    const { path, headers } = collector.calls[0] ?? { path: "", headers: {} };
    assert.match(path, protocol === "grpc" ? /LogsService\/Export$/ : /^\/v1\/logs$/);
    assert.equal(headers["x-token"], "t0ken");
    assert.equal(headers["x-scope"], "a b");
  });

  test(`I14 ${protocol}: a collector that refuses is reported once, without what it says, and counted`, async (t) => {
    const collector = await start();
    collector.behave("refuse");
    const { exporting, problems, recoveries } = await open(t, collector, {
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_HEADERS: "x-token=t0ken",
    });
    for (let at = 1; at <= 3; at++) {
      exporting.write(auditRecord());
      await eventually(`failure ${at}`, () => exporting.stats.failed === at);
    }
    assert.equal(problems.length, 1, problems.join("\n"));
    const reason = protocol === "grpc" ? "gRPC status 7" : "HTTP status 400";
    assert.ok(problems.join().includes(`OTEL_EXPORTER_OTLP_ENDPOINT: ${reason}.`), problems.join());
    assert.ok(!problems.join().includes("t0ken"));
    assert.deepEqual(exporting.stats, { exported: 0, failed: 3, dropped: 0, waiting: 0 });
    collector.behave("accept");
    exporting.write(auditRecord());
    await eventually("the recovery", () => recoveries.length === 1);
  });
}

for (const [action, severity] of [
  ["allow", [9, "INFO"]],
  ["stub", [9, "INFO"]],
  ["client_cancel", [9, "INFO"]],
  ["reject", [13, "WARN"]],
  ["error", [17, "ERROR"]],
] as const) {
  test(`${action} has the level that its line has`, async (t) => {
    const collector = await startHttpCollector();
    const { exporting } = await open(t, collector);
    exporting.write(auditRecord({ action }));
    const record = await eventually("the record", () => collector.records[0]);
    assert.deepEqual(record.severity, severity);
    assert.equal(record.attributes["action"], action);
    assert.ok(!("tunnel" in record.attributes) && !("request_transforms" in record.attributes));
  });
}

test("I12: a collector that hangs costs a bounded queue; what does not fit is dropped and counted", async (t) => {
  const collector = await startHttpCollector();
  collector.behave("hang");
  const { exporting, problems } = await open(t, collector, {
    OTEL_BLRP_MAX_QUEUE_SIZE: "50",
    OTEL_EXPORTER_OTLP_TIMEOUT: "1500",
  });
  for (let at = 0; at < 200; at++) exporting.write(auditRecord());
  await eventually("the call", () => collector.calls.length > 0);
  assert.deepEqual(exporting.stats, { exported: 0, failed: 0, dropped: 150, waiting: 50 });
  const since = performance.now();
  await exporting.close(100);
  assert.ok(performance.now() - since < 1000, "the end does not wait for it");
  assert.deepEqual(problems, [
    "50 audit records were not delivered to the collector of OTEL_EXPORTER_OTLP_ENDPOINT in time",
  ]);
});

test("I13: closing sends what waits first", async (t) => {
  const collector = await startHttpCollector();
  const { exporting, problems } = await open(t, collector, { OTEL_BLRP_SCHEDULE_DELAY: "60000" });
  for (let at = 0; at < 1200; at++) exporting.write(auditRecord({ requestId: `${at}` }));
  await exporting.close(5000);
  assert.equal(new Set(collector.records.map(({ attributes }) => attributes["request_id"])).size, 1200);
  assert.deepEqual(problems, []);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { otlpSettings } from "../../src/audit/otlp-settings.ts";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.test:4318" };

for (const [what, env] of [
  ["no endpoint", {}],
  ["an empty endpoint", { OTEL_EXPORTER_OTLP_ENDPOINT: "" }],
  ["only a protocol", { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }],
  ["the SDK switched off", { ...endpoint, OTEL_SDK_DISABLED: "TRUE" }],
  ["logs switched off", { ...endpoint, OTEL_LOGS_EXPORTER: "none" }],
  ["an endpoint for traces only", { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://collector.test:4318" }],
] as const) {
  test(`nothing is exported with ${what}`, () => assert.equal(otlpSettings(env), undefined));
}

for (const [what, env, protocol, variable] of [
  ["an endpoint", endpoint, "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT"],
  [
    "one for logs, which wins",
    { ...endpoint, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "https://logs.test/v1/logs" },
    "http/protobuf",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
  ],
  ["gRPC", { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT"],
  [
    "a protocol for logs, which wins",
    { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "http/json" },
    "http/json",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
  ],
  [
    "host and port alone over gRPC",
    { OTEL_EXPORTER_OTLP_ENDPOINT: "collector.test:4317", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
    "grpc",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
  ],
  [
    "OTEL_SDK_DISABLED=false",
    { ...endpoint, OTEL_SDK_DISABLED: "false" },
    "http/protobuf",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
  ],
] as const) {
  test(`exports with ${what}`, () => {
    const settings = otlpSettings(env);
    assert.deepEqual([settings?.protocol, settings?.variable], [protocol, variable]);
  });
}

for (const [what, env, says] of [
  [
    "a protocol that there is not",
    { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "HTTP/Protobuf" },
    /^unsupported OTEL_EXPORTER_OTLP_PROTOCOL: "HTTP\/Protobuf"; it can be http\/protobuf, http\/json, grpc$/,
  ],
  [
    "one for logs",
    { ...endpoint, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "thrift" },
    /^unsupported OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "thrift"/,
  ],
  [
    "an endpoint that is no URL, without repeating it",
    { OTEL_EXPORTER_OTLP_ENDPOINT: "user:hunter2@collector" },
    /^OTEL_EXPORTER_OTLP_ENDPOINT is not a URL such as http:\/\/collector\.example:4318$/,
  ],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => otlpSettings(env),
      (error: Error) => says.test(error.message),
    );
  });
}

test("I12: the queue is bounded, whatever the variables say", () => {
  const batch = (env: NodeJS.ProcessEnv) => otlpSettings({ ...endpoint, ...env })?.batch;
  assert.deepEqual(batch({}), {
    maxQueueSize: 2048,
    maxExportBatchSize: 512,
    scheduledDelayMillis: 1000,
    exportTimeoutMillis: 30_000,
  });
  assert.equal(batch({ OTEL_BLRP_MAX_QUEUE_SIZE: "100" })?.maxQueueSize, 100);
  assert.equal(batch({ OTEL_BLRP_MAX_QUEUE_SIZE: "100" })?.maxExportBatchSize, 100);
  assert.equal(batch({ OTEL_BLRP_MAX_QUEUE_SIZE: "999999999" })?.maxQueueSize, 100_000);
  for (const wrong of ["0", "-5", "many", "1.5", ""]) {
    assert.equal(batch({ OTEL_BLRP_MAX_QUEUE_SIZE: wrong })?.maxQueueSize, 2048, wrong);
  }
});

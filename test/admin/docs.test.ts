// docs/operations.md against the code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readiness } from "../../src/admin/health.ts";
import { otlpSettings } from "../../src/audit/otlp-settings.ts";
import { reasons } from "../../src/reasons.ts";
import { keysForRestart } from "../../src/proxy/restart.ts";
import { blocks, codes, read, rows } from "../docs/pages.ts";
import { configOf } from "../helpers/config.ts";

const page = read("docs/operations.md");

test("the configuration is without fault", () => {
  const [example] = blocks(page).filter(({ language }) => language === "yaml");
  const { metrics, management } = configOf(example?.text ?? "", { IRON_MANAGEMENT_API_KEY: "k" });
  assert.notEqual(metrics.listen, "off");
  assert.notEqual(management.listen, "off");
});

test("readiness gives the reasons of the page, and those alone", () => {
  const given = new Set(
    [true, false].flatMap((serving) =>
      [true, false].flatMap((draining) =>
        readiness({ serving, sourcesChecked: false, draining, sources: [] }).reasons.map(String),
      ),
    ),
  );
  const listed = rows(page).map(([reason = ""]) => codes(reason)[0] ?? "");
  assert.deepEqual(
    [...given].filter((reason) => !listed.includes(reason)),
    [],
  );
});

test("keys that the page says a reload changes are none that wait for a restart", () => {
  const [, text = ""] = /What takes effect: ([^]*?)\n\n/.exec(page) ?? [];
  const keys = codes(text).filter((key) => key.includes("."));
  assert.ok(keys.length > 8);
  const started = configOf("tls: {ca_cert: c, ca_key: k}\n");
  const changed: Readonly<Record<string, string>> = {
    "proxy.default": "allow",
    "proxy.rule_ports": "any",
    "proxy.plaintext_credentials": "allow",
    "proxy.denial_message": "Ask.",
    "proxy.max_request_body_bytes": "7",
    "proxy.max_response_body_bytes": "7",
    "proxy.shutdown_timeout": "7s",
    "proxy.limits.max_connections": "7",
    "tls.explain_denials": "7",
    "proxy.require_caller": "true",
  };
  for (const key of keys) {
    const value = changed[key];
    assert.ok(value !== undefined, `try ${key} here`);
    const [section = "", ...rest] = key.split(".");
    const own = rest.reduceRight((inner, step) => `{${step}: ${inner}}`, value);
    const tls = section === "tls" ? `{ca_cert: c, ca_key: k, ${own.slice(1)}` : "{ca_cert: c, ca_key: k}";
    const text = `tls: ${tls}\n${section === "tls" ? "" : `${section}: ${own}\n`}`;
    const next = configOf(text, { SANDBOX_SIGNING_KEY: "k".repeat(48) });
    assert.notDeepEqual(next, started, key);
    assert.deepEqual(keysForRestart(started, next), [], key);
  }
});

test("the standard numbers of batches are those of the page", () => {
  const batch = otlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c.test" })?.batch;
  const { scheduledDelayMillis, maxQueueSize, maxExportBatchSize, exportTimeoutMillis } = batch ?? {};
  const text = `every ${scheduledDelayMillis} ms, ${maxQueueSize} records waiting, ${maxExportBatchSize} at a time, ${exportTimeoutMillis} ms`;
  assert.ok(page.includes(text), text);
});

test("the loop through the proxy has the reason that the page names", () => {
  assert.ok(reasons.includes("proxy_loop") && page.includes("`proxy_loop`"));
});

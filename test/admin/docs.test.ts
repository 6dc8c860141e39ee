// docs/operations.md against the code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readiness } from "../../src/admin/health.ts";
import { otlpSettings } from "../../src/audit/otlp-settings.ts";
import { configKeys } from "../../src/config/schema.ts";
import { reasons } from "../../src/reasons.ts";
import { restartKeys } from "../../src/proxy/restart.ts";
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

/** Keys of the table that says when a change takes effect; a section stands for all that is in it. */
const reloadable = rows(page)
  .filter(([, when = ""]) => /^(?:with the next|at the) /.test(when))
  .flatMap(([keys = ""]) => codes(keys));

const has = (list: readonly string[], key: string) =>
  list.some((one) => one === key || key.startsWith(`${one}.`));

for (const { path, type } of configKeys()) {
  const key = path.join(".");
  // Refused, or of a mode that there is not.
  if (type === "section" || /^(?:mcp|mcp_gateway|postgres|control_plane)\b/.test(key)) continue;
  test(`${key} takes effect with a reload or waits for a restart, and the page says which`, () => {
    // The server appears and goes away with the section; its address waits.
    const waits = has(restartKeys, key) || key === "dns.enabled";
    assert.notEqual(has(reloadable, key), waits, `name it in docs/operations.md or src/proxy/restart.ts`);
  });
}

test("every key of the page is one", () => {
  const known = configKeys().map(({ path }) => path.join("."));
  assert.ok(reloadable.length > 30);
  for (const key of reloadable) assert.ok(known.includes(key), key);
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

import assert from "node:assert/strict";
import { test } from "node:test";
import { configJsonSchema } from "../../src/config/json-schema.ts";
import { configKeys } from "../../src/config/schema.ts";
import { sourceKinds } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: boolean;
  readonly required?: readonly string[];
  readonly items?: Node & { anyOf?: readonly Node[] };
  readonly anyOf?: readonly Node[];
  readonly definitions?: Readonly<Record<string, Node>>;
}

const schema = configJsonSchema(transformKinds, sourceKinds) as Node;

function at(path: readonly string[]): Node | undefined {
  return path.reduce<Node | undefined>((node, key) => node?.properties?.[key], schema);
}

test("has every key, with a description", () => {
  for (const { path } of configKeys()) {
    assert.ok((at(path)?.description ?? "").length > 5, path.join("."));
  }
});

test("knows no other keys in any section", () => {
  assert.equal(schema.additionalProperties, false);
  for (const { path, type } of configKeys()) {
    if (type === "section") assert.equal(at(path)?.additionalProperties, false, path.join("."));
  }
});

test("requires nothing that a file may leave out", () => {
  assert.equal(schema.required, undefined);
  assert.equal(at(["proxy"])?.required, undefined);
});

test("shows defaults as a person writes them", () => {
  const shown = (path: string) => at(path.split("."))?.default;
  assert.equal(shown("proxy.upstream_response_header_timeout"), "30s");
  assert.equal(shown("proxy.default"), "deny");
  assert.equal(shown("tls.cert_cache_size"), 1000);
  assert.equal(shown("proxy.max_response_body_bytes"), 0);
  assert.equal(shown("log.level"), "info");
  assert.equal(shown("proxy.require_caller"), false);
  assert.deepEqual(at(["log", "level"])?.enum, ["debug", "info", "warn", "error"]);
});

test("has every kind of transform and of source with its keys", () => {
  const entries = schema.properties?.["transforms"]?.items?.anyOf ?? [];
  assert.deepEqual(
    entries.map((entry) => entry.properties?.["name"]?.const),
    transformKinds.map(({ name }) => name),
  );
  const sources = schema.definitions?.["source"]?.anyOf ?? [];
  assert.deepEqual(
    sources.map((source) => source.properties?.["type"]?.const),
    sourceKinds.map(({ name }) => name),
  );
  for (const source of sources) assert.ok(source.required?.includes("type"));
});

// Row D2 and T38, as far as declarations go: which variables a sandbox gets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { harnessTools, sandboxPlaceholders } from "../../src/tools/index.ts";
import { toolOf } from "./support.ts";

test("D2: the name, or replacer, for every http entry, sorted; nothing for credentials that programs never see", () => {
  const tool = toolOf(
    [
      '{ name = "Z_KEY", match_path = true, hosts = ["z"] }',
      '{ name = "A_KEY", match_path = true, hosts = ["a"], replacer = "sk-none" }',
      '{ name = "I_KEY", mode = "inject", inject_header = "X", hosts = ["i"] }',
      '{ type = "gcp_auth", name = "GCP" }',
      '{ type = "pg_dsn", name = "DSN", database = "d" }',
    ].join(),
  );
  assert.deepEqual(
    sandboxPlaceholders([tool]).map(({ name, placeholder, mode }) => [name, placeholder, mode]),
    [
      ["A_KEY", "sk-none", "replace"],
      ["I_KEY", "I_KEY", "inject"],
      ["Z_KEY", "Z_KEY", "replace"],
    ],
  );
});

test("T38: an enabled harness has the variable of its own name", () => {
  const { tools } = harnessTools(["claude-code"], undefined);
  assert.deepEqual(sandboxPlaceholders(tools), [
    {
      name: "ANTHROPIC_API_KEY",
      placeholder: "ANTHROPIC_API_KEY",
      mode: "replace",
      hosts: ["api.anthropic.com"],
      tools: ["ANTHROPIC_API_KEY"],
    },
  ]);
});

test("a placeholder that is swapped counts before one that is not, whichever tool comes first", () => {
  const injects = toolOf('{ name = "K", mode = "inject", inject_header = "X", hosts = ["i"] }', "a");
  const replaces = toolOf('{ name = "K", match_path = true, hosts = ["r"], replacer = "token" }', "b");
  for (const tools of [
    [injects, replaces],
    [replaces, injects],
  ]) {
    assert.deepEqual(sandboxPlaceholders(tools), [
      { name: "K", placeholder: "token", mode: "replace", hosts: ["i", "r"], tools: ["a", "b"] },
    ]);
  }
});

// Rows F1 and F2: credentials of agents.
import assert from "node:assert/strict";
import { test } from "node:test";
import { harnessTools } from "../../src/tools/index.ts";

function entries(names: readonly string[], gateway?: string | Record<string, string>) {
  const { tools, problems } = harnessTools(names, gateway);
  assert.deepEqual(problems, []);
  return tools.flatMap(({ name, secrets }) =>
    secrets.map((entry) => {
      assert.ok(entry.type === "http" && entry.mode === "replace");
      assert.deepEqual([entry.name, entry.placeholder, entry.secret.ref], [name, name, name]);
      return [name, entry.hosts.join(" "), entry.matchHeaders.join()];
    }),
  );
}

test("F1: each credential stands in its own header for its own hosts, under its own name", () => {
  const table = [
    ["AMP_API_KEY", "ampcode.com", "Authorization"],
    ["ANTHROPIC_API_KEY", "api.anthropic.com", "X-Api-Key"],
    ["GEMINI_API_KEY", "generativelanguage.googleapis.com", "X-Goog-Api-Key"],
    ["GITHUB_TOKEN", "github.com api.github.com", "Authorization"],
    ["OPENAI_API_KEY", "api.openai.com", "Authorization"],
    ["OPENROUTER_API_KEY", "openrouter.ai", "Authorization"],
    ["SLACK_BOT_TOKEN", "*.slack.com", "Authorization"],
    ["XAI_API_KEY", "api.x.ai", "Authorization"],
  ];
  assert.deepEqual(entries(table.map(([name]) => name as string)), table);
});

for (const [harness, credential] of [
  ["codex", "OPENAI_API_KEY"],
  ["amp", "AMP_API_KEY"],
  ["claude-code", "ANTHROPIC_API_KEY"],
  ["pi-mono", "ANTHROPIC_API_KEY"],
] as const) {
  test(`F2: ${harness} alone enables ${credential} alone`, () => {
    assert.deepEqual(
      entries([harness]).map(([name]) => name),
      [credential],
    );
  });
}

test("F2: nothing is enabled unless it is named, and what is named twice is enabled once", () => {
  assert.deepEqual(entries([]), []);
  assert.equal(entries(["claude-code", "pi-mono", "ANTHROPIC_API_KEY"]).length, 1);
});

test("F2: a gateway stands in for language models, and never gets another credential", () => {
  assert.deepEqual(
    entries(["codex", "claude-code", "GITHUB_TOKEN"], "llm.internal:8443").map(([, hosts]) => hosts),
    ["llm.internal:8443", "github.com api.github.com", "llm.internal:8443"],
  );
});

test("F2: a gateway for one name, of an agent or a credential, leaves the others alone", () => {
  const gateway = { "claude-code": "claude.internal", GITHUB_TOKEN: "git.internal" };
  assert.deepEqual(
    entries(["codex", "pi-mono", "GITHUB_TOKEN"], gateway).map(([, hosts]) => hosts),
    ["claude.internal", "git.internal", "api.openai.com"],
  );
});

test("says which name is not known", () => {
  const { tools, problems } = harnessTools(["codx", "toString"], { nobody: "h" });
  assert.deepEqual(tools, []);
  assert.deepEqual(
    problems.map(({ part, name }) => [part, name]),
    [
      ["harnesses", "codx"],
      ["harnesses", "toString"],
      ["gateway", "nobody"],
    ],
  );
  assert.match(problems[0]?.message ?? "", /did you mean "codex"/);
});

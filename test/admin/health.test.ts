import assert from "node:assert/strict";
import { test } from "node:test";
import { readiness, type ServingState } from "../../src/admin/health.ts";
import type { SourceStatus } from "../../src/sources/registry.ts";

const serving: ServingState = { serving: true, sourcesChecked: true, draining: false, sources: [] };

function source(name: string, state: SourceStatus["state"]): SourceStatus {
  return { name, state, ageMs: undefined, reads: 1, failures: 0, error: undefined };
}

for (const [what, change, reasons] of [
  ["everything is there", {}, []],
  ["no listener is bound yet", { serving: false, sourcesChecked: false }, ["starting"]],
  ["sources have not been asked yet", { sourcesChecked: false }, ["sources_not_checked"]],
  ["it drains", { draining: true }, ["draining"]],
  ["it is told to stop while it starts", { serving: false, draining: true }, ["starting", "draining"]],
] as const) {
  test(`H3: readiness when ${what}: ${reasons.join(", ") || "ready"}`, () => {
    const answer = readiness({ ...serving, ...change });
    assert.deepEqual(answer.reasons, reasons);
    assert.equal(answer.ready, reasons.length === 0);
  });
}

test("sources that fail are named once each, and do not keep it from being ready", () => {
  const sources = [source("A", "ok"), source("B", "failing"), source("B", "failing"), source("C", "unread")];
  const answer = readiness({ ...serving, sources });
  assert.deepEqual(answer.failingSources, ["B"]);
  assert.equal(answer.ready, true);
});

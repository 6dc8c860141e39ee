import assert from "node:assert/strict";
import { test } from "node:test";
import { faults } from "./soak/faults.ts";
import { soak } from "./soak.ts";

test("I12 I13: every protocol at once, with every fault, leaves nothing behind", {
  timeout: 100_000,
  skip: process.platform === "linux" ? false : "descriptors and memory are read from /proc",
}, async () => {
  const result = await soak({ seconds: 4, seed: 1, workers: 1, clock: false, report: () => {} });
  assert.ok(Object.keys(result.kinds).length >= 30, "most kinds came up");
  for (const { name } of faults) assert.ok((result.faults[name] ?? 0) >= 1, name);
  assert.ok(result.auditRecords > 200);
});

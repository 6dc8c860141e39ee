import assert from "node:assert/strict";
import { test } from "node:test";
import { faults } from "./soak/faults.ts";
import { soak } from "./soak.ts";

const isLinux = process.platform === "linux" || "descriptors and memory are read from /proc";

test("I12 I13: every protocol at once, with every fault, leaves nothing behind", {
  timeout: 100_000,
  skip: isLinux === true ? false : isLinux,
}, async () => {
  const result = await soak({ seconds: 5, seed: 1, workers: 1, clock: false, report: () => {} });
  assert.ok(Object.keys(result.kinds).length >= 40, "most kinds came up");
  for (const { name } of faults) assert.equal(result.faults[name], 1, name);
  assert.ok(result.auditRecords > 500);
});

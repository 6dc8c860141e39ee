import assert from "node:assert/strict";
import { test } from "node:test";
import { soak } from "./soak.ts";

test("I12 I13: 2000 requests with faults of every kind leave nothing behind", {
  timeout: 100_000,
}, async () => {
  const result = await soak({ requests: 2000, seed: 1, report: () => {} });
  assert.equal(result.requests, 2000);
  assert.ok(result.auditRecords > 2000, "tunnels have records of their own");
  assert.ok(Object.keys(result.kinds).length >= 14, "every kind came up");
});

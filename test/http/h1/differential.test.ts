import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { anyRequests, anyResponse } from "../../fuzz/http1.ts";
import { Random } from "../../fuzz/random.ts";
import { compareRequests, compareResponse } from "./differential.ts";
import { requestFixtures, responseFixtures } from "./fixtures.ts";

for (const [name, input] of Object.entries(requestFixtures)) {
  test(`attack 22: node reads the same requests: ${name}`, async () => {
    assert.ok((await compareRequests(input)) > 0, "nothing was compared");
  });
}

for (const [name, { methods, input }] of Object.entries(responseFixtures)) {
  test(`attack 22: node reads the same response: ${name}`, async () => {
    assert.ok((await compareResponse(input, methods[0] as string)) > 0, "nothing was compared");
  });
}

test("attack 20 21 22: whatever damaged message is accepted, node accepts and reads alike", async () => {
  let compared = 0;
  const property = fc.asyncProperty(fc.integer(), async (seed) => {
    const random = new Random(seed);
    compared += await compareRequests(anyRequests(random));
    const { method, input } = anyResponse(random);
    compared += await compareResponse(input, method);
  });
  await fc.assert(property, { numRuns: 600 });
  assert.ok(compared > 200, `only ${compared} messages were compared`);
});

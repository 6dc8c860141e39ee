import assert from "node:assert/strict";
import { test } from "node:test";
import { bearerCheck } from "../../src/admin/bearer.ts";

const key = "the-management-key";

for (const [what, authorization, expected] of [
  ["the key", `Bearer ${key}`, true],
  ["the scheme in lower case (RFC 9110 section 11.1)", `bearer ${key}`, true],
  ["more space than needed", `Bearer   ${key} `, true],
  ["nothing", undefined, false],
  ["an empty field", "", false],
  ["the scheme alone", "Bearer ", false],
  ["another key", "Bearer other", false],
  ["the key with more behind it", `Bearer ${key}x`, false],
  ["the beginning of the key", `Bearer ${key.slice(0, -1)}`, false],
  ["the key without a scheme", key, false],
  ["the key as a password", `Basic ${Buffer.from(`x:${key}`).toString("base64")}`, false],
  ["two keys", `Bearer ${key} other`, false],
] as const) {
  test(`H1: ${what} is ${expected ? "let in" : "refused"}`, () => {
    assert.equal(bearerCheck(key)(authorization), expected);
  });
}

test("an empty key lets nobody in", () => {
  const check = bearerCheck("");
  for (const authorization of [undefined, "", "Bearer", "Bearer ", "Bearer  "]) {
    assert.equal(check(authorization), false, `${authorization}`);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { shapedPlaceholder } from "../../src/tools/shaped-placeholder.ts";

for (const [value, shape] of [
  ["sk-proj-AbCdEf0123456789AbCdEf", /^sk-proj-[A-Za-z0-9]{22}$/],
  ["sk-ant-api03-abcDEF0123456789abcDEF-_AA", /^sk-ant-api03-[A-Za-z0-9]{26}$/],
  ["sk-0123456789abcdef0123456789abcdef", /^sk-[0-9a-f]{32}$/],
  ["ghp_0123456789ABCDEFabcdefghijklmnopqrst", /^ghp_[A-Za-z0-9]{36}$/],
  ["github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv", /^github_pat_[A-Za-z0-9]{33}$/],
  [
    "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOp",
    /^xoxb-[A-Za-z0-9]{12}-[A-Za-z0-9]{13}-[A-Za-z0-9]{16}$/,
  ],
  ["AKIAIOSFODNN7EXAMPLEX012", /^AKIA[A-Z0-9]{20}$/],
  ["AIzaSyA1234567890abcdefghijklmnopqrstuv", /^AIza[A-Za-z0-9]{35}$/],
  ["glpat-abcdefghij0123456789", /^glpat-[a-z0-9]{20}$/],
  ["hf_abcdefghijABCDEFGHIJabcdefghij", /^hf_[A-Za-z]{30}$/],
  ["6f1d3c2a-8b7e-4f60-9a51-0c2d4e6f8a9b", /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
  [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    /^[A-Za-z0-9]{20}\.[A-Za-z0-9]{15}\.[A-Za-z0-9]{12}$/,
  ],
  ["short", /^[a-z]{20}$/],
  ["sk-short1", /^sk-[a-z0-9]{20}$/],
  ["!?%$&/()=!?%$&/()=!?%$&", /^[a-z0-9]{23}$/],
] as const) {
  test(`a placeholder for ${value.slice(0, 11)}... has its shape`, () => {
    assert.match(shapedPlaceholder(value), shape);
  });
}

test("two placeholders for one value differ", () => {
  assert.notEqual(shapedPlaceholder("sk-abcdefghijklmnopqrst"), shapedPlaceholder("sk-abcdefghijklmnopqrst"));
});

test("I14: a placeholder says nothing of the value but its beginning, length and kinds of characters", () => {
  const value = fc.string({
    unit: fc.constantFrom(...Array.from("abcXYZ019-_.+/")),
    minLength: 1,
    maxLength: 60,
  });
  const prefix = fc.constantFrom("", "sk-", "ghp_", "xoxb-", "AKIA");
  fc.assert(
    fc.property(prefix, value, (start, rest) => {
      const secret = start + rest;
      const placeholder = shapedPlaceholder(secret);
      assert.ok(placeholder.length >= secret.length && placeholder.length >= 20);
      assert.match(placeholder, /^[\w.-]+$/);
      // Eight characters in common at one place come once in 10^9 by chance.
      for (let at = start.length; at + 8 <= secret.length; at++) {
        if (
          /^[a-zA-Z0-9]{8}$/.test(secret.slice(at, at + 8)) &&
          new Set(secret.slice(start.length)).size > 6
        ) {
          assert.notEqual(placeholder.slice(at, at + 8), secret.slice(at, at + 8));
        }
      }
    }),
  );
});

test("a document makes a placeholder of bounded length", () => {
  assert.equal(shapedPlaceholder("x1".repeat(5000)).length, 512);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseAuthority } from "../../src/http/authority.ts";
import { facts, sound } from "./rules-support.ts";

test("globs agree with regular expressions", () => {
  const pattern = fc.array(fc.constantFrom("a", "b", "*", "?", "[ab]", "[^a]", "c"), {
    minLength: 1,
    maxLength: 8,
  });
  const text = fc.array(fc.constantFrom("a", "b", "c", "%2F"), { maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (patternPieces, textPieces) => {
      const glob = patternPieces.join("");
      const segment = textPieces.join("");
      const source = patternPieces
        .map((piece) => (piece === "*" ? ".*" : piece === "?" ? "." : piece))
        .join("");
      // An escape counts as one character, so the regular expression is shown one.
      const expected = new RegExp(`^${source}$`).test(segment.replaceAll("%2F", "#"));
      const rules = sound([{ host: "h.example", paths: [`/x${glob}`] }]);
      assert.equal(rules.match(facts("h.example", "GET", `/x${segment}`)), expected, `${glob} on ${segment}`);
    }),
    { numRuns: 1000 },
  );
});

test("the index of thousands of rules answers as the rules one by one do", () => {
  const label = fc.constantFrom("a", "b", "ab", "com", "10");
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => `${labels.join(".")}.net`);
  const host = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
    name.map((text) => `a*.${text}`),
    name.map((text) => `${text}:8443`),
    fc.constantFrom("*:22", "10.0.0.1", "10.0.0.*:22", "localhost"),
  );
  const authority = fc
    .tuple(fc.oneof(name, fc.constantFrom("10.0.0.1", "localhost", "[::1]")), fc.constantFrom(22, 443, 8443))
    .map(([text, port]) => `${text}:${port}`);
  fc.assert(
    fc.property(fc.array(host, { minLength: 1, maxLength: 8 }), authority, (hosts, text) => {
      const oneByOne = hosts.some((one) => sound([{ host: one }]).match(facts(text)));
      const together = sound(hosts.map((one) => ({ host: one })));
      assert.equal(together.match(facts(text)), oneByOne);
      assert.equal(together.admits(parseAuthority(text, undefined), undefined), oneByOne);
      assert.equal(together.describe(facts(text)).matched, oneByOne);
    }),
    { numRuns: 1000 },
  );
});

test("I12: a pattern of many stars takes no exponential time on a path made for it", () => {
  const rules = sound([{ host: "a.example", paths: [`/${"*a".repeat(30)}*b`] }]);
  const path = `/${"a".repeat(8000)}`;
  const started = performance.now();
  for (let round = 0; round < 10; round++) assert.equal(rules.match(facts("a.example", "GET", path)), false);
  assert.ok(performance.now() - started < 1000);
});

test("thousands of rules cost about as much as one", () => {
  const configs = Array.from({ length: 5000 }, (_, index) => ({
    host: index % 2 === 0 ? `h${index}.example.com` : `*.h${index}.example.com`,
  }));
  const rules = sound(configs);
  const request = facts("a.b.h4999.example.com");
  assert.equal(rules.match(request), true);
  const started = performance.now();
  for (let round = 0; round < 20_000; round++) rules.match(request);
  // Globs one by one would take minutes.
  assert.ok(performance.now() - started < 1000);
});

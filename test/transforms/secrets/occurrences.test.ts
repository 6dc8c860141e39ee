import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  decodePercent,
  occurrences,
  replaceEncodedOccurrences,
  replaceOccurrences,
} from "../../../src/transforms/secrets/occurrences.ts";

function needles(...texts: string[]) {
  return texts.sort((left, right) => right.length - left.length).map((text) => ({ text, owner: text }));
}

const someText = fc.string({ unit: fc.constantFrom("a", "b", "c", "%", "6", "1", "+"), maxLength: 60 });
const someNeedles = fc.uniqueArray(
  fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 }),
  {
    maxLength: 4,
  },
);

test("occurrences are in order, apart from each other, and each is its needle", () => {
  fc.assert(
    fc.property(someText, someNeedles, (text, texts) => {
      const found = occurrences(text, needles(...texts));
      let end = 0;
      for (const hit of found) {
        assert.ok(hit.start >= end);
        assert.equal(text.slice(hit.start, hit.end), hit.owner);
        end = hit.end;
      }
    }),
  );
});

test("I7: between occurrences no needle is left, and the longest has all of its own", () => {
  fc.assert(
    fc.property(someText, someNeedles, (text, texts) => {
      const sorted = needles(...texts);
      const found = occurrences(text, sorted);
      const gaps = replaceOccurrences(text, found, () => "\n");
      for (const part of gaps.split("\n")) for (const needle of texts) assert.ok(!part.includes(needle));
      const longest = sorted[0]?.owner;
      if (longest === undefined) return;
      assert.equal(found.filter(({ owner }) => owner === longest).length, text.split(longest).length - 1);
    }),
  );
});

test("a single needle is replaced as replaceAll would, dollar signs included", () => {
  fc.assert(
    fc.property(someText, (text) => {
      const found = occurrences(text, needles("ab"));
      assert.equal(
        replaceOccurrences(text, found, () => "$&"),
        text.replaceAll("ab", () => "$&"),
      );
    }),
  );
});

test("in encoded text only the occurrences change, whatever else is broken in it", () => {
  fc.assert(
    fc.property(someText, someNeedles, fc.boolean(), (text, texts, form) => {
      const decoded = decodePercent(text, form);
      const found = occurrences(decoded, needles(...texts));
      assert.equal(
        replaceEncodedOccurrences(text, found, () => undefined),
        text,
      );
      const changed = replaceEncodedOccurrences(text, found, () => "\n");
      assert.equal(
        decodePercent(changed, form),
        replaceOccurrences(decoded, found, () => "\n"),
      );
      // What is left of the text stands in it in the same order, byte for byte.
      let at = 0;
      for (const part of changed.split("\n")) {
        at = text.indexOf(part, at);
        assert.ok(at >= 0);
        at += part.length;
      }
    }),
  );
});

test("I12: a text that is all placeholders, and one that almost is, take linear time", () => {
  const text = "proxy-token-0".repeat(80_000);
  const started = performance.now();
  assert.equal(
    occurrences(text, needles("proxy-token-0", "proxy-token-0x", "token-0proxy", "0proxy-t")).length,
    80_000,
  );
  assert.ok(performance.now() - started < 2000);
});

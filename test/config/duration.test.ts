import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { formatDuration, parseDuration } from "../../src/config/duration.ts";

describe("durations in Go's grammar", () => {
  const valid: readonly [text: string, ms: number][] = [
    ["0", 0],
    ["+0", 0],
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    [".5s", 500],
    ["5.s", 5000],
    ["250ms", 250],
    ["3us", 0.003],
    ["3µs", 0.003],
    ["3μs", 0.003],
    ["1ns", 1e-6],
    ["1h1m1s1ms", 3_661_001],
    ["-2m", -120_000],
    ["+2m", 120_000],
  ];
  for (const [text, ms] of valid) {
    test(`reads ${text} as ${ms} ms`, () => assert.equal(parseDuration(text), ms));
  }

  const invalid = [
    "",
    "5",
    "-",
    "m",
    ".",
    ".s",
    "ten",
    "1d",
    "1 h",
    "1h ",
    " 1h",
    "1H",
    "1e3s",
    "--1s",
    "1s-2s",
    "1_0s",
  ];
  for (const text of [...invalid, "9999999h", `${"1".repeat(120)}s`]) {
    test(`refuses ${JSON.stringify(text.slice(0, 20))}`, () => assert.equal(parseDuration(text), undefined));
  }

  const written: readonly [ms: number, text: string][] = [
    [0, "0s"],
    [600_000, "10m"],
    [5_400_000, "1h30m"],
    [1500, "1.5s"],
    [250, "250ms"],
    [1e-6, "1ns"],
    [-1000, "-1s"],
  ];
  for (const [ms, text] of written) {
    test(`writes ${ms} ms as ${text}`, () => assert.equal(formatDuration(ms), text));
  }

  test("what is written reads back as the same number of milliseconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e11, max: 1e11 }), (ms) => {
        assert.equal(parseDuration(formatDuration(ms)), ms === 0 ? 0 : ms);
      }),
    );
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anyHeader,
  compileHeaderMatcher,
  isForbiddenForCredentials,
  searchedHeaders,
} from "../../src/transforms/header-matcher.ts";

function compile(entries: string[], everything = anyHeader) {
  const errors: string[] = [];
  const matcher = compileHeaderMatcher(entries, {
    everything,
    excluded: isForbiddenForCredentials,
    error: (index, message) => errors.push(`${index}: ${message}`),
  });
  return { matcher, errors };
}

test("the first entry that matches decides the spelling", () => {
  const cases: [entries: string[], key: string, spelling: string | undefined][] = [
    [["X-KEY"], "x-key", "X-KEY"],
    [["X-KEY", "x-Key"], "x-key", "X-KEY"],
    [["X-KEY", "/x-/"], "x-key", "X-KEY"],
    [["/x-/", "X-KEY"], "x-key", undefined],
    [["/^KEY/"], "x-key", "none"],
    [["/KEY$/"], "x-key", undefined],
    [["//"], "anything", undefined],
    [["/.*/", "X-KEY"], "x-key", undefined],
    [["X-KEY"], "other", "none"],
  ];
  for (const [entries, key, spelling] of cases) {
    const { matcher, errors } = compile(entries);
    assert.deepEqual(errors, []);
    for (const _ of [1, 2]) {
      const match = matcher.match(key);
      assert.equal(match === undefined ? "none" : match.spelling, spelling, `${entries.join()} ${key}`);
    }
  }
});

test("a pattern for every name means what the caller says, beside others too", () => {
  const { matcher } = compile(["/^cookie$/", "/.*/"], searchedHeaders);
  assert.ok(matcher.match("x-key"));
  assert.ok(matcher.match("cookie"));
  assert.equal(matcher.match("referer"), undefined);
  assert.equal(matcher.match("host"), undefined);
  assert.equal(compile(["/^host$/"]).matcher.match("host"), undefined);
});

test("what is no name and no pattern is an error with its position", () => {
  const { errors } = compile(["ok", "", "a b", "/(/", "/", "x:y"]);
  assert.deepEqual(
    errors.map((error) => error.slice(0, 2)),
    ["1:", "2:", "3:", "4:", "5:"],
  );
});

test("I12: a pattern that would make a backtracking engine hang answers at once, and answers are bounded", () => {
  const { matcher } = compile(["/^(a+)+$/"]);
  const started = performance.now();
  assert.equal(matcher.match(`${"a".repeat(5000)}!`), undefined);
  for (let index = 0; index < 2000; index++) assert.equal(matcher.match(`x-${index}`), undefined);
  assert.ok(matcher.match("aaa"));
  assert.ok(performance.now() - started < 2000);
});

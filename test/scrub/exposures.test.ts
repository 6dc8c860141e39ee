import assert from "node:assert/strict";
import { test } from "node:test";
import { Exposures } from "../../src/scrub/exposures.ts";
import { exposed } from "./support.ts";

const hour = 3_600_000;

function finds(set: ReturnType<Exposures["after"]>, text: string): boolean {
  return set?.automaton.test(Buffer.from(`${text}!!!!`)) ?? false;
}

test("what went out to a host for a caller is looked for there, and nowhere else", () => {
  const exposures = new Exposures();
  exposures.after("a", "api.test", [exposed("value-of-a-0001")]);
  exposures.after("b", "api.test", [exposed("value-of-b-0001")]);
  assert.ok(finds(exposures.after("a", "api.test", undefined), "value-of-a-0001"));
  assert.ok(!finds(exposures.after("a", "api.test", undefined), "value-of-b-0001"));
  assert.equal(exposures.after("", "api.test", undefined), undefined);
  assert.equal(exposures.after("a", "other.test", undefined), undefined);
});

test("the automaton is made anew only when a value changes", () => {
  const exposures = new Exposures();
  const first = exposures.after("", "api.test", [exposed("value-0001")])?.automaton;
  assert.equal(exposures.after("", "api.test", [exposed("value-0001")])?.automaton, first);
  assert.notEqual(exposures.after("", "api.test", [exposed("value-0002")])?.automaton, first);
});

test("a rotated value is looked for one hour more", () => {
  let now = 0;
  const exposures = new Exposures(() => now);
  const set = exposures.after("", "api.test", [exposed("value-0001")]);
  exposures.after("", "api.test", [exposed("value-0002")]);
  assert.ok(finds(set, "value-0001") && finds(set, "value-0002"));
  now = hour - 1;
  assert.ok(finds(set, "value-0001"));
  now = hour;
  assert.ok(!finds(set, "value-0001") && finds(set, "value-0002"));
});

test("two sources of one name take turns without making the automaton anew each time", () => {
  const exposures = new Exposures(() => 0);
  const values = [exposed("value-0001"), exposed("value-0002")];
  const set = exposures.after("", "api.test", [values[0] as never]);
  for (const value of [...values, ...values]) exposures.after("", "api.test", [value]);
  const settled = set?.automaton;
  for (const value of [...values, ...values]) exposures.after("", "api.test", [value]);
  assert.equal(set?.automaton, settled);
});

test("a value of one exchange alone is not remembered", () => {
  const set = new Exposures().after("", "api.test", [{ ...exposed("value-0001"), once: true }]);
  assert.ok(!finds(set, "value-0001"));
});

test("I12: values, rotated values and hosts are bounded", () => {
  const exposures = new Exposures();
  for (let count = 0; count < 300; count++) {
    exposures.after("", "api.test", [exposed(`value-${count}-0001`, "P", `NAME-${count}`)]);
  }
  assert.equal(exposures.after("", "api.test", undefined)?.values.length, 64 + 32);
  for (let count = 0; count < 4096; count++) {
    exposures.after("", "kept.test", [exposed("value-kept-0001")]);
    exposures.after("", `host-${count}.test`, [exposed("value-0001")]);
  }
  assert.equal(exposures.after("", "host-0.test", undefined), undefined);
  assert.ok(exposures.after("", "kept.test", undefined) !== undefined, "the longest unused goes first");
});

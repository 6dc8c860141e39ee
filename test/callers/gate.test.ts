import assert from "node:assert/strict";
import { test } from "node:test";
import { callerGate } from "../../src/callers/gate.ts";
import { issueToken } from "../../src/callers/token.ts";
import type { Caller } from "../../src/pipeline/types.ts";
import { basic, keysOf, newKey, now } from "./support.ts";

const keys = keysOf(newKey());
const tokenOf = (name: string, tools?: readonly string[], ttl = 60, by = keys) =>
  issueToken({ name, tools, ttl }, by.current.key, now).token;
const gateOf = (required: boolean, by: typeof keys | undefined = keys, clock = () => now) =>
  callerGate({ keys: by, required, now: clock });

const token = tokenOf("a", ["crm"]);
const nameOf = (caller: Caller | boolean) => (typeof caller === "boolean" ? caller : caller.name);

for (const [what, value] of [
  ["Basic with any user name", basic(token, "whoever")],
  ["Basic with no user name", basic(token, "")],
  ["Basic in capitals", basic(token).replace("Basic", "BASIC")],
  ["Basic in small letters, with two spaces", basic(token).replace("Basic ", "basic  ")],
  ["Basic without padding", basic(token).replace(/=+$/, "")],
  ["Bearer", `Bearer ${token}`],
  ["bearer in small letters", `bearer ${token}`],
] as const) {
  test(`takes a token as ${what}`, () => {
    for (const required of [true, false]) {
      const caller = gateOf(required).authenticate(value);
      assert.ok(typeof caller === "object");
      assert.deepEqual([caller.name, caller.tools], ["a", ["crm"]]);
    }
  });
}

const foreign = tokenOf("a", undefined, 60, keysOf(newKey()));
const wrong: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["a scheme alone", "Basic"],
  ["a password that is no token", basic("password")],
  ["a token as user name", `Basic ${Buffer.from(token).toString("base64")}`],
  ["a token of another key", basic(foreign)],
  ["a token of another key as Bearer", `Bearer ${foreign}`],
  ["a tampered token", basic(token.replace(/.$/, (last) => (last === "A" ? "B" : "A")))],
  ["another scheme", `Digest ${token}`],
  ["a token without a scheme", token],
  ["a token with something behind it", `Bearer ${token} x`],
  ["a token with a comma behind it", `Bearer ${token},`],
  ["two tokens", `Bearer ${token}, Bearer ${token}`],
  ["a very long value", `Bearer ${"x".repeat(100_000)}`],
];

for (const [what, value] of wrong) {
  test(`refuses ${what}, whether callers are required or not`, () => {
    for (const required of [true, false]) assert.equal(gateOf(required).authenticate(value), false);
  });
}

test("without a token: refused where callers are required, anonymous elsewhere", () => {
  assert.equal(gateOf(true).authenticate(undefined), false);
  assert.equal(gateOf(false).authenticate(undefined), true);
});

test("without a key no token is right, and other credentials are nobody's business unless callers are required", () => {
  const gate = callerGate({ keys: undefined, required: false });
  assert.equal(gate.authenticate(undefined), true);
  assert.equal(gate.authenticate(basic("password")), true);
  for (const value of [basic(token), `Bearer ${token}`, basic("sbx1.anything")]) {
    assert.equal(gate.authenticate(value), false);
  }
  const strict = callerGate({ keys: undefined, required: true });
  assert.equal(strict.authenticate(undefined), false);
  assert.equal(strict.authenticate(basic("password")), false);
});

test("a token that is remembered ends all the same", () => {
  let time = now;
  const gate = gateOf(true, keys, () => time);
  const caller = gate.authenticate(basic(token));
  assert.equal(gate.authenticate(basic(token)), caller, "remembered: the same object");
  assert.ok(typeof caller === "object" && gate.stands(caller));
  time += 60_000;
  assert.equal(gate.authenticate(basic(token)), false);
  assert.equal(gate.stands(caller), false, "and so does a tunnel that it opened");
});

test("two keys are good while one takes the place of the other; without the old one its tokens end", () => {
  const [oldText, newText] = [newKey(), newKey()];
  const before = keysOf(oldText);
  const opened = gateOf(true, before).authenticate(basic(tokenOf("old", undefined, 60, before))) as Caller;
  const between = gateOf(true, keysOf(newText, oldText));
  const after = gateOf(true, keysOf(newText));
  for (const [gate, good] of [
    [between, true],
    [after, false],
  ] as const) {
    assert.equal(nameOf(gate.authenticate(basic(tokenOf("old", undefined, 60, before)))), good && "old");
    assert.equal(gate.stands(opened), good, "a tunnel from before");
    assert.equal(nameOf(gate.authenticate(basic(tokenOf("new", undefined, 60, keysOf(newText))))), "new");
  }
});

test("what nobody had to prove does not stand once callers are required", () => {
  assert.equal(gateOf(false).stands(undefined), true);
  assert.equal(gateOf(true).stands(undefined), false);
});

test("I12: remembers no more than it may, and still knows everyone", () => {
  const gate = gateOf(true);
  const values = Array.from(
    { length: 1500 },
    (_, index) => [`s${index}`, `Bearer ${tokenOf(`s${index}`)}`] as const,
  );
  for (const round of [1, 2]) {
    for (const [name, value] of values) {
      assert.equal(nameOf(gate.authenticate(value)), name, `round ${round}`);
    }
  }
});

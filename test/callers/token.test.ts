import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { issueToken, maxTokenLength, maxTtl, TokenError, verifyToken } from "../../src/callers/token.ts";
import { keysOf, newKey, now } from "./support.ts";

const text = newKey();
const { key } = keysOf(text).current;
const issue = (name = "sandbox-41", tools?: readonly string[], ttl?: number) =>
  issueToken({ name, tools, ttl }, key, now);

test("T40: a token says who it is for, which tools, and until when", () => {
  const { token, claims } = issue("sandbox-41", ["search", "crm", "search"], 60);
  assert.deepEqual(claims, {
    name: "sandbox-41",
    tools: ["crm", "search"],
    issuedAt: now / 1000,
    expiresAt: now / 1000 + 60,
  });
  assert.deepEqual(verifyToken(token, key, now), claims);
});

test("L4: the format is the documented one, so that others can make and check tokens", () => {
  const { token } = issue("sandbox-41", ["crm"], 60);
  const [prefix = "", payload = "", signature, ...rest] = token.split(".");
  assert.deepEqual([prefix, rest], ["sbx1", []]);
  assert.deepEqual(JSON.parse(Buffer.from(payload, "base64url").toString()), {
    sub: "sandbox-41",
    tools: ["crm"],
    iat: now / 1000,
    exp: now / 1000 + 60,
  });
  assert.equal(signature, createHmac("sha256", text).update(`sbx1.${payload}`).digest("base64url"));
  assert.match(token, /^[\w.-]+$/, "fits in a URL as it is");
});

test("tools left out mean all, an empty list none; two hours are the default", () => {
  const all = verifyToken(issue().token, key, now);
  assert.equal(all?.tools, undefined);
  assert.equal(all?.expiresAt, now / 1000 + 7200);
  assert.deepEqual(verifyToken(issue("a", []).token, key, now)?.tools, []);
});

test("T40: a token ends on the second", () => {
  const { token } = issue("a", undefined, 60);
  assert.ok(verifyToken(token, key, now + 59_999));
  assert.equal(verifyToken(token, key, now + 60_000), undefined);
});

test("T40: another key's token is none", () => {
  assert.equal(verifyToken(issue().token, keysOf(newKey()).current.key, now), undefined);
});

test("T40: a token with any character changed, added or left out is none", () => {
  const { token } = issue("a", ["b"]);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= ";
  for (let index = 0; index < token.length; index++) {
    for (const other of alphabet) {
      if (other === token[index]) continue;
      const changed = token.slice(0, index) + other + token.slice(index + 1);
      assert.equal(verifyToken(changed, key, now), undefined, changed);
    }
    assert.equal(verifyToken(token.slice(0, index) + token.slice(index + 1), key, now), undefined);
    assert.equal(verifyToken(`${token.slice(0, index)}A${token.slice(index)}`, key, now), undefined);
  }
  assert.equal(verifyToken(`${token}=`, key, now), undefined);
  assert.equal(verifyToken(`${token}.`, key, now), undefined);
});

test("T40: what is no token at all is none, and none of it throws", () => {
  for (const bad of [
    "",
    ".",
    "..",
    "sbx1",
    "sbx1.",
    "sbx1..",
    "sbx2.e30.x",
    "x".repeat(maxTokenLength + 1),
  ]) {
    assert.equal(verifyToken(bad, key, now), undefined, bad.slice(0, 20));
  }
  fc.assert(fc.property(fc.string(), (any) => assert.equal(verifyToken(any, key, now), undefined)));
});

test("what the same key signed for something else is no token", () => {
  const sign = (claims: unknown) => {
    const input = `sbx1.${Buffer.from(typeof claims === "string" ? claims : JSON.stringify(claims)).toString("base64url")}`;
    return `${input}.${createHmac("sha256", text).update(input).digest("base64url")}`;
  };
  const good = { sub: "a", tools: ["b"], iat: now / 1000, exp: now / 1000 + 60 };
  assert.ok(verifyToken(sign(good), key, now));
  for (const claims of [
    "not json",
    "null",
    "[]",
    "7",
    { thread_key: "t", container_id: "c", created_at: now / 1000, expires_at: now / 1000 + 60 },
    { ...good, sub: undefined },
    { ...good, sub: "" },
    { ...good, sub: "a\nb" },
    { ...good, tools: null },
    { ...good, tools: "b" },
    { ...good, tools: ["b", 7] },
    { ...good, exp: String(good.exp) },
    { ...good, exp: 1e300 },
    { ...good, exp: undefined },
    { ...good, iat: undefined },
  ]) {
    assert.equal(verifyToken(sign(claims), key, now), undefined, JSON.stringify(claims));
  }
});

test("every token that is issued is verified as what was asked for", () => {
  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,40}$/);
  const tools = fc.option(
    fc.uniqueArray(fc.stringMatching(/^[\x21-\x2b\x2d-\x7e]{1,20}$/), { maxLength: 5 }),
    {
      nil: undefined,
    },
  );
  const ttl = fc.integer({ min: 1, max: maxTtl });
  fc.assert(
    fc.property(name, tools, ttl, (name, tools, ttl) => {
      const claims = verifyToken(issueToken({ name, tools, ttl }, key, now).token, key, now);
      assert.equal(claims?.name, name);
      assert.deepEqual(claims?.tools, tools === undefined ? undefined : [...tools].sort());
      assert.equal((claims?.expiresAt ?? 0) - (claims?.issuedAt ?? 0), ttl);
    }),
  );
});

for (const [what, wrong] of [
  ["an empty name", () => issue("")],
  ["a name with a line break", () => issue("a\nb")],
  ["a name of 129 characters", () => issue("a".repeat(129))],
  ["a tool with a comma", () => issue("a", ["b,c"])],
  ["an empty tool", () => issue("a", [""])],
  ["no time at all", () => issue("a", undefined, 0)],
  ["half a second", () => issue("a", undefined, 0.5)],
  ["more than thirty days", () => issue("a", undefined, maxTtl + 1)],
  [
    "more tools than fit",
    () =>
      issue(
        "a",
        Array.from({ length: 100 }, (_, at) => `${at}`.padEnd(128, "x")),
      ),
  ],
] as const) {
  test(`refuses to make a token with ${what}`, () => assert.throws(wrong, TokenError));
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { CapturedTokens } from "../../../src/transforms/oauth-token/captured.ts";
import { captureTokens } from "../../../src/transforms/oauth-token/issuer-answer.ts";

const endpoint = "idp.test:443/token";

test("a placeholder is good for one caller and one endpoint", () => {
  const tokens = new CapturedTokens();
  const placeholder = tokens.add({ caller: "a", endpoint, value: "real" }, "access", 60);
  assert.equal(tokens.get(placeholder, "a", endpoint)?.value, "real");
  assert.equal(tokens.get(placeholder, "b", endpoint), undefined);
  assert.equal(tokens.get(placeholder, "a", "other.test:443/token"), undefined);
  assert.equal(tokens.add({ caller: "a", endpoint, value: "real" }, "access", 60), placeholder);
  assert.notEqual(tokens.add({ caller: "b", endpoint, value: "real" }, "access", 60), placeholder);
});

test("a value expires with its token, its placeholder an hour later", () => {
  let now = 0;
  const tokens = new CapturedTokens(() => now);
  const short = tokens.add({ caller: "", endpoint, value: "short" }, "access", 60);
  const unknown = tokens.add({ caller: "", endpoint, value: "unknown" }, "access", undefined);
  const refresh = tokens.add({ caller: "", endpoint, value: "refresh" }, "refresh", undefined);
  const held = () => [short, unknown, refresh].map((one) => tokens.get(one, "", endpoint)?.value);
  assert.deepEqual(held(), ["short", "unknown", "refresh"]);
  now = 60_000;
  assert.deepEqual(held(), [undefined, "unknown", "refresh"]);
  assert.equal(tokens.get(short, "", endpoint)?.placeholder, short);
  now = 3_660_000;
  assert.deepEqual(held(), [undefined, undefined, "refresh"]);
  assert.equal(tokens.get(short, "", endpoint), undefined);
  now = 30 * 24 * 3_600_000;
  assert.deepEqual(held(), [undefined, undefined, undefined]);
});

test("I12: a caller has 64 tokens, and takes no other's place", () => {
  const tokens = new CapturedTokens();
  const other = tokens.add({ caller: "other", endpoint, value: "kept" }, "access", 60);
  const first = tokens.add({ caller: "a", endpoint, value: "0" }, "access", 60);
  for (let number = 1; number <= 64; number++) {
    tokens.add({ caller: "a", endpoint, value: String(number) }, "access", 60);
  }
  assert.equal(tokens.size, 65);
  assert.equal(tokens.get(first, "a", endpoint), undefined);
  assert.equal(tokens.get(other, "other", endpoint)?.value, "kept");
});

for (const [title, text, type, expected] of [
  ["JSON", '{"access_token":"A","expires_in":9}', "application/json", [["A", "access", 9]]],
  ["a lifetime as text", '{"access_token":"A","expires_in":"9"}', "", [["A", "access", 9]]],
  ["no lifetime", '{"refresh_token":"R"}', "", [["R", "refresh", undefined]]],
  [
    "a lifetime of its own",
    '{"refresh_token":"R","expires_in":1,"refresh_expires_in":7}',
    "",
    [["R", "refresh", 7]],
  ],
  ["escapes", '{"access_\\u0074oken":"\\u0041"}', "", [["A", "access", undefined]]],
  ["one level down", '{"authed_user":{"access_token":"A"}}', "", [["A", "access", undefined]]],
  ["a form", "access_token=A%2B&expires_in=5", "application/x-www-form-urlencoded", [["A+", "access", 5]]],
  ["nothing", '{"error":"access_token"}', "", []],
  ["no text", '{"access_token":1,"id_token":""}', "", []],
] as const) {
  test(`finds the tokens of an answer: ${title}`, () => {
    const seen: unknown[] = [];
    const answer = captureTokens(text, type, (value, kind, seconds) => {
      seen.push([value, kind, seconds]);
      return "placeholder";
    });
    assert.deepEqual(seen, expected);
    assert.ok(answer !== undefined);
    if (expected.length === 0) assert.equal(answer.text, text, "byte for byte");
    else assert.ok(answer.text.includes("placeholder"));
  });
}

test("what is neither JSON nor a form is not taken for one", () => {
  assert.equal(
    captureTokens("access_token=A", "text/plain", () => "x"),
    undefined,
  );
});

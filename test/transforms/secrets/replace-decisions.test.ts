import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets } from "../../../src/transforms/secrets/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { type FakeRequest } from "../../helpers/exchange.ts";
import { type Entry, placeholder, real, replaceEntry, rules, send } from "./replace-fixture.ts";

const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64");

test("I7: placeholders are swapped in one pass, longest first, and no credential is searched again", async () => {
  const entry = (name: string, proxy_value: string) => ({
    source: { type: "test", name },
    rules,
    replace: { proxy_value, match_headers: ["X"] },
  });
  const entries = [entry("A", "token-a"), entry("B", "token-ab"), entry("C", "token-c")];
  const sources = { A: "real-a-token-c", B: "real-b-token-a", C: "real-c-$&-token-ab" };
  const { headers } = await send(
    entries,
    { headers: [["X", "token-a token-ab token-abc token-c"]] },
    sources,
  );
  assert.deepEqual(headers, [["X", "real-a-token-c real-b-token-a real-b-token-ac real-c-$&-token-ab"]]);
  const longest = await send(entries, { headers: [["X", "token-ab"]] }, sources);
  assert.deepEqual(longest.asked, { B: 1 });
});

test("one placeholder in two entries: the one whose rules match is used, the first of two that match", async () => {
  const other = (host: string) => ({
    source: { type: "test", name: "OTHER" },
    rules: [{ host }],
    replace: { proxy_value: placeholder, require: true },
  });
  const headers = [["Authorization", placeholder]] as const;
  const second = await send([replaceEntry({}, { rules: [{ host: "x.com" }] }), other("api.example.com")], {
    headers,
  });
  assert.deepEqual(second.headers, [["Authorization", "other-real-value"]]);
  const first = await send([replaceEntry(), other("api.example.com")], { headers });
  assert.equal(first.verdict, undefined);
  assert.deepEqual(first.headers, [["Authorization", real]]);
  assert.deepEqual(first.asked, { OPENAI: 1 });
  const vetoless = await send([other("x.com"), replaceEntry()], { headers });
  assert.deepEqual(vetoless.headers, [["Authorization", real]]);
});

const requirements: [title: string, request: FakeRequest, replace: Entry, refused: boolean][] = [
  ["S-27: another token", { headers: [["Authorization", "Bearer mine"]] }, {}, true],
  ["S-27: no header at all", {}, {}, true],
  ["S-27: another host", { url: "https://other.com/" }, {}, false],
  [
    "S-14: pattern whose header has no placeholder",
    { headers: [["X-Api-Key", "mine"]] },
    { match_headers: ["/^x-/"] },
    true,
  ],
  [
    "S-27: a hit in the body satisfies it",
    { method: "POST", body: placeholder },
    { match_body: true, match_headers: ["Authorization"] },
    false,
  ],
  ["S-35: path without it", { url: "https://api.example.com/x" }, { match_path: true }, true],
  ["S-35: path with it", { url: `https://api.example.com/${placeholder}` }, { match_path: true }, false],
  [
    "a placeholder in a header that is not searched",
    { headers: [["X-Junk", placeholder]] },
    { match_headers: ["Authorization"] },
    true,
  ],
];

for (const [title, request, replace, refused] of requirements) {
  test(`require: ${title}`, async () => {
    const { verdict, exchange, asked } = await send([replaceEntry({ ...replace, require: true })], request);
    if (!refused) {
      assert.equal(verdict, undefined);
      return;
    }
    assert.ok(verdict?.kind === "reject");
    assert.deepEqual([verdict.status, verdict.reason], [403, "placeholder_missing"]);
    assert.deepEqual(exchange.annotations, { rejected: "OPENAI", reject_reason: "placeholder_missing" });
    assert.deepEqual(asked, {});
  });
}

test("S-37 S-38 I4: a source that fails closes the request, in both modes", async () => {
  const inject = { source: { type: "test", name: "OPENAI" }, rules, inject: { header: "X-Key" } };
  for (const failing of [{}, { OPENAI: () => Promise.reject(new Error("canary")) }]) {
    for (const entry of [replaceEntry(), inject]) {
      const sent = await send([entry], { headers: [["Authorization", placeholder]] }, failing);
      assert.ok(sent.verdict?.kind === "reject");
      assert.deepEqual([sent.verdict.status, sent.verdict.reason], [403, "secret_unavailable"]);
      assert.deepEqual(sent.exchange.annotations, {
        rejected: "OPENAI",
        reject_reason: "secret_unavailable",
      });
      assert.deepEqual(sent.headers, [["Authorization", placeholder]]);
    }
  }
});

test("S-37: with on_unavailable pass the request goes on, and other credentials are still attached", async () => {
  const entries = [
    replaceEntry({}, { on_unavailable: "pass" }),
    { source: { type: "test", name: "OTHER" }, rules, inject: { header: "X-Other" } },
  ];
  for (const failing of [{}, { OPENAI: () => Promise.reject(new Error("no")) }]) {
    const request = { headers: [["Authorization", placeholder]] as const };
    const { verdict, headers, exchange } = await send(entries, request, { ...failing, OTHER: "o" });
    assert.equal(verdict, undefined);
    assert.deepEqual(headers, [
      ["Authorization", placeholder],
      ["X-Other", "o"],
    ]);
    assert.deepEqual(exchange.annotations, {
      injected: [{ secret: "OTHER", locations: ["header:X-Other"] }],
      secret_unavailable: ["OPENAI"],
    });
  }
});

for (const value of ["a\r\nX: y", "a\nb", "a\0", "trailing\n", "tab\tx", "\x7f"]) {
  test(`S-43 attack 33 I14: a value that would break a header apart is refused (${JSON.stringify(value)})`, async () => {
    for (const header of [placeholder, `Basic ${base64(placeholder)}`]) {
      const { verdict, headers } = await send(
        [replaceEntry()],
        { headers: [["Authorization", header]] },
        { OPENAI: value },
      );
      assert.ok(verdict?.kind === "reject");
      assert.deepEqual([verdict.status, verdict.reason], [403, "secret_invalid"]);
      assert.match(verdict.detail ?? "", /OPENAI/);
      assert.ok(!(verdict.detail ?? "").includes(value));
      assert.deepEqual(headers, [["Authorization", header]]);
    }
  });
}

test("a value beyond latin1 goes out as its UTF-8 bytes", async () => {
  const { headers } = await send([replaceEntry()], { headers: [["A", placeholder]] }, { OPENAI: "k→é" });
  assert.deepEqual(headers, [["A", Buffer.from("k→é", "utf8").toString("latin1")]]);
});

test("I6: plain HTTP to another machine is refused before anything is written; loopback is not", async () => {
  const entry = replaceEntry({}, { rules: [{ host: "api.example.com" }, { host: "127.0.0.1" }] });
  const headers = [["Authorization", placeholder]] as const;
  const refused = await send([entry], { url: "http://api.example.com/", headers });
  assert.ok(refused.verdict?.kind === "reject");
  assert.equal(refused.verdict.reason, "plaintext_upstream");
  assert.deepEqual(refused.headers, headers);
  const local = await send([entry], { url: "http://127.0.0.1:8080/", headers });
  assert.deepEqual(local.headers, [["Authorization", real]]);
  const nothing = await send([entry], { url: "http://api.example.com/" });
  assert.equal(nothing.verdict, undefined);
});

test("S-22 S-46 I2: takes no part in tunnels and responses", () => {
  const { transform } = buildTransform(secrets, { secrets: [replaceEntry({ require: true })] });
  assert.equal(transform.onTunnel, undefined);
  assert.equal(transform.onResponse, undefined);
});

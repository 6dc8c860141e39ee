import assert from "node:assert/strict";
import { test } from "node:test";
import { headerAllowlist } from "../../src/transforms/header-allowlist.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { fakeExchange } from "../helpers/exchange.ts";

const sent = [
  ["Host", "api.example.com"],
  ["X-Secret", "1"],
  ["accept", "*/*"],
  ["X-Request-Id", "2"],
  ["Content-Length", "3"],
  ["user-AGENT", "curl"],
  ["Connection", "upgrade"],
  ["Upgrade", "websocket"],
  ["Sec-WebSocket-Key", "k"],
  ["Sec-WebSocket-Version", "13"],
  ["Sec-WebSocket-Protocol", "p"],
  ["Transfer-Encoding", "chunked"],
] as const;

function run(config: unknown, url = "https://api.example.com/") {
  const built = buildTransform(headerAllowlist, config);
  const exchange = fakeExchange({ url, headers: sent });
  assert.equal(built.transform.onRequest?.(exchange), undefined);
  const names = [...exchange.request.headers].map(([name]) => name);
  return { names, annotations: exchange.annotations, errors: built.errors };
}

const essential = sent
  .map(([name]) => name)
  .filter((name) => /^(Host|Cont|Conn|Upg|Sec-WebSocket-[KV]|Trans)/.test(name));

test("strips what is not listed, in order, and never what frames the message or the connection", () => {
  const { names, annotations } = run({ headers: ["ACCEPT", "/^x-req/"] });
  assert.deepEqual(
    names,
    sent.map(([name]) => name).filter((name) => essential.includes(name) || /^(acc|X-Req)/.test(name)),
  );
  assert.deepEqual(annotations, { stripped_headers: ["X-Secret", "user-AGENT", "Sec-WebSocket-Protocol"] });
});

test("notes nothing when nothing was stripped", () => {
  const { names, annotations } = run({ headers: ["//"] });
  assert.equal(names.length, sent.length);
  assert.deepEqual(annotations, {});
});

test("rules limit it to some requests; none means every request", () => {
  const config = { headers: ["accept"], rules: [{ host: "api.example.com", paths: ["/v1/*"] }] };
  assert.deepEqual(run(config, "https://api.example.com/v2").annotations, {});
  assert.ok(run(config, "https://api.example.com/v1").annotations["stripped_headers"]);
  assert.ok(run({ headers: ["accept"], rules: [] }, "https://other.test/").annotations["stripped_headers"]);
});

test("a field the workload spells in its own way is really removed", () => {
  const { transform } = buildTransform(headerAllowlist, { headers: ["accept"] });
  const exchange = fakeExchange({
    headers: [
      ["x-sEcret", "1"],
      ["X-Secret", "2"],
    ],
  });
  assert.equal(transform.onRequest?.(exchange), undefined);
  assert.equal(exchange.request.headers.size, 0);
  assert.deepEqual(exchange.annotations["stripped_headers"], ["x-sEcret", "X-Secret"]);
});

test("three mistakes, three errors", () => {
  assert.deepEqual(run({}).errors, ["headers: header_allowlist: at least one header is required"]);
  assert.match(
    run({ headers: ["/[/"] }).errors[0] ?? "",
    /^headers\.0: header_allowlist: invalid headers regex/,
  );
  assert.match(run({ headers: ["a"], rules: [{}] }).errors[0] ?? "", /^rules\.0\b.*one of host or cidr/);
});

test("responses are not its business", () => {
  assert.equal(buildTransform(headerAllowlist, { headers: ["a"] }).transform.onResponse, undefined);
});

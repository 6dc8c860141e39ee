import assert from "node:assert/strict";
import { test } from "node:test";
import { allowlist } from "../../src/transforms/allowlist.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { fakeExchange, fakeTunnel } from "../helpers/exchange.ts";

const config = {
  domains: ["api.example.com", "*.open.test"],
  cidrs: ["192.0.2.0/24"],
  rules: [{ host: "git.test", methods: ["GET", "post"], paths: ["/repos/*"] }],
};

function reasonOf(verdict: unknown): unknown {
  return verdict === undefined ? "allowed" : (verdict as { reason: string }).reason;
}

const requests: [method: string, url: string, outcome: string][] = [
  ["GET", "https://api.example.com/x", "allowed"],
  ["DELETE", "https://a.b.open.test/", "allowed"],
  ["GET", "https://192.0.2.7:9000/", "allowed"],
  ["GET", "https://git.test/repos/a", "allowed"],
  ["POST", "https://git.test/repos", "allowed"],
  ["PUT", "https://git.test/repos/a", "request_not_allowed"],
  ["GET", "https://git.test/users", "request_not_allowed"],
  ["GET", "https://git.test:8443/repos/a", "host_not_allowed"],
  ["GET", "https://example.com/", "host_not_allowed"],
  ["GET", "https://api.example.com.evil.net/", "host_not_allowed"],
  ["GET", "https://192.0.3.1/", "host_not_allowed"],
];

for (const [method, url, outcome] of requests) {
  test(`${method} ${url}: ${outcome}`, () => {
    const { transform } = buildTransform(allowlist, config);
    const exchange = fakeExchange({ method, url });
    assert.equal(reasonOf(transform.onRequest?.(exchange)), outcome);
    assert.deepEqual(exchange.annotations, {});
  });
}

const overrides: [headers: [string, string][], url: string, outcome: string][] = [
  [[["X-HTTP-Method-Override", "DELETE"]], "https://git.test/repos/a", "request_not_allowed"],
  [[["x-method-override", "put"]], "https://git.test/repos/a", "request_not_allowed"],
  [
    [
      ["X-HTTP-Method", "GET"],
      ["X-HTTP-Method", "DELETE"],
    ],
    "https://git.test/repos/a",
    "request_not_allowed",
  ],
  [[], "https://git.test/repos/a?x=1&_method=DELETE", "request_not_allowed"],
  [[], "https://git.test/repos/a?%5Fmethod=DELETE", "request_not_allowed"],
  [[["X-HTTP-Method-Override", "get"]], "https://git.test/repos/a", "allowed"],
  [[["X-HTTP-Method-Override", "DELETE"]], "https://api.example.com/", "allowed"],
];
for (const [headers, url, outcome] of overrides) {
  const how = headers.map((field) => field.join(": ")).join(", ");
  test(`attack 35: a POST to ${url} that says it is another method (${how}): ${outcome}`, () => {
    const { transform } = buildTransform(allowlist, config);
    const exchange = fakeExchange({ method: "POST", url, headers });
    assert.equal(reasonOf(transform.onRequest?.(exchange)), outcome);
  });
}

test("I2: a rule with methods or paths admits the tunnel to its host, and only to that", () => {
  const { transform } = buildTransform(allowlist, config);
  assert.equal(transform.onTunnel?.(fakeTunnel("git.test:443")), undefined);
  assert.equal(reasonOf(transform.onTunnel?.(fakeTunnel("git.test:22"))), "host_not_allowed");
  assert.equal(reasonOf(transform.onTunnel?.(fakeTunnel("evil.test:443"))), "host_not_allowed");
});

test("an empty allowlist refuses everything and warns of it", () => {
  const { transform, warnings } = buildTransform(allowlist, {});
  assert.equal(reasonOf(transform.onRequest?.(fakeExchange())), "host_not_allowed");
  assert.equal(reasonOf(transform.onTunnel?.(fakeTunnel("api.example.com:443"))), "host_not_allowed");
  assert.match(warnings[0] ?? "", /empty/);
});

test("warn lets pass what would be refused and notes it; what is allowed carries no note", () => {
  const { transform, warnings } = buildTransform(allowlist, { ...config, warn: true });
  assert.match(warnings[0] ?? "", /refuses nothing/);
  for (const [method, url, outcome] of requests) {
    const exchange = fakeExchange({ method, url });
    assert.equal(transform.onRequest?.(exchange), undefined);
    assert.deepEqual(exchange.annotations, outcome === "allowed" ? {} : { action: "warn" });
  }
  const tunnel = fakeTunnel("evil.test:443");
  assert.equal(transform.onTunnel?.(tunnel), undefined);
  assert.deepEqual(tunnel.annotations, { action: "warn" });
});

test("reports each mistake where it stands", () => {
  const { errors } = buildTransform(allowlist, {
    cidrs: ["10.0.0.0/8", "10.0.0.0/33"],
    rules: [{ host: "a.test", cidr: "10.0.0.0/8" }, {}, { host: "a.test", paths: ["x"] }],
  });
  assert.equal(errors.length, 4);
  assert.match(errors[0] ?? "", /^cidrs\.1\b.*parsing CIDR "10\.0\.0\.0\/33"/);
  assert.match(errors[1] ?? "", /^rules\.0\b.*mutually exclusive/);
  assert.match(errors[2] ?? "", /^rules\.1\b.*one of host or cidr is required/);
  assert.match(errors[3] ?? "", /^rules\.2\b.*path "x" must start with \//);
});

test("explain names the rule, or says why none matches", () => {
  const { transform } = buildTransform(allowlist, config);
  assert.match(transform.explain?.(fakeExchange())?.[0] ?? "", /^allowlist: allowed: .*api\.example\.com/);
  const refused = fakeExchange({ method: "PUT", url: "https://git.test/repos/a" });
  assert.match(transform.explain?.(refused)?.[0] ?? "", /^allowlist: refused: .*PUT/);
});

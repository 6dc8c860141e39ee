import assert from "node:assert/strict";
import { test } from "node:test";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import type { Config } from "../../src/config/types.ts";
import { address, ca, configOf, issuesOf } from "../helpers/config.ts";

test("dns.enabled: false lifts the need for proxy_ip and turns the listener off", () => {
  const { dns } = configOf(`${ca}dns: {enabled: false}`);
  assert.deepEqual([dns.enabled, dns.listen], [false, "off"]);
  assert.equal(address(configOf(`${ca}dns: {enabled: true, proxy_ip: 10.0.0.1}`).dns.listen), ":53");
});

test("passthrough patterns and records keep their order and spelling", () => {
  const { dns } = configOf(
    `${ca}dns:\n  proxy_ip: 10.0.0.1\n  passthrough: ["*.B.example", a.example]\n  records:\n  - {name: Z.example, type: CNAME, value: y}\n  - {name: a, type: A, value: 10.0.0.9}\n`,
  );
  assert.deepEqual(dns.passthrough, ["*.B.example", "a.example"]);
  assert.deepEqual(dns.records, [
    { name: "Z.example", type: "CNAME", value: "y" },
    { name: "a", type: "A", value: "10.0.0.9" },
  ]);
});

const denyLists: readonly [text: string, expected: readonly string[] | RegExp][] = [
  ["", standardDenyCidrs],
  ["upstream_deny_cidrs:", standardDenyCidrs],
  ["upstream_deny_cidrs: []", []],
  ["upstream_deny_cidrs: [' 10.0.0.0/8 ']", ["10.0.0.0/8"]],
  ["upstream_deny_cidrs: ['fd00::/8', 192.0.2.7/32]", ["fd00::/8", "192.0.2.7/32"]],
  [
    "upstream_deny_cidrs: [10.0.0.1]",
    /proxy.upstream_deny_cidrs\[0\]: invalid CIDR "10.0.0.1": must be CIDR notation \(10.0.0.1\/32\)/,
  ],
  ["upstream_deny_cidrs: ['::1']", /must be CIDR notation \(::1\/128\)/],
  ["upstream_deny_cidrs: [not-an-ip/24]", /proxy.upstream_deny_cidrs\[0\]: invalid CIDR "not-an-ip\/24"/],
  ["upstream_deny_cidrs: [10.0.0.0/8, ' ']", /proxy.upstream_deny_cidrs\[1\] is an empty CIDR entry/],
  ["upstream_deny_cidrs: [010.0.0.0/8]", /invalid CIDR "010.0.0.0\/8"/],
  ["upstream_deny_cidrs: [10.0.0.0/33]", /invalid CIDR/],
  ["upstream_deny_cidrs: [10/8]", /invalid CIDR/],
  ["upstream_deny_cidrs: 10.0.0.0/8", /must be a list, not text/],
];

for (const [key, expected] of denyLists) {
  test(`I11: deny list ${key || "left out"}`, () => {
    const text = `${ca}proxy: {${key}}\n`;
    if (expected instanceof RegExp) assert.match(issuesOf(text).join("\n"), expected);
    else assert.deepEqual(configOf(text).proxy.upstreamDenyCidrs, expected);
  });
}

test("management needs its key in the environment, by the standard name or the one it gives", () => {
  const listen = `${ca}management: {listen: ":9092"}`;
  const named = `${ca}management: {listen: ":9092", api_key_env: MY_KEY}`;
  const { management } = configOf(listen, { IRON_MANAGEMENT_API_KEY: "k" });
  assert.equal(management.apiKeyEnv, "IRON_MANAGEMENT_API_KEY");
  assert.equal(configOf(named, { MY_KEY: "k" }).management.apiKeyEnv, "MY_KEY");
  assert.match(
    issuesOf(listen).join(),
    /management.api_key_env "IRON_MANAGEMENT_API_KEY" is not set in the environment/,
  );
  assert.match(issuesOf(named, { MY_KEY: "" }).join(), /"MY_KEY" is not set/);
  assert.deepEqual(issuesOf(`${ca}management: {api_key_env: MY_KEY}`), []);
});

type Pick = (config: Config) => unknown;
const lenient: readonly [what: string, text: string, pick: Pick, expected: unknown][] = [
  ["a number where text belongs, as it is written", "audit: {file: 0123}", ({ audit }) => audit.file, "0123"],
  ["a boolean where text belongs", "audit: {file: True}", ({ audit }) => audit.file, "True"],
  [
    "yes where a boolean belongs",
    "sources: {require_at_start: yes}",
    ({ sources }) => sources.requireAtStart,
    true,
  ],
  [
    "off where a boolean belongs",
    "sources: {require_at_start: off}",
    ({ sources }) => sources.requireAtStart,
    false,
  ],
  [
    "TRUE where a boolean belongs",
    "sources: {require_at_start: TRUE}",
    ({ sources }) => sources.requireAtStart,
    true,
  ],
  [
    "a hexadecimal number",
    "proxy: {max_request_body_bytes: 0x10}",
    ({ proxy }) => proxy.maxRequestBodyBytes,
    16,
  ],
  ["null for absent", "proxy: {http_listen: ~, timeouts: }", ({ proxy }) => address(proxy.httpListen), ":80"],
  ["an empty text for absent", "proxy: {http_listen: ''}\nlog: {level: ''}", ({ log }) => log.level, "info"],
  ["0 for absent", "proxy: {max_request_body_bytes: 0}", ({ proxy }) => proxy.maxRequestBodyBytes, 1_048_576],
  ["0s for absent", "proxy: {shutdown_timeout: 0s}", ({ proxy }) => proxy.shutdownTimeoutMs, 10_000],
  ["off as a listener", "proxy: {http_listen: off}", ({ proxy }) => proxy.httpListen, "off"],
  [
    "off for refusals that are explained",
    "tls: {ca_cert: c, ca_key: k, explain_denials: off}",
    ({ tls }) => tls.explainDenials,
    0,
  ],
  [
    "an IPv6 listener",
    "proxy: {http_listen: '[::1]:80'}",
    ({ proxy }) => proxy.httpListen,
    { host: "::1", port: 80 },
  ],
  [
    "a merge of another section",
    "audit: &a {file: x}\nlog: {<<: {level: warn}}",
    ({ log }) => log.level,
    "warn",
  ],
];

for (const [what, text, pick, expected] of lenient) {
  test(`accepts ${what}`, () => {
    const whole = text.includes("tls:") ? text : `${ca}${text}`;
    assert.deepEqual(pick(configOf(whole)), expected);
  });
}

test("a transform's configuration is handed on as it stands", () => {
  const { transforms } = configOf(
    `${ca}transforms:\n- name: x\n  config: {any: [thing, 1]}\n- {name: y, config: ~}\n- name: x\n`,
  );
  assert.deepEqual(JSON.parse(JSON.stringify(transforms)), [
    { name: "x", config: { any: ["thing", 1] }, path: ["transforms", 0] },
    { name: "y", config: {}, path: ["transforms", 1] },
    { name: "x", config: {}, path: ["transforms", 2] },
  ]);
});

test("an unlimited request body ends at a number, which is said", () => {
  const text = `${ca}proxy: {max_request_body_bytes: -1}`;
  assert.equal(configOf(text).proxy.maxRequestBodyBytes, 1024 ** 3);
  assert.match(issuesOf(text).join(), /warning: .*unlimited means 1073741824 bytes/);
});

test("warns when nothing can reach the proxy", () => {
  assert.deepEqual(issuesOf(`${ca}proxy: {http_listen: off, https_listen: off}`), [
    "p.yaml:2:1: warning: every listener is off, so that nothing can reach the proxy",
  ]);
});

test("a token of managed mode is said to be ignored", () => {
  assert.match(
    issuesOf(ca, { IRON_PROXY_TOKEN: "hunter2" }).join(),
    /^IRON_PROXY_TOKEN: warning: managed mode/,
  );
  assert.doesNotMatch(issuesOf(ca, { IRON_PROXY_TOKEN: "hunter2" }).join(), /hunter2/);
});

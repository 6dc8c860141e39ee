import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.ts";
import { ca, issuesOf } from "../helpers/config.ts";

const refused: readonly [what: string, text: string, ...issues: string[]][] = [
  [
    "tls.ca_cert and tls.ca_key that are missing",
    "log: {level: info}\n",
    "p.yaml:1:1: tls.ca_cert is required; make a CA with `sallyport ca init` and name its ca.crt here",
    "p.yaml:1:1: tls.ca_key is required; make a CA with `sallyport ca init` and name its ca.key here",
  ],
  [
    "an unknown level of the log",
    `${ca}log:\n  level: trace\n`,
    'p.yaml:3:10: log.level: unknown log level: "trace"; must be "debug", "info", "warn" or "error"',
  ],
  [
    "tls.mode hybrid",
    "tls: {ca_cert: c, ca_key: k, mode: hybrid}",
    'p.yaml:1:36: tls.mode must be "mitm" or "sni-only"; got "hybrid"',
  ],
  [
    "a duration that is none",
    `${ca}proxy: {upstream_response_header_timeout: not-a-duration}`,
    'p.yaml:2:43: proxy.upstream_response_header_timeout: invalid duration "not-a-duration": write it like 30s, 5m or 1h30m',
  ],
  [
    "a duration without a unit",
    `${ca}control_plane: {poll_interval: 30}`,
    'p.yaml:2:32: control_plane.poll_interval: invalid duration "30": the unit is missing',
    "p.yaml:2:1: warning: managed mode is not supported yet; this has no effect",
  ],
  [
    "a negative duration",
    `${ca}proxy: {upstream_response_header_timeout: -5s}`,
    "p.yaml:2:43: proxy.upstream_response_header_timeout must be positive; got -5s",
  ],
  [
    "a negative poll interval",
    `${ca}control_plane: {poll_interval: -5s}`,
    "p.yaml:2:1: warning: managed mode is not supported yet; this has no effect",
    "p.yaml:2:32: control_plane.poll_interval must be positive; got -5s",
  ],
  [
    "a duration longer than a timer can be",
    `${ca}proxy: {shutdown_timeout: 1000h}`,
    "p.yaml:2:27: proxy.shutdown_timeout must be at most 24 days; got 1000h",
  ],
  ["a file that is a list", "- a\n", "p.yaml:1:1: the file must be a mapping (key: value)"],
  [
    "a section that is a text",
    `${ca}proxy: on\n`,
    "p.yaml:2:8: proxy must be a mapping (key: value), not text",
  ],
  [
    "text where a number belongs",
    `${ca}tls2: 1\nproxy: {max_request_body_bytes: "5"}`,
    'p.yaml:2:1: unknown key "tls2" at the top level; did you mean "tls"?',
    "p.yaml:3:33: proxy.max_request_body_bytes must be a whole number, not text",
  ],
  [
    "a negative cache size, which was unbounded in iron-proxy",
    "tls: {ca_cert: c, ca_key: k, cert_cache_size: -1}",
    "p.yaml:1:47: tls.cert_cache_size must be positive; got -1",
  ],
  [
    "a port without a colon",
    `${ca}proxy: {http_listen: 8080}`,
    'p.yaml:2:22: proxy.http_listen must be off, :PORT, HOST:PORT or [IPv6]:PORT, with a number for PORT; did you mean ":8080"?',
  ],
  [
    "two listeners on one address",
    `${ca}proxy: {http_listen: ":8080", tunnel_listen: ":8080"}`,
    "p.yaml:2:46: proxy.tunnel_listen and proxy.http_listen are both :8080; give one another port, or off",
  ],
  [
    "DNS records that say too little, each by its number",
    `${ca}dns:\n  proxy_ip: 10.0.0.1\n  records:\n  - {type: A, value: 10.0.0.2}\n  - {name: a, type: MX, value: b}\n  - {name: a, type: CNAME}\n`,
    "p.yaml:5:5: dns.records[0].name is required",
    'p.yaml:6:21: dns.records[1].type must be A, AAAA or CNAME; got "MX"',
    "p.yaml:7:5: dns.records[2].value is required",
  ],
  [
    "a dns section without proxy_ip",
    `${ca}dns: {listen: ":5353"}`,
    "p.yaml:2:1: dns.proxy_ip is required: the proxy's IPv4 address as workloads see it, or set dns.enabled to false",
  ],
  [
    "a proxy_ip that is no IPv4 address",
    `${ca}dns: {proxy_ip: "::1"}`,
    'p.yaml:2:17: invalid proxy_ip (must be IPv4): "::1"',
  ],
  [
    "a proxy_ip6 that is no IPv6 address",
    `${ca}dns: {proxy_ip: 10.0.0.1, proxy_ip6: 10.0.0.1}`,
    "p.yaml:2:38: dns.proxy_ip6 must be an IPv6 address, without a zone",
  ],
  [
    "DNS records that cannot be answered",
    `${ca}dns:\n  proxy_ip: 10.0.0.1\n  records:\n  - {name: a, type: A, value: "::1"}\n  - {name: b, type: AAAA, value: 10.0.0.2}\n  - {name: c, type: CNAME, value: 10.0.0.2}\n  - {name: c d, type: A, value: 10.0.0.2}\n`,
    "p.yaml:5:31: dns.records[0].value must be an IPv4 address",
    "p.yaml:6:34: dns.records[1].value must be an IPv6 address",
    "p.yaml:7:35: dns.records[2].value must be a name, not an address",
    "p.yaml:8:12: dns.records[3].name: the host has a character that no name may have",
  ],
  [
    "a CNAME beside another record of its name",
    `${ca}dns:\n  proxy_ip: 10.0.0.1\n  records:\n  - {name: a.test, type: A, value: 10.0.0.2}\n  - {name: A.Test, type: CNAME, value: b.test}\n`,
    "p.yaml:6:5: dns.records[1]: a name with a CNAME has no other record (RFC 1034 section 3.6.2)",
  ],
  [
    "a resolver that is the DNS server itself",
    `${ca}dns: {proxy_ip: 10.0.0.1, listen: "10.0.0.1:53", upstream_resolver: 10.0.0.1}`,
    "p.yaml:2:69: dns.upstream_resolver is dns.listen, so the proxy would ask itself; name another resolver",
  ],
  [
    "a DNS server on the port of another listener",
    `${ca}dns: {proxy_ip: 10.0.0.1, listen: ":8080"}\nproxy: {http_listen: ":8080"}`,
    "p.yaml:2:35: dns.listen and proxy.http_listen are both :8080; give one another port, or off",
  ],
  [
    "entries of transforms that name nothing",
    `${ca}transforms:\n- config: {}\n- name: ""\n- 5\n- {nam: allowlist}\n`,
    "p.yaml:3:3: transforms[0].name is required",
    "p.yaml:4:9: transforms[1].name is required",
    "p.yaml:5:3: transforms[2] must be a mapping (key: value), not a number",
    'p.yaml:6:4: unknown key "nam" in transforms[3]; did you mean "name"?',
    "p.yaml:6:3: transforms[3].name is required",
  ],
  [
    "a key that belongs elsewhere",
    `${ca}tunnel_listen: ":8080"\n`,
    'p.yaml:2:1: unknown key "tunnel_listen" at the top level; "tunnel_listen" belongs under proxy',
  ],
];

for (const [what, text, ...issues] of refused) {
  test(`refuses ${what}`, () => {
    assert.deepEqual(issuesOf(text).toSorted(), issues.toSorted());
    assert.equal(loadConfig({ text, env: {} }).config, undefined);
  });
}

test("reports every error of a file at once, in the order of its lines", () => {
  const text = [
    "proxy:",
    "  htp_listen: ':1'",
    "  timeouts: {client_header: soon}",
    "log: {level: loud}",
    "tls: {mode: both}",
    "transforms: [{name: 1, cfg: 2}]",
  ].join("\n");
  assert.deepEqual(
    issuesOf(text).map((issue) => issue.split(" ")[0]),
    [
      "p.yaml:2:3:",
      "p.yaml:3:29:",
      "p.yaml:4:14:",
      "p.yaml:5:1:",
      "p.yaml:5:1:",
      "p.yaml:5:13:",
      "p.yaml:6:24:",
    ],
  );
});

test("with any error there is no configuration to run, only a draft to check further", () => {
  const { config, draft } = loadConfig({ text: `${ca}nonsense: 1\nproxy: {shutdown_timeout: 3s}`, env: {} });
  assert.equal(config, undefined);
  assert.equal(draft?.proxy.shutdownTimeoutMs, 3000);
});

for (const key of ["mcp", "mcp_gateway", "postgres"]) {
  test(`refuses ${key}, which would be unsafe to ignore, and not when it is empty`, () => {
    assert.match(
      issuesOf(`${ca}${key}: {}\n`).join(),
      new RegExp(`^p.yaml:2:1: ${key} is not supported yet`),
    );
    assert.deepEqual(issuesOf(`${ca}${key}:\n`), []);
  });
}

test("I2: sni-only needs no CA", () => {
  assert.deepEqual(issuesOf("tls: {mode: sni-only}"), []);
  const { config } = loadConfig({ text: "tls: {mode: sni-only}", env: {} });
  assert.equal(config?.tls.mode, "sni-only");
});

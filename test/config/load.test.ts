import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config, Listen } from "../../src/config/types.ts";
import { ca, configOf, embeddedConfig, issuesOf } from "../helpers/config.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-config-"));
after(() => rmSync(folder, { recursive: true }));

function address(listen: Listen): string {
  return listen === "off" ? "off" : `${listen.host ?? ""}:${listen.port}`;
}

test("a file's defaults are iron-proxy's", () => {
  const { dns, proxy, tls, metrics, management, log, transforms, audit, sources } = configOf(ca);
  assert.deepEqual(
    [proxy.httpListen, proxy.httpsListen, proxy.tunnelListen, metrics.listen, management.listen].map(address),
    [":80", ":443", "off", ":9090", "off"],
  );
  assert.equal(dns.enabled, false);
  assert.equal(tls.mode, "mitm");
  assert.equal(tls.certCacheSize, 1000);
  assert.equal(tls.leafCertExpiryHours, 72);
  assert.equal(proxy.maxRequestBodyBytes, 1_048_576);
  assert.equal(proxy.maxResponseBodyBytes, Number.POSITIVE_INFINITY);
  assert.equal(proxy.upstreamResponseHeaderTimeoutMs, 30_000);
  assert.equal(log.level, "info");
  assert.deepEqual(transforms, []);
  assert.deepEqual(audit, { file: undefined, onFailure: "report" });
  assert.equal(sources.requireAtStart, false);
});

test("what is safer than iron-proxy is the default", () => {
  const { proxy, tls } = configOf(ca);
  assert.equal(proxy.default, "deny");
  assert.equal(proxy.rulePorts, "scheme");
  assert.equal(proxy.plaintextCredentials, "refuse");
  assert.equal(proxy.allowMetadata, false);
  assert.equal(tls.explainDenials, 20);
  assert.deepEqual(proxy.upstreamDenyCidrs, standardDenyCidrs);
  for (const cidr of ["127.0.0.0/8", "::1/128", "169.254.0.0/16", "0.0.0.0/8"]) {
    assert.ok(proxy.upstreamDenyCidrs.includes(cidr), cidr);
  }
  for (const ms of Object.values(proxy.timeouts)) assert.ok(ms > 0);
});

test("without a file it listens for tunnels on this machine only, and leaves the CA to the state directory", () => {
  const { file, proxy, tls, metrics } = embeddedConfig();
  assert.equal(file, undefined);
  assert.deepEqual([proxy.httpListen, proxy.httpsListen, proxy.tunnelListen, metrics.listen].map(address), [
    "off",
    "off",
    "127.0.0.1:8080",
    "off",
  ]);
  assert.deepEqual([tls.caCert, tls.caKey], [undefined, undefined]);
});

test("variables alone configure it, with an empty path", () => {
  const config = embeddedConfig({
    IRON_TLS_CA_CERT: "/c.crt",
    IRON_TLS_CA_KEY: "/c.key",
    IRON_PROXY_HTTP_LISTEN: ":8081",
    IRON_DNS_PROXY_IP: "10.0.0.1",
  });
  assert.equal(config.tls.caCert, "/c.crt");
  assert.equal(address(config.proxy.httpListen), ":8081");
  assert.equal(config.dns.enabled, true);
  assert.equal(address(config.dns.listen), ":53");
});

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
    'p.yaml:6:21: dns.records[1].type must be A or CNAME; got "MX"',
    "p.yaml:7:5: dns.records[2].value is required",
    "p.yaml:2:1: warning: no DNS server is started yet; lead workloads here with HTTPS_PROXY",
  ],
  [
    "a dns section without proxy_ip",
    `${ca}dns: {listen: ":5353"}`,
    "p.yaml:2:1: dns.proxy_ip is required: the proxy's IPv4 address as workloads see it, or set dns.enabled to false",
    "p.yaml:2:1: warning: no DNS server is started yet; lead workloads here with HTTPS_PROXY",
  ],
  [
    "a proxy_ip that is no IPv4 address",
    `${ca}dns: {proxy_ip: "::1"}`,
    'p.yaml:2:17: invalid proxy_ip (must be IPv4): "::1"',
    "p.yaml:2:1: warning: no DNS server is started yet; lead workloads here with HTTPS_PROXY",
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

test("I2: sni-only needs no CA, and is refused because it is not there yet", () => {
  assert.deepEqual(issuesOf("tls: {mode: sni-only}"), [
    "p.yaml:1:13: tls.mode: sni-only is not supported yet; use mitm",
  ]);
});

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

const files: readonly [what: string, make: (path: string) => void, message: string][] = [
  ["a missing file", () => {}, "opening config file: no such file"],
  ["a directory", (path) => mkdirSync(path), "opening config file: it is a directory"],
  [
    "bytes that are no text",
    (path) => writeFileSync(path, Buffer.from([0x61, 0xff, 0xfe])),
    "not UTF-8 text",
  ],
  [
    "a file of megabytes",
    (path) => writeFileSync(path, "#".repeat(9_000_000)),
    "larger than 8388608 bytes; this is no configuration",
  ],
];

for (const [index, [what, make, message]] of files.entries()) {
  test(`says what is wrong with ${what}`, () => {
    const path = join(folder, `${index}.yaml`);
    make(path);
    const { config, issues } = loadConfig({ file: path, env: {} });
    assert.equal(config, undefined);
    assert.deepEqual(issues.map(formatIssue), [`${path}: ${message}`]);
  });
}

test("reads a file, with or without a byte order mark", () => {
  const path = join(folder, "good.yaml");
  writeFileSync(path, `\uFEFF${ca}`);
  assert.equal(loadConfig({ file: path, env: {} }).config?.file, path);
});

const locations: readonly [location: string, message: RegExp][] = [
  [
    "s3://bucket/key",
    /configuration in S3 is not supported yet; fetch it first and give the path of the local file/,
  ],
  ["s3://bucket/nested/key.yaml", /not supported yet; fetch it first/],
  ["s3://bucket", /invalid S3 URL "s3:\/\/bucket": expected s3:\/\/bucket\/key/],
  ["s3://bucket/", /invalid S3 URL/],
  ["s3:///key", /invalid S3 URL/],
  ["https://example.com/proxy.yaml", /is a URL; fetch it first/],
];

for (const [location, message] of locations) {
  test(`refuses to fetch ${location}`, () => {
    const { config, issues } = loadConfig({ file: location, env: {} });
    assert.equal(config, undefined);
    assert.match(issues[0]?.message ?? "", message);
  });
}

test("iron-proxy's reference file loads with warnings only", () => {
  const { config, issues } = loadConfig({
    file: new URL("fixtures/iron-proxy.yaml", import.meta.url).pathname,
    env: {},
  });
  assert.deepEqual(
    issues.map((issue) => issue.severity),
    ["warning", "warning"],
  );
  assert.equal(config?.transforms.length, 2);
  assert.equal(address(config?.proxy.tunnelListen ?? "off"), ":8080");
  assert.deepEqual(config?.proxy.upstreamDenyCidrs, ["169.254.169.254/32", "127.0.0.0/8"]);
  assert.equal(config?.proxy.upstreamResponseHeaderTimeoutMs, 60_000);
  assert.equal(config?.dns.proxyIp, "172.20.0.2");
});

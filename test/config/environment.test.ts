import assert from "node:assert/strict";
import { test } from "node:test";
import { variablesOf } from "../../src/config/environment.ts";
import { configKeys } from "../../src/config/schema.ts";
import type { Config, Listen } from "../../src/config/types.ts";
import { ca, configOf, issuesOf } from "../helpers/config.ts";

function address(listen: Listen): string {
  return listen === "off" ? "off" : `${listen.host ?? ""}:${listen.port}`;
}

const overrides: readonly [
  name: string,
  value: string,
  pick: (config: Config) => unknown,
  expected: unknown,
][] = [
  ["DNS_LISTEN", ":5353", ({ dns }) => address(dns.listen), ":5353"],
  ["DNS_PROXY_IP", "10.9.9.9", ({ dns }) => dns.proxyIp, "10.9.9.9"],
  ["DNS_UPSTREAM_RESOLVER", "10.0.0.2:53", ({ dns }) => dns.upstreamResolver, "10.0.0.2:53"],
  ["PROXY_HTTP_LISTEN", ":8081", ({ proxy }) => address(proxy.httpListen), ":8081"],
  ["PROXY_HTTPS_LISTEN", ":8443", ({ proxy }) => address(proxy.httpsListen), ":8443"],
  ["PROXY_TUNNEL_LISTEN", "127.0.0.1:0", ({ proxy }) => address(proxy.tunnelListen), "127.0.0.1:0"],
  ["PROXY_MAX_REQUEST_BODY_BYTES", "2048", ({ proxy }) => proxy.maxRequestBodyBytes, 2048],
  ["PROXY_MAX_RESPONSE_BODY_BYTES", "4096", ({ proxy }) => proxy.maxResponseBodyBytes, 4096],
  [
    "PROXY_UPSTREAM_RESPONSE_HEADER_TIMEOUT",
    "2m",
    ({ proxy }) => proxy.upstreamResponseHeaderTimeoutMs,
    120_000,
  ],
  ["TLS_CA_CERT", "/other.crt", ({ tls }) => tls.caCert, "/other.crt"],
  ["TLS_CA_KEY", "/other.key", ({ tls }) => tls.caKey, "/other.key"],
  ["TLS_CERT_CACHE_SIZE", "7", ({ tls }) => tls.certCacheSize, 7],
  ["TLS_LEAF_CERT_EXPIRY_HOURS", "5", ({ tls }) => tls.leafCertExpiryHours, 5],
  ["METRICS_LISTEN", ":9999", ({ metrics }) => address(metrics.listen), ":9999"],
  ["MANAGEMENT_LISTEN", ":9998", ({ management }) => address(management.listen), ":9998"],
  ["LOG_LEVEL", "debug", ({ log }) => log.level, "debug"],
];
const base = `${ca}dns: {proxy_ip: 10.0.0.1}\nproxy: {http_listen: ":1", shutdown_timeout: 3s}\n`;
const key = { IRON_MANAGEMENT_API_KEY: "k" };

for (const [name, value, pick, expected] of overrides) {
  test(`IRON_${name} overrides the file, SALLYPORT_${name} overrides both, and nothing else changes`, () => {
    const iron = configOf(base, { ...key, [`IRON_${name}`]: value });
    assert.deepEqual(pick(iron), expected);
    assert.equal(iron.proxy.shutdownTimeoutMs, 3000);
    const both = configOf(base, { ...key, [`IRON_${name}`]: "nonsense", [`SALLYPORT_${name}`]: value });
    assert.deepEqual(pick(both), expected);
    assert.deepEqual(configOf(base, { ...key, [`IRON_${name}`]: "" }), configOf(base, key));
  });
}

for (const [name, ...values] of [
  ["PROXY_MAX_REQUEST_BODY_BYTES", "notanumber", "1.5"],
  ["PROXY_MAX_RESPONSE_BODY_BYTES", "abc", "1e3"],
  ["TLS_CERT_CACHE_SIZE", "xyz", "0x10"],
  ["TLS_LEAF_CERT_EXPIRY_HOURS", "1.5", "99999999999999999999"],
] as const) {
  for (const value of values) {
    test(`${name}=${value} is an error that names the variable`, () => {
      for (const prefix of ["IRON", "SALLYPORT"]) {
        assert.deepEqual(issuesOf(ca, { [`${prefix}_${name}`]: value }), [
          `${prefix}_${name}: must be a whole number`,
        ]);
      }
    });
  }
}

test("what a variable holds is checked as the file is, and errors name the variable", () => {
  assert.deepEqual(
    issuesOf(ca, {
      IRON_PROXY_UPSTREAM_RESPONSE_HEADER_TIMEOUT: "-5s",
      IRON_LOG_LEVEL: "trace",
      SALLYPORT_PROXY_DEFAULT: "maybe",
      IRON_TLS_MODE: "hybrid",
    }).toSorted(),
    [
      'IRON_LOG_LEVEL: log.level: unknown log level: "trace"; must be "debug", "info", "warn" or "error"',
      "IRON_PROXY_UPSTREAM_RESPONSE_HEADER_TIMEOUT: proxy.upstream_response_header_timeout must be positive; got -5s",
      'IRON_TLS_MODE: tls.mode must be "mitm" or "sni-only"; got "hybrid"',
      'SALLYPORT_PROXY_DEFAULT: proxy.default must be "deny" or "allow"; got "maybe"',
    ],
  );
});

for (const [value, expected] of [
  ["true", true],
  ["T", true],
  ["1", true],
  ["false", false],
  ["F", false],
  ["0", false],
  ["", true],
] as const) {
  test(`IRON_DNS_ENABLED=${value} makes dns.enabled ${expected}`, () => {
    assert.equal(configOf(base, { IRON_DNS_ENABLED: value }).dns.enabled, expected);
  });
}

test("IRON_DNS_ENABLED=maybe is an error", () => {
  assert.deepEqual(issuesOf(ca, { IRON_DNS_ENABLED: "maybe" }), ["IRON_DNS_ENABLED: must be true or false"]);
});

test("keys that iron-proxy has no variable for have one of this program's alone", () => {
  const config = configOf(ca, {
    SALLYPORT_PROXY_TIMEOUTS_CLIENT_IDLE: "9s",
    IRON_PROXY_TIMEOUTS_CLIENT_IDLE: "8s",
  });
  assert.equal(config.proxy.timeouts.clientIdleMs, 9000);
  assert.equal(configOf(ca, { IRON_PROXY_DEFAULT: "allow" }).proxy.default, "deny");
  assert.equal(configOf(ca, { SALLYPORT_TLS_EXPLAIN_DENIALS: "off" }).tls.explainDenials, 0);
  assert.equal(configOf(ca, { SALLYPORT_TLS_EXPLAIN_DENIALS: "3" }).tls.explainDenials, 3);
});

test("no two keys share a variable", () => {
  const all = configKeys().flatMap(variablesOf);
  assert.equal(new Set(all).size, all.length);
  assert.ok(all.length > 60);
});

test("a variable that almost has a known name is warned of; those of other programs are not", () => {
  assert.deepEqual(issuesOf(ca, { SALLYPORT_PROXY_HTTP_LISTN: ":1", SALLYPORT_TOKEN: "x" }), [
    "SALLYPORT_PROXY_HTTP_LISTN: warning: no such variable; did you mean SALLYPORT_PROXY_HTTP_LISTEN?",
  ]);
  // What Kubernetes puts into every pod beside a service called sallyport.
  const links = {
    SALLYPORT_PORT: "tcp://10.0.0.1:8080",
    SALLYPORT_SERVICE_HOST: "10.0.0.1",
    SALLYPORT_PORT_8080_TCP: "x",
  };
  assert.deepEqual(issuesOf(ca, links), []);
});

const proxies: readonly [
  what: string,
  text: string,
  env: NodeJS.ProcessEnv,
  expected: (string | undefined)[],
][] = [
  ["none", "", {}, [undefined, undefined, undefined]],
  [
    "one for each scheme",
    "http_proxy: http://a:1, https_proxy: socks5://b:2",
    {},
    ["http://a:1", "socks5://b:2", undefined],
  ],
  [
    "HTTPS_PROXY over https_proxy alone",
    "http_proxy: http://a:1, https_proxy: http://b:2",
    { HTTPS_PROXY: "http://c:3" },
    ["http://a:1", "http://c:3", undefined],
  ],
  [
    "lower case when upper is not set",
    "",
    { http_proxy: "http://l:1", HTTPS_PROXY: "http://u:2", https_proxy: "http://x:3" },
    ["http://l:1", "http://u:2", undefined],
  ],
  ["no_proxy of the file", "no_proxy: 'a,b'", {}, [undefined, undefined, "a,b"]],
  ["NO_PROXY in place of the file's", "no_proxy: 'a,b'", { NO_PROXY: "c" }, [undefined, undefined, "c"]],
  [
    "a URL without a scheme",
    "https_proxy: 'proxy.example:3128'",
    {},
    [undefined, "http://proxy.example:3128", undefined],
  ],
  [
    "credentials in the URL",
    "https_proxy: 'http://u:p%40@h:1/'",
    {},
    [undefined, "http://u:p%40@h:1/", undefined],
  ],
];

for (const [what, text, env, expected] of proxies) {
  test(`forward proxy: ${what}`, () => {
    const { httpProxy, httpsProxy, noProxy } = configOf(`${ca}proxy: {upstream_proxy: {${text}}}`, env).proxy
      .upstreamProxy;
    assert.deepEqual([httpProxy, httpsProxy, noProxy], expected);
  });
}

for (const url of [
  "ftp://user:hunter2@x:1",
  "http://user:hunter2@",
  "http://user:hunter2@x:99999",
  "http://user:hunter2 @x:1",
  "http://user:hunter2@x:1/path",
  "http://user:hunter2@x:1?q=1",
  "://hunter2",
]) {
  test(`I14: the forward proxy ${url} is an error that shows nothing of it, never a direct connection`, () => {
    const fromFile = issuesOf(`${ca}proxy: {upstream_proxy: {https_proxy: "${url}"}}`);
    const fromVariable = issuesOf(ca, { HTTPS_PROXY: url });
    assert.match(fromFile.join(), /^p.yaml:2:39: proxy.upstream_proxy.https_proxy /);
    assert.match(fromVariable.join(), /^HTTPS_PROXY: proxy.upstream_proxy.https_proxy /);
    assert.doesNotMatch([...fromFile, ...fromVariable].join(), /hunter2/);
  });
}

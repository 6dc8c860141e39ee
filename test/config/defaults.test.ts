import assert from "node:assert/strict";
import { test } from "node:test";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { address, ca, configOf, embeddedConfig } from "../helpers/config.ts";

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

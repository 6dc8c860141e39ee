import assert from "node:assert/strict";
import { test } from "node:test";
import { keysForRestart } from "../../src/proxy/restart.ts";
import { ca, configOf } from "../helpers/config.ts";

const started = configOf(ca);

for (const [text, keys] of [
  ["", []],
  ["proxy: {denial_message: Ask first., plaintext_credentials: allow, max_request_body_bytes: 10}\n", []],
  ["proxy: {timeouts: {client_idle: 5s}, limits: {max_connections: 5}, shutdown_timeout: 1s}\n", []],
  ["transforms: [{name: allowlist, config: {domains: [a.test]}}]\n", []],
  ["proxy: {http_listen: off, tunnel_listen: ':1080'}\n", ["proxy.http_listen", "proxy.tunnel_listen"]],
  ["proxy: {upstream_deny_cidrs: []}\n", ["proxy.upstream_deny_cidrs"]],
  ["proxy: {allow_metadata: true}\n", ["proxy.allow_metadata"]],
  ["proxy: {upstream_proxy: {https_proxy: 'http://p.test:3128'}}\n", ["proxy.upstream_proxy"]],
  [
    "proxy: {timeouts: {upstream_idle: 1s}, limits: {upstream_idle_total: 1}}\n",
    ["proxy.timeouts.upstream_idle", "proxy.limits.upstream_idle_total"],
  ],
  ["metrics: {listen: off}\naudit: {file: /tmp/a}\n", ["metrics.listen", "audit"]],
  ["log: {level: debug}\n", ["log"]],
] as const) {
  test(`${text.trim() || "no change"}: ${keys.join(", ") || "no restart"}`, () => {
    assert.deepEqual(keysForRestart(started, configOf(ca + text)), keys);
  });
}

test("another CA waits for a restart", () => {
  const other = configOf("tls: {ca_cert: other.crt, ca_key: ca.key}\n");
  assert.deepEqual(keysForRestart(started, other), ["tls.ca_cert"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { socksReplyTo } from "../../src/listeners/socks5.ts";
import type { Reason } from "../../src/reasons.ts";

const replies: readonly (readonly [reason: Reason, code: string | undefined, reply: number])[] = [
  ["upstream_address_denied", undefined, 2],
  ["proxy_loop", undefined, 2],
  ["upstream_connect_failed", "ENETUNREACH", 3],
  ["upstream_connect_failed", "EHOSTUNREACH", 4],
  ["upstream_resolve_failed", undefined, 4],
  ["upstream_connect_timeout", undefined, 4],
  ["upstream_connect_failed", "ECONNREFUSED", 5],
  // What the target did not say is not said for it.
  ["upstream_connect_failed", "EMFILE", 1],
  ["upstream_connect_failed", "EADDRNOTAVAIL", 1],
  ["upstream_proxy_failed", undefined, 1],
  ["draining", undefined, 1],
];

for (const [reason, code, reply] of replies) {
  test(`RFC 1928: reply ${reply} to ${code ?? reason}`, () => {
    assert.equal(socksReplyTo({ reason, code }), reply);
  });
}

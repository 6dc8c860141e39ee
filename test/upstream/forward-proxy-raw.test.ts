// Connections of other protocols through forward proxies: WebSocket, and TLS that is passed through unopened.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import type { Duplex } from "node:stream";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import type { Upstream } from "../../src/upstream/index.ts";
import { startDns } from "../e2e/harness/dns.ts";
import { answering, ca, makeUpstream, ok, type ScriptedServer, serve, target } from "./kit.ts";
import { httpProxy, socksProxy, tls } from "./proxies.ts";

const kinds = ["http", "https", "socks5", "socks5h"] as const;

/** A proxy of a kind that leads to a server, and an upstream side that goes through it. */
async function through(
  t: TestContext,
  kind: (typeof kinds)[number],
  port: number,
  options: Parameters<typeof makeUpstream>[1] = {},
): Promise<{ upstream: Upstream; proxy: ScriptedServer; asked: () => string }> {
  const seen: string[] = [];
  const proxy = kind.startsWith("socks")
    ? await socksProxy(t, port, seen)
    : await httpProxy(t, port, kind === "https");
  const url = `${kind}://localhost:${proxy.port}`;
  const upstream = makeUpstream(t, {
    forwardProxy: { httpProxy: url, httpsProxy: url, noProxy: undefined },
    // So that names under `.example` are not looked up in the test's network.
    resolver: "127.0.0.1:9",
    ...options,
  });
  const asked = () => seen[0] ?? proxy.peers[0]?.received().split("\r\n")[0] ?? "";
  return { upstream, proxy, asked };
}

async function textOf(socket: Duplex): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

for (const kind of kinds) {
  test(`${kind}: bytes pass as they are, both ways, until either side ends`, async (t) => {
    const server = await serve(t, async (peer) => {
      await peer.until("ping");
      peer.send("pong");
      peer.socket.end();
    });
    for (const scheme of ["http", "https"] as const) {
      const { upstream, asked } = await through(t, kind, server.port);
      const { socket, info } = await upstream.connect(target("api.example:7443", scheme), { raw: true });
      socket.write("\0\x16ping");
      assert.equal(await textOf(socket), "pong");
      assert.equal(info.tls, undefined);
      assert.match(asked(), /^(?:CONNECT api\.example:7443 HTTP\/1\.1|3 api\.example 7443)$/);
    }
    assert.deepEqual(
      server.peers.map((peer) => peer.received()),
      ["\0\x16ping", "\0\x16ping"],
    );
  });

  test(`${kind}: TLS of the client's own goes through unopened`, async (t) => {
    const server = await answering(t, ok, tls);
    const { upstream } = await through(t, kind, server.port);
    const { socket } = await upstream.connect(target("api.example:443", "https"), { raw: true });
    const inner = connectTls({ socket, servername: "api.example", ca: ca.certPem });
    await once(inner, "secureConnect");
    assert.equal(inner.authorized, true);
    inner.destroy();
  });

  test(`I11 ${kind}: denied addresses are denied for these, too`, async (t) => {
    const denied = await through(t, kind, 9, { denyCidrs: standardDenyCidrs });
    for (const host of ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0"]) {
      await assert.rejects(denied.upstream.connect(target(`${host}:443`, "https"), { raw: true }), {
        reason: "upstream_address_denied",
      });
    }
    assert.equal(denied.proxy.peers.length, 0);
  });
}

test("I11: a name that resolves here to a denied address is not asked of the forward proxy", async (t) => {
  const proxy = await httpProxy(t, 9);
  const url = `http://127.0.0.1:${proxy.port}`;
  const upstream = makeUpstream(t, {
    forwardProxy: { httpProxy: url, httpsProxy: url, noProxy: undefined },
    denyCidrs: ["192.0.2.0/24"],
    resolver: await namesAt(t, "192.0.2.7"),
  });
  await assert.rejects(upstream.connect(target("inside.example:443", "https"), { raw: true }), {
    reason: "upstream_address_denied",
  });
  assert.equal(proxy.peers.length, 0);
});

test("a forward proxy that refuses is said to have refused", async (t) => {
  const proxy = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  });
  const url = `http://127.0.0.1:${proxy.port}`;
  const upstream = makeUpstream(t, {
    forwardProxy: { httpProxy: url, httpsProxy: url, noProxy: undefined },
    resolver: "127.0.0.1:9",
  });
  await assert.rejects(upstream.connect(target("api.example:443", "https"), { raw: true }), {
    reason: "upstream_proxy_failed",
  });
});

/** A resolver that has this address for every name. */
async function namesAt(t: TestContext, address: string): Promise<string> {
  const dns = await startDns(() => [address]);
  t.after(() => dns.close());
  return dns.address;
}

// WebSockets over HTTP/2 to upstreams (RFC 8441), as far as it takes an upstream whose frames are made by hand.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Body } from "../../src/http/body.ts";
import {
  clientPreface,
  FrameReader,
  rstStreamFrame,
  settings,
  settingsFrame,
} from "../../src/http/h2/frames.ts";
import { HpackEncoder } from "../../src/http/h2/hpack/encoder.ts";
import { Headers } from "../../src/http/headers.ts";
import type { ResponseHead } from "../../src/http/message.ts";
import type { Upstream, UpstreamExchange } from "../../src/upstream/index.ts";
import { frame } from "../http/h2/kit.ts";
import { eventually, leaf, makeUpstream, type Peer, pause, serve, target } from "./kit.ts";

const secureOnly = { cert: leaf.certPem, key: leaf.keyPem, ALPNProtocols: ["h2"] };
const tunnels = settingsFrame([[settings.enableConnectProtocol, 1]]);
const auto = { http2: "auto" } as const;
const none = settingsFrame([]);

/** A server of frames, for a client whose offer of HTTP/1.1 was refused before. */
function speak(t: TestContext, script: (peer: Peer) => unknown) {
  return serve(t, script, secureOnly);
}

/** How many requests have arrived. */
function asked(peer: Peer): number {
  const bytes = Buffer.from(peer.received(), "latin1");
  let count = 0;
  const reader = new FrameReader({ onData() {}, onFrame: (type) => (count += type === 1 ? 1 : 0) });
  if (bytes.length > clientPreface.length) reader.execute(bytes.subarray(clientPreface.length));
  return count;
}

/** Says this whenever a request has arrived. */
function answering(peer: Peer, answer: (stream: number) => Buffer): void {
  let answered = 0;
  peer.socket.on("data", () => {
    for (const count = asked(peer); answered < count; answered++) peer.socket.write(answer(1 + 2 * answered));
  });
}

function headersFrame(status: string, more: readonly (readonly [string, string])[] = []): Buffer {
  const encoder = new HpackEncoder();
  encoder.begin(0);
  for (const [name, value] of [[":status", status] as const, ...more]) encoder.field(name, value, false);
  return frame(1, 4, 1, encoder.end());
}

/** What came of a handshake: the status of its acceptance or answer, or the reason it failed for. */
function handshake(
  upstream: Upstream,
  address: string,
  onSent: (exchange: UpstreamExchange) => void = () => {},
): Promise<string | number> {
  const headers = new Headers();
  for (const [name, value] of [
    ["Host", address],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
  ] as const) {
    headers.append(name, value);
  }
  return new Promise((resolve) => {
    const exchange = upstream.send(
      target(address, "https"),
      {
        method: "GET",
        target: "/",
        headers,
        body: Body.empty(),
        framing: { kind: "none" },
        expectContinue: false,
        upgrade: "websocket",
      },
      {
        onInterim() {},
        onResponse: (head: ResponseHead) => resolve(head.status),
        onUpgrade: (head, channel) => {
          resolve(head.status);
          channel.sink.abort(new Error("enough"));
        },
        onError: (error) => resolve(error.reason),
      },
    );
    onSent(exchange);
  });
}

test("the handshake waits for SETTINGS, which may come late", async (t) => {
  let early: number | undefined;
  const server = await speak(t, async (peer) => {
    answering(peer, () => headersFrame("200"));
    await peer.until("PRI * HTTP/2.0");
    await pause(50);
    early = asked(peer);
    peer.socket.write(tunnels);
  });
  assert.equal(await handshake(makeUpstream(t, auto), server.address), 101);
  assert.equal(early, 0);
});

test("SETTINGS that say nothing of tunnels refuse the handshake", async (t) => {
  const server = await speak(t, ({ socket }) => socket.write(none));
  const upstream = makeUpstream(t, auto);
  assert.equal(await handshake(upstream, server.address), "upgrade_not_supported");
  assert.equal(await handshake(upstream, server.address), "upgrade_not_supported");
  assert.equal(server.peers.length, 1);
});

test("I12: SETTINGS that never come are a time-out, and the connection goes", async (t) => {
  const server = await speak(t, () => {});
  const upstream = makeUpstream(t, { ...auto, timeouts: { responseHeaderMs: 100 } });
  assert.equal(await handshake(upstream, server.address), "upstream_response_timeout");
  await eventually(() => server.peers[0]?.socket.destroyed === true, "the connection is closed");
  assert.equal(upstream.stats().active, 0);
});

test("a connection that closes before its SETTINGS is tried once more", async (t) => {
  const server = await speak(t, (peer) => {
    answering(peer, () => headersFrame("200"));
    if (peer.number === 1) setTimeout(() => peer.socket.destroy(), 20);
    else peer.socket.write(tunnels);
  });
  const upstream = makeUpstream(t, auto);
  assert.equal(await handshake(upstream, server.address), 101);
  assert.equal(upstream.stats().retried, 1);
});

test("a handshake whose client leaves before SETTINGS is never sent", async (t) => {
  let seen: number | undefined;
  let leave = (): void => {};
  const server = await speak(t, async (peer) => {
    await peer.until("PRI * HTTP/2.0");
    await pause(20);
    leave();
    peer.socket.write(tunnels);
    await pause(30);
    seen = asked(peer);
  });
  void handshake(makeUpstream(t, auto), server.address, (exchange) => {
    leave = () => exchange.cancel();
  });
  await eventually(() => seen !== undefined, "the server has waited");
  assert.equal(seen, 0);
});

test("a stream that is refused is tried once more, and fails then", async (t) => {
  let refusals = 0;
  const server = await speak(t, (peer) => {
    answering(peer, (stream) => {
      refusals++;
      return rstStreamFrame(stream, 7);
    });
    peer.socket.write(tunnels);
  });
  assert.equal(await handshake(makeUpstream(t, auto), server.address), "upstream_closed");
  assert.equal(refusals, 2);
});

for (const [what, more] of [
  ["fields that belong to a connection", [["connection", "Upgrade"]]],
  ["a status of HTTP/1.1", []],
] as const) {
  test(`I9: an acceptance with ${what} is invalid`, async (t) => {
    const status = more.length === 0 ? "101" : "200";
    const server = await speak(t, (peer) => {
      answering(peer, () => headersFrame(status, more));
      peer.socket.write(tunnels);
    });
    assert.equal(await handshake(makeUpstream(t, auto), server.address), "upstream_response_invalid");
  });
}

// Upstreams that lie, stall and hang up. Whatever they do, a cut answer never looks complete.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answering, eventually, makeUpstream, ok, pause, type Peer, send, serve, target } from "./kit.ts";

const length10 = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const cutBodies: [name: string, script: (peer: Peer) => void, reason: string][] = [
  ["ends a body with a length early", ({ socket }) => socket.end(`${length10}short`), "upstream_closed"],
  ["resets in a body with a length", (peer) => reset(peer, `${length10}short`), "upstream_closed"],
  [
    "ends a chunked body without its last chunk",
    ({ socket }) => socket.end(`${chunked}5\r\nshort\r\n`),
    "upstream_closed",
  ],
  ["ends inside a chunk", ({ socket }) => socket.end(`${chunked}9\r\nshort`), "upstream_closed"],
  [
    "ends inside the trailers",
    ({ socket }) => socket.end(`${chunked}5\r\nshort\r\n0\r\nX: 1\r\n`),
    "upstream_closed",
  ],
  [
    "resets in a body that ends with the connection",
    (peer) => reset(peer, "HTTP/1.1 200 OK\r\n\r\nshort"),
    "upstream_closed",
  ],
  [
    "sends a malformed chunk size",
    ({ send }) => {
      send(`${chunked}5\r\nshort\r\n`);
      setTimeout(() => send("0x5\r\n"), 20);
    },
    "upstream_response_invalid",
  ],
  ["goes silent in a body", ({ send }) => send(`${length10}short`), "upstream_response_timeout"],
];

function reset({ socket, send }: Peer, text: string): void {
  send(text);
  setTimeout(() => socket.resetAndDestroy(), 20);
}

for (const [name, script, reason] of cutBodies) {
  test(`aborts the body when the upstream ${name}`, async (t) => {
    const server = await serve(t, async (peer) => {
      await peer.until("\r\n\r\n");
      script(peer);
    });
    const upstream = makeUpstream(t, { timeouts: { bodyMs: 60 } });
    const outcome = await send(upstream, target(server.address));
    assert.equal(outcome.head?.status, 200);
    assert.equal(outcome.body, "short");
    assert.equal(outcome.aborted?.reason, reason);
    assert.doesNotMatch(outcome.aborted?.message ?? "", /short/);
    await eventually(() => upstream.stats().active === 0, "the connection is gone");
    assert.equal(upstream.stats().idle, 0);
  });
}

test("a body that is found to be malformed in the read that brought the head is no answer at all", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send(`${chunked}5\r\nshort\r\n0x5\r\n`);
  });
  const outcome = await send(makeUpstream(t), target(server.address));
  assert.equal(outcome.head, undefined);
  assert.equal(outcome.error?.reason, "upstream_response_invalid");
});

const badHeads: [name: string, answer: string, reason: string][] = [
  ["closes without a word", "", "upstream_closed"],
  ["closes inside the head", "HTTP/1.1 200 OK\r\nContent-Le", "upstream_closed"],
  ["sends garbage", "220 smtp.example.com ESMTP\r\n", "upstream_response_invalid"],
  ["answers in HTTP/2", "\0\0\x12\x04\0\0\0\0\0", "upstream_response_invalid"],
  ["answers in HTTP/0.9", "<html>hello</html>", "upstream_response_invalid"],
  [
    "sends both Content-Length and Transfer-Encoding",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "upstream_response_invalid",
  ],
  [
    "repeats Content-Length",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "upstream_response_invalid",
  ],
  ["sends a bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "upstream_response_invalid"],
  [
    "sends too many header fields",
    `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(500)}\r\n`,
    "upstream_response_invalid",
  ],
  [
    "switches protocols unasked (attack 29)",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "upstream_response_invalid",
  ],
];

for (const [name, answer, reason] of badHeads) {
  test(`I9: fails with ${reason} when the upstream ${name}`, async (t) => {
    const server = await serve(t, async (peer) => {
      await peer.until("\r\n\r\n");
      peer.socket.end(answer, "latin1");
    });
    const upstream = makeUpstream(t);
    const outcome = await send(upstream, target(server.address));
    assert.equal(outcome.error?.reason, reason);
    assert.equal(outcome.error?.status, 502);
    assert.equal(outcome.error?.leg, "response");
    assert.equal(outcome.head, undefined);
    await eventually(() => upstream.stats().active === 0, "the connection is gone");
  });
}

test("a response that does not begin in time is a 504", async (t) => {
  const server = await serve(t, () => {});
  const outcome = await send(makeUpstream(t, { timeouts: { responseHeaderMs: 30 } }), target(server.address));
  assert.deepEqual([outcome.error?.reason, outcome.error?.status], ["upstream_response_timeout", 504]);
});

test("a head that trickles in gains no time by it", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 200 OK\r\n");
    for (let index = 0; index < 200 && !peer.socket.destroyed; index++) {
      peer.send(`X-${index}: y\r\n`);
      await pause(10);
    }
  });
  const began = performance.now();
  const outcome = await send(makeUpstream(t, { timeouts: { responseHeaderMs: 60 } }), target(server.address));
  assert.equal(outcome.error?.reason, "upstream_response_timeout");
  assert.ok(performance.now() - began < 1000);
});

test("a body that keeps coming is never late, however long it takes", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send(length10);
    for (let index = 0; index < 10; index++) {
      await pause(60);
      peer.send("x");
    }
  });
  const outcome = await send(makeUpstream(t, { timeouts: { bodyMs: 350 } }), target(server.address));
  assert.equal(outcome.body, "xxxxxxxxxx");
  assert.equal(outcome.aborted, undefined);
});

test("an upstream that does not read the request is given up", async (t) => {
  const server = await serve(t, ({ socket }) => socket.pause());
  const outcome = await send(makeUpstream(t, { timeouts: { bodyMs: 60 } }), target(server.address), {
    method: "POST",
    body: "x".repeat(32 * 1024 * 1024),
  });
  assert.deepEqual([outcome.error?.reason, outcome.error?.leg], ["upstream_response_timeout", "response"]);
});

test("a body that ends with the connection is complete at its end, and the connection not reused", async (t) => {
  for (const tls of [undefined, true] as const) {
    const server = await serve(
      t,
      async (peer) => {
        await peer.until("\r\n\r\n");
        peer.socket.end("HTTP/1.0 200 OK\r\n\r\nall of it");
      },
      tls,
    );
    const upstream = makeUpstream(t);
    const authority = `localhost:${server.port}`;
    const outcome = await send(upstream, target(authority, tls ? "https" : "http"));
    assert.equal(outcome.aborted, undefined);
    assert.equal(outcome.body, "all of it");
    assert.deepEqual(outcome.head?.framing, { kind: "close" });
    await eventually(() => upstream.stats().active === 0, "the connection is gone");
    assert.equal(upstream.stats().idle, 0);
  }
});

const unreusable: [name: string, answer: string][] = [
  ["Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
  ["HTTP/1.0 without keep-alive", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
  ["a second response right behind the first (attack 32)", ok + ok],
  ["a byte behind the response (attack 32)", `${ok}\n`],
  ["Keep-Alive: timeout=1", `HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok`],
];

for (const [name, answer] of unreusable) {
  test(`I10: a connection is not reused after ${name}`, async (t) => {
    const server = await answering(t, answer);
    const upstream = makeUpstream(t);
    for (let round = 1; round <= 2; round++) {
      const outcome = await send(upstream, target(server.address));
      assert.equal(outcome.body, "ok");
      assert.equal(outcome.info?.reused, false);
      await eventually(() => upstream.stats().active === 0, "the connection is gone");
    }
    assert.equal(server.peers.length, 2);
  });
}

test("I10 attack 32: bytes that arrive while nothing is outstanding destroy the connection", async (t) => {
  const server = await answering(t, (peer) => {
    if (peer.number === 1)
      setTimeout(() => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), 30);
    return ok;
  });
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  await eventually(() => upstream.stats().idle === 0, "the poisoned connection is dropped");
  const outcome = await send(upstream, target(server.address));
  assert.equal(outcome.body, "ok");
  assert.equal(outcome.info?.reused, false);
});

test("I10 attack 32: a spare response in a later TLS record of the same segment is not the next request's", async (t) => {
  const server = await serve(
    t,
    async (peer) => {
      await peer.until("\r\n\r\n");
      // Two records, one segment: the client decrypts both in one turn of its event loop, as two events.
      peer.socket.cork();
      peer.send(ok);
      peer.socket.uncork();
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    },
    true,
  );
  const upstream = makeUpstream(t);
  const to = target(`localhost:${server.port}`, "https");
  const first = await send(upstream, to);
  assert.equal(first.body, "ok");
  const second = await send(upstream, to);
  assert.equal(second.info?.reused, false);
  assert.equal(second.body, "ok");
});

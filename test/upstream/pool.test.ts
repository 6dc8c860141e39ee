import assert from "node:assert/strict";
import { test } from "node:test";
import { Body } from "../../src/http/body.ts";
import {
  answering,
  eventually,
  makeUpstream,
  ManualBody,
  ok,
  type Peer,
  send,
  serve,
  type TestRequest,
  target,
} from "./kit.ts";

test("one connection carries one exchange after the other", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  for (let round = 0; round < 5; round++) {
    assert.equal((await send(upstream, target(server.address))).body, "ok");
    await eventually(() => upstream.stats().idle === 1, "an idle connection");
  }
  assert.equal(server.peers.length, 1);
  const { dialed, reused } = upstream.stats();
  assert.deepEqual({ dialed, reused }, { dialed: 1, reused: 4 });
});

test("exchanges at the same time have a connection each", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await Promise.all([1, 2, 3].map(() => send(upstream, target(server.address))));
  assert.equal(server.peers.length, 3);
  await eventually(() => upstream.stats().idle === 3, "idle connections");
});

test("I10: callers, schemes and authorities never share a connection", async (t) => {
  const plain = await answering(t, ok);
  const upstream = makeUpstream(t);
  const targets = [
    target(plain.address, "http", ""),
    target(plain.address, "http", "alice"),
    target(plain.address, "http", "bob"),
    target(`localhost:${plain.port}`, "http", ""),
    target(`localhost:${plain.port}`, "http", "alice"),
  ];
  for (const to of targets) {
    assert.equal((await send(upstream, to)).info?.reused, false);
    await eventually(() => upstream.stats().active === 0, "the end");
  }
  for (const to of targets) assert.equal((await send(upstream, to)).info?.reused, true);
  assert.equal(plain.peers.length, targets.length);
});

test("I10: a partition that looks like part of an authority is still only a partition", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address, "http", `x http ${server.address} `));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  assert.equal((await send(upstream, target(server.address, "http", "x"))).info?.reused, false);
  assert.equal((await send(upstream, target(server.address, "http", ""))).info?.reused, false);
});

test("the connection used last is used first", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await Promise.all([1, 2].map(() => send(upstream, target(server.address))));
  await eventually(() => upstream.stats().idle === 2, "idle connections");
  const requests = (peer: Peer | undefined): number => (peer?.received().split("GET ").length ?? 1) - 1;
  for (let round = 0; round < 4; round++) {
    await send(upstream, target(server.address));
    await eventually(() => upstream.stats().idle === 2, "idle connections");
  }
  const counts = server.peers.map(requests);
  assert.deepEqual([Math.min(...counts), Math.max(...counts)], [1, 5]);
});

test("I12: keeps only so many idle connections, for one host and in all", async (t) => {
  const first = await answering(t, ok);
  const second = await answering(t, ok);
  const upstream = makeUpstream(t, { limits: { idlePerHost: 2, idleTotal: 3 } });
  await Promise.all([1, 2, 3, 4].map(() => send(upstream, target(first.address))));
  await eventually(() => upstream.stats().active === 0, "the end");
  assert.equal(upstream.stats().idle, 2);
  await Promise.all([1, 2].map(() => send(upstream, target(second.address))));
  await eventually(() => upstream.stats().active === 0, "the end");
  assert.equal(upstream.stats().idle, 3);
  // The one that had to go is the longest unused, of the first server.
  assert.equal((await send(upstream, target(second.address))).info?.reused, true);
});

test("I12: a limit of 0 keeps none", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t, { limits: { idlePerHost: 0 } });
  for (let round = 0; round < 2; round++)
    assert.equal((await send(upstream, target(server.address))).info?.reused, false);
  await eventually(() => upstream.stats().active === 0, "the end");
  assert.equal(upstream.stats().idle, 0);
});

test("closes a connection that stays unused", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t, { timeouts: { idleMs: 40 } });
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  await eventually(() => upstream.stats().idle === 0, "it is closed");
  await eventually(() => server.peers[0]?.socket.readableEnded === true, "the server sees it");
});

test("drops a connection that the server closes while it is idle", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  server.peers[0]?.socket.end();
  await eventually(() => upstream.stats().idle === 0, "it is dropped");
  const outcome = await send(upstream, target(server.address));
  assert.deepEqual([outcome.body, outcome.info?.reused], ["ok", false]);
});

/** A server whose first connection answers once and is closed at the second request, like one that was just idle for too long. */
function closingOnReuse(how: (peer: Peer) => void) {
  return (peer: Peer, request: number): string | undefined => {
    if (peer.number > 1 || request === 1) return ok;
    how(peer);
    return undefined;
  };
}

const endings: [name: string, how: (peer: Peer) => void][] = [
  ["closed", ({ socket }) => socket.end()],
  ["reset", ({ socket }) => socket.resetAndDestroy()],
];

for (const [ending, how] of endings) {
  for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]) {
    test(`I10: ${method} is sent once more when its reused connection was ${ending}`, async (t) => {
      const server = await answering(t, closingOnReuse(how));
      const upstream = makeUpstream(t);
      await send(upstream, target(server.address));
      await eventually(() => upstream.stats().idle === 1, "an idle connection");
      const outcome = await send(upstream, target(server.address), { method });
      assert.equal(outcome.head?.status, 200);
      assert.equal(outcome.info?.reused, false);
      assert.equal(upstream.stats().retried, 1);
      assert.equal(server.peers.length, 2);
    });
  }
}

test("I10: a PUT with a body in memory is sent once more, whole", async (t) => {
  let second = "";
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    if (peer.number === 1) {
      peer.send(ok);
      await peer.until("PUT");
      peer.socket.end();
      return;
    }
    await peer.until("z".repeat(100_000));
    second = peer.received();
    peer.send(ok);
  });
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  const outcome = await send(upstream, target(server.address), { method: "PUT", body: "z".repeat(100_000) });
  assert.equal(outcome.body, "ok");
  assert.ok(second.endsWith(`Content-Length: 100000\r\n\r\n${"z".repeat(100_000)}`));
});

const notRepeated: [name: string, request: () => TestRequest][] = [
  ["POST", () => ({ method: "POST", body: "x" })],
  ["PATCH", () => ({ method: "PATCH", body: "x" })],
  ["POST without a body", () => ({ method: "POST", framing: { kind: "length", length: 0 } })],
  [
    "PUT whose body was streamed",
    () => {
      const body = new ManualBody(1);
      return {
        method: "PUT",
        body: Body.from({
          length: 1,
          start: (sink) => void sink.write(Buffer.from("x")),
          resume() {},
          cancel: () => body.cancel(),
        }),
      };
    },
  ],
];

for (const [name, request] of notRepeated) {
  test(`I10: a ${name} is not sent twice`, async (t) => {
    const server = await answering(
      t,
      closingOnReuse(({ socket }) => socket.end()),
    );
    const upstream = makeUpstream(t);
    await send(upstream, target(server.address));
    await eventually(() => upstream.stats().idle === 1, "an idle connection");
    const outcome = await send(upstream, target(server.address), request());
    assert.deepEqual([outcome.error?.reason, outcome.error?.status], ["upstream_closed", 502]);
    assert.equal(server.peers.length, 1);
  });
}

test("I10: nothing is sent twice once a byte of the response has arrived", async (t) => {
  const server = await answering(
    t,
    closingOnReuse(({ socket }) => socket.end("HTTP/1.1 2")),
  );
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  assert.equal((await send(upstream, target(server.address))).error?.reason, "upstream_closed");
  assert.equal(server.peers.length, 1);
});

test("I10: a new connection that closes is not tried again, nor is the second attempt", async (t) => {
  const server = await answering(t, (peer, request) => {
    if (peer.number === 1 && request === 1) return ok;
    peer.socket.end();
    return undefined;
  });
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  assert.equal((await send(upstream, target(server.address))).error?.reason, "upstream_closed");
  assert.equal(server.peers.length, 2);
});

test("close lets an exchange end, takes no new ones and keeps no connection", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    setTimeout(() => peer.send(ok), 40);
  });
  const upstream = makeUpstream(t);
  const running = send(upstream, target(server.address));
  await eventually(() => server.peers.length === 1, "the request arrives");
  const closed = upstream.close();
  const refused = await send(upstream, target(server.address));
  assert.deepEqual([refused.error?.reason, refused.error?.status], ["draining", 503]);
  assert.equal((await running).body, "ok");
  await closed;
  assert.deepEqual([upstream.stats().active, upstream.stats().idle], [0, 0]);
});

test("destroy cuts an exchange, and does not repeat it", async (t) => {
  const server = await answering(t, (_peer, request) => (request === 1 ? ok : undefined));
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  const running = send(upstream, target(server.address));
  await eventually(() => server.peers[0]?.received().split("GET").length === 3, "the request arrives");
  upstream.destroy();
  assert.ok((await running).error);
  assert.equal(server.peers.length, 1);
});

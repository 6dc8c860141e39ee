// Exchanges over HTTP/2 with upstreams: node's server, and one whose frames are made by hand.
import assert from "node:assert/strict";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { test } from "node:test";
import { Body } from "../../src/http/body.ts";
import { goawayFrame, rstStreamFrame } from "../../src/http/h2/frames.ts";
import { frame } from "../http/h2/kit.ts";
import { always, type Raw, sayOk, secure, serveH2, serveRaw } from "./h2-support.ts";
import { eventually, makeUpstream, ManualBody, ok, pause, send, serve } from "./kit.ts";

test("a request and its answer: order, repeats, bodies, interim answers and trailers", async (t) => {
  let raw: string[] = [];
  const server = await serveH2(t, (stream, headers) => {
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    stream.respond(
      { ":status": 200, "x-echo": headers["x-one"], "set-cookie": ["a=1", "b=2"] },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "3" }));
    stream.pipe(stream);
  });
  server.server.on("stream", (_stream, _headers, _flags, rawHeaders) => {
    raw = rawHeaders;
  });
  const upstream = makeUpstream(t, always);
  const outcome = await send(upstream, secure(server.address), {
    method: "POST",
    target: "/p?q",
    headers: [
      ["X-One", "1"],
      ["X-Two", "2"],
      ["X-One", "3"],
    ],
    body: "hello",
  });
  assert.deepEqual(
    raw,
    [
      [":method", "POST", ":scheme", "https", ":authority", server.address, ":path", "/p?q"],
      ["x-one", "1", "x-two", "2", "x-one", "3", "content-length", "5"],
    ].flat(),
  );
  assert.deepEqual([outcome.head?.status, outcome.head?.version, outcome.body], [200, 20, "hello"]);
  assert.deepEqual(outcome.head?.headers.getAll("set-cookie"), ["a=1", "b=2"]);
  assert.deepEqual(
    outcome.interims.map(({ status }) => status),
    [103],
  );
  assert.deepEqual([...(outcome.trailers ?? [])], [["x-sum", "3"]]);
});

test("I10: exchanges of one caller share a connection, those of two callers do not", async (t) => {
  const server = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, always);
  for (const caller of ["one", "two", "one", "two"]) {
    assert.equal((await send(upstream, secure(server.address, caller))).body, "ok");
  }
  assert.equal(server.connections(), 2);
  assert.deepEqual([upstream.stats().idle, upstream.stats().active], [2, 0]);
});

test("those who ask at the same time wait for one connection", async (t) => {
  const server = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, always);
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, () => send(upstream, secure(server.address))),
  );
  assert.ok(outcomes.every(({ body }) => body === "ok"));
  assert.equal(server.connections(), 1);
});

test("the one a connection is made for may leave: the others get theirs", async (t) => {
  const server = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, always);
  const first = send(upstream, secure(server.address), { onSent: (exchange) => exchange.cancel() });
  const others = await Promise.all([
    send(upstream, secure(server.address)),
    send(upstream, secure(server.address)),
  ]);
  assert.deepEqual(
    others.map(({ body }) => body),
    ["ok", "ok"],
  );
  void first;
});

test("an upstream of HTTP/1.1 is spoken to in HTTP/1.1, each exchange on a connection of its own", async (t) => {
  const server = await serve(t, (peer) => peer.socket.on("data", () => peer.send(ok)), true);
  const upstream = makeUpstream(t, always);
  const to = secure(server.address);
  const outcomes = await Promise.all([send(upstream, to), send(upstream, to), send(upstream, to)]);
  assert.deepEqual(
    outcomes.map(({ head, body }) => [head?.version, body]),
    [
      [11, "ok"],
      [11, "ok"],
      [11, "ok"],
    ],
  );
  assert.equal(server.peers.length, 3);
});

test("a client of HTTP/1.1 meets HTTP/2 only where the upstream speaks nothing else, and that is remembered", async (t) => {
  const both = await serveH2(t, () => assert.fail("HTTP/2 was not asked for"), { allowHTTP1: true });
  both.server.on("request", (_request, response) => response.end("ok"));
  const only = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, { http2: "auto" });
  assert.equal((await send(upstream, secure(both.address))).head?.version, 11);
  assert.equal((await send(upstream, secure(only.address))).head?.version, 20);
  assert.equal(only.connections(), 2, "one that was refused, and one");
  assert.equal((await send(upstream, secure(only.address, "other caller"))).head?.version, 20);
  assert.equal(only.connections(), 3);
});

test("off means off", async (t) => {
  const server = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, { http2: "off" });
  assert.equal((await send(upstream, secure(server.address))).error?.reason, "upstream_tls_failed");
});

test("an exchange that is cancelled resets its stream; the connection and the others go on", async (t) => {
  const codes: number[] = [];
  let arrived = 0;
  const server = await serveH2(t, (stream, headers) => {
    arrived++;
    stream.on("close", () => codes.push(stream.rstCode));
    if (headers[":path"] !== "/hang") sayOk(stream, headers);
  });
  const upstream = makeUpstream(t, always);
  let cancel = (): void => {};
  void send(upstream, secure(server.address), {
    target: "/hang",
    onSent: (exchange) => {
      cancel = () => exchange.cancel();
    },
  });
  await eventually(() => arrived === 1, "the request");
  cancel();
  await eventually(() => codes.length === 1, "the reset");
  assert.equal(codes[0], constants.NGHTTP2_CANCEL);
  assert.equal((await send(upstream, secure(server.address))).body, "ok");
  assert.equal(server.connections(), 1);
});

test("a stream that the upstream refused is sent again, once", async (t) => {
  let refusals = 1;
  const server = await serveH2(t, (stream, headers) => {
    if (refusals-- > 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else sayOk(stream, headers);
  });
  const upstream = makeUpstream(t, always);
  const post = { method: "POST", body: "whole" };
  assert.equal((await send(upstream, secure(server.address), post)).body, "ok");
  assert.equal(upstream.stats().retried, 1);
  refusals = 2;
  assert.equal((await send(upstream, secure(server.address), post)).error?.reason, "upstream_closed");
});

test("a body that was begun is not sent again", async (t) => {
  let streams = 0;
  const server = await serveH2(t, (stream) => {
    streams++;
    stream.on("data", () => stream.close(constants.NGHTTP2_REFUSED_STREAM));
  });
  const upstream = makeUpstream(t, always);
  const manual = new ManualBody();
  const outcome = send(upstream, secure(server.address), { method: "POST", body: Body.from(manual) });
  await eventually(() => streams === 1, "the stream");
  manual.sink?.write(Buffer.from("part"));
  assert.equal((await outcome).error?.reason, "upstream_closed");
  assert.equal(streams, 1);
});

test("a request on a connection that was closed while idle is sent again on a new one", async (t) => {
  const server = await serveH2(t, sayOk);
  const upstream = makeUpstream(t, always);
  await send(upstream, secure(server.address));
  const again = send(upstream, secure(server.address));
  server.sessions[0]?.destroy();
  assert.equal((await again).body, "ok");
  assert.equal(server.connections(), 2);
});

test("the upstream's limit on streams is kept: what is beyond it gets another connection", async (t) => {
  const waiting: ServerHttp2Stream[] = [];
  const server = await serveH2(t, (stream) => waiting.push(stream), {
    settings: { maxConcurrentStreams: 2 },
  });
  const upstream = makeUpstream(t, always);
  const first = send(upstream, secure(server.address));
  await eventually(() => waiting.length === 1, "the first");
  const more = [send(upstream, secure(server.address)), send(upstream, secure(server.address))];
  await eventually(() => waiting.length === 3, "all of them");
  assert.equal(server.connections(), 2);
  for (const stream of waiting) sayOk(stream, {});
  for (const outcome of await Promise.all([first, ...more])) assert.equal(outcome.body, "ok");
});

test("I12: an answer that nobody reads stops at its window, and holds up no other stream", async (t) => {
  let sent = 0;
  const server = await serveH2(t, (stream, headers) => {
    stream.respond({ ":status": 200 });
    if (headers[":path"] !== "/slow") {
      stream.end(Buffer.alloc(500_000));
      return;
    }
    const more = (): void => {
      while (sent < 5_000_000) {
        sent += 10_000;
        if (!stream.write(Buffer.alloc(10_000))) break;
      }
    };
    stream.on("drain", more);
    more();
  });
  const upstream = makeUpstream(t, always);
  let received = 0;
  const sink = {
    write: (bytes: Uint8Array) => {
      received += bytes.length;
      return false;
    },
    end() {},
    abort() {},
  };
  for (let n = 0; n < 6; n++) void send(upstream, secure(server.address), { target: "/slow", sink });
  await eventually(() => received > 6 * 250_000, "full windows");
  await pause(50);
  assert.ok(received <= 6 * 262_144, `${received} bytes`);
  assert.equal((await send(upstream, secure(server.address))).body.length, 500_000);
  assert.equal(server.connections(), 1);
});

test("a request body waits for an upstream that does not read", async (t) => {
  const server = await serveH2(t, () => {});
  const upstream = makeUpstream(t, always);
  const manual = new ManualBody();
  void send(upstream, secure(server.address), { method: "POST", body: Body.from(manual) });
  await eventually(() => server.sessions.length === 1, "the connection");
  await eventually(() => manual.sink?.write(Buffer.alloc(16_384)) === false, "the body is stopped");
});

test("silence is a time-out, and the connection it came from is not used again", async (t) => {
  const server = await serveH2(t, (stream, headers) => {
    if (headers[":path"] !== "/hang") sayOk(stream, headers);
  });
  const upstream = makeUpstream(t, { ...always, timeouts: { responseHeaderMs: 300 } });
  await send(upstream, secure(server.address));
  const outcome = await send(upstream, secure(server.address), { target: "/hang" });
  assert.deepEqual([outcome.error?.reason, outcome.error?.status], ["upstream_response_timeout", 504]);
  await send(upstream, secure(server.address));
  assert.equal(server.connections(), 2);
});

test("an unused connection closes after its time, and close waits for what is under way", async (t) => {
  const waiting: ServerHttp2Stream[] = [];
  const server = await serveH2(t, (stream, headers) => {
    if (headers[":path"] === "/wait") waiting.push(stream);
    else sayOk(stream, headers);
  });
  const upstream = makeUpstream(t, { ...always, timeouts: { idleMs: 100 } });
  await send(upstream, secure(server.address));
  assert.equal(upstream.stats().idle, 1);
  await eventually(() => upstream.stats().idle === 0, "the idle connection closes");
  const last = send(upstream, secure(server.address), { target: "/wait" });
  await eventually(() => waiting.length === 1, "the request");
  let closed = false;
  const closing = upstream.close().then(() => {
    closed = true;
  });
  await pause(30);
  assert.equal(closed, false);
  sayOk(waiting[0] as ServerHttp2Stream, {});
  assert.equal((await last).body, "ok");
  await closing;
});

const good: [string, string][] = [[":status", "200"]];

const invalid: readonly (readonly [what: string, answer: (parts: Raw) => Buffer[]])[] = [
  ["no status", ({ headers }) => [headers(true, [["x", "y"]])]],
  ["an upper-case field", ({ headers }) => [headers(true, [...good, ["X-Y", "z"]])]],
  ["a line break in a field", ({ headers }) => [headers(true, [...good, ["x", "a\r\nset-cookie: b"]])]],
  ["a connection field", ({ headers }) => [headers(true, [...good, ["transfer-encoding", "chunked"]])]],
  ["101", ({ headers }) => [headers(false, [[":status", "101"]])]],
  ["DATA before its head", ({ stream }) => [frame(0, 1, stream, Buffer.from("x"))]],
  ["a body where none is announced", ({ headers }) => [headers(true, [...good, ["content-length", "3"]])]],
  ["header fields over the limit", ({ headers }) => [headers(true, [...good, ...many])]],
  ["a block that cannot be decoded", ({ stream }) => [frame(1, 5, stream, Buffer.from([0xff, 0xff, 0xff]))]],
  ["a pushed request", ({ stream }) => [frame(5, 4, stream, Buffer.from([0, 0, 0, 2]))]],
  ["a frame that is too large", ({ stream }) => [frame(0, 0, stream, Buffer.alloc(20_000))]],
];
const many = Array.from({ length: 140 }, (_, n): [string, string] => [`x-${n}`, "1"]);

for (const [what, answer] of invalid) {
  test(`I9: an answer with ${what} is 502`, async (t) => {
    const address = await serveRaw(t, answer);
    const outcome = await send(makeUpstream(t, always), secure(address));
    assert.deepEqual([outcome.error?.reason, outcome.error?.status], ["upstream_response_invalid", 502]);
  });
}

const cut: readonly (readonly [what: string, reason: string, answer: (parts: Raw) => Buffer[]])[] = [
  [
    "is longer than its length",
    "upstream_response_invalid",
    ({ headers, stream }) => [
      headers(false, [...good, ["content-length", "1"]]),
      frame(0, 0, stream, Buffer.from("xy")),
    ],
  ],
  [
    "is shorter than its length",
    "upstream_response_invalid",
    ({ headers, stream }) => [
      headers(false, [...good, ["content-length", "9"]]),
      frame(0, 1, stream, Buffer.from("x")),
    ],
  ],
  [
    "has trailers that do not end it",
    "upstream_response_invalid",
    ({ headers, stream }) => [
      headers(false, good),
      frame(0, 0, stream, Buffer.from("x")),
      headers(false, [["x-t", "1"]]),
    ],
  ],
  [
    "is reset",
    "upstream_closed",
    ({ headers, stream }) => [
      headers(false, good),
      frame(0, 0, stream, Buffer.from("x")),
      rstStreamFrame(stream, 2),
    ],
  ],
];

for (const [what, reason, answer] of cut) {
  test(`I9: a body that ${what} is aborted, never taken for whole`, async (t) => {
    const address = await serveRaw(t, (parts) => {
      const [head, ...rest] = answer(parts);
      setTimeout(() => parts.socket.write(Buffer.concat(rest)), 20);
      return [head as Buffer];
    });
    const outcome = await send(makeUpstream(t, always), secure(address));
    assert.equal(outcome.head?.status, 200);
    assert.equal(outcome.aborted?.reason, reason);
  });

  test(`I9: a body that ${what} in the read that brought the head is no answer at all`, async (t) => {
    const outcome = await send(makeUpstream(t, always), secure(await serveRaw(t, answer)));
    assert.equal(outcome.head, undefined);
    assert.equal(outcome.error?.reason, reason);
  });
}

test("a connection that is going away finishes what it has, and the rest goes elsewhere", async (t) => {
  const connections = new Map<Socket, number>();
  const address = await serveRaw(t, ({ headers, stream, socket }) => {
    connections.set(socket, stream);
    if (connections.size > 1) return [headers(true, [[":status", "204"]])];
    if (stream === 1) return [];
    return [goawayFrame(1, 0), frame(1, 5, 1, Buffer.from([0x89]))];
  });
  const upstream = makeUpstream(t, always);
  const [first, second] = await Promise.all([
    send(upstream, secure(address)),
    send(upstream, secure(address), { method: "POST", body: "b" }),
  ]);
  assert.deepEqual([first.head?.status, second.head?.status], [204, 204]);
  assert.equal(connections.size, 2);
  assert.equal(upstream.stats().retried, 1);
});

test("65 interim answers are too many", async (t) => {
  const address = await serveRaw(t, ({ headers }) =>
    Array.from({ length: 65 }, () => headers(false, [[":status", "103"]])),
  );
  const outcome = await send(makeUpstream(t, always), secure(address));
  assert.equal(outcome.error?.reason, "upstream_response_invalid");
});

test("an upstream that refuses to go on tells so with its answer, and the body stops", async (t) => {
  const server = await serveH2(t, (stream) => {
    stream.respond({ ":status": 413 });
    stream.end("no");
  });
  const upstream = makeUpstream(t, always);
  const manual = new ManualBody();
  const outcome = await send(upstream, secure(server.address), { method: "POST", body: Body.from(manual) });
  assert.deepEqual([outcome.head?.status, outcome.body], [413, "no"]);
  await eventually(() => manual.cancelled, "the body is let go");
});

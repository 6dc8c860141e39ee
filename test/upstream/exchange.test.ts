import assert from "node:assert/strict";
import { test } from "node:test";
import { Body } from "../../src/http/body.ts";
import { Headers } from "../../src/http/headers.ts";
import { H1Error } from "../../src/http/h1/errors.ts";
import { answering, eventually, makeUpstream, ManualBody, ok, pause, send, serve, target } from "./kit.ts";

test("sends the request head exactly as given, with framing made here", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  const outcome = await send(upstream, target(server.address), {
    method: "POST",
    target: "/a%2Fb?q=1",
    headers: [
      ["x-CASE", "One"],
      ["X-Case", "Two"],
      ["Content-Length", "999"],
    ],
    body: "hello",
  });
  assert.equal(outcome.head?.status, 200);
  assert.equal(outcome.body, "ok");
  assert.deepEqual(outcome.info, { address: server.address, reused: false, tls: undefined });
  assert.equal(
    server.peers[0]?.received(),
    `POST /a%2Fb?q=1 HTTP/1.1\r\nHost: ${server.address}\r\nx-CASE: One\r\nX-Case: Two\r\nContent-Length: 5\r\n\r\nhello`,
  );
});

test("keeps Content-Length: 0 of an empty POST", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address), { method: "POST", framing: { kind: "length", length: 0 } });
  assert.match(server.peers[0]?.received() ?? "", /\r\nContent-Length: 0\r\n\r\n$/);
});

test("with a connection in the pool the request is written before send returns", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  await send(upstream, target(server.address));
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
  const second = send(upstream, target(server.address));
  assert.deepEqual([upstream.stats().reused, upstream.stats().dialing], [1, 0]);
  assert.equal((await second).info?.reused, true);
});

const responses: [name: string, answer: string, status: number, body: string][] = [
  ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"],
  [
    "chunks",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    200,
    "hello",
  ],
  ["no body", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""],
  ["an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""],
  ["an empty reason phrase", "HTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx", 404, "x"],
];

for (const [name, answer, status, body] of responses) {
  test(`delivers a response with ${name} and keeps the connection`, async (t) => {
    const server = await answering(t, answer);
    const upstream = makeUpstream(t);
    for (let round = 0; round < 3; round++) {
      const outcome = await send(upstream, target(server.address));
      assert.equal(outcome.head?.status, status);
      assert.equal(outcome.body, body);
      await eventually(() => upstream.stats().idle === 1, "an idle connection");
    }
    assert.equal(server.peers.length, 1);
  });
}

test("a response to HEAD has no body, whatever its length says", async (t) => {
  const server = await answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
  const upstream = makeUpstream(t);
  const outcome = await send(upstream, target(server.address), { method: "HEAD" });
  assert.equal(outcome.head?.headers.get("content-length"), "5000");
  assert.equal(outcome.body, "");
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
});

test("delivers trailers", async (t) => {
  const server = await answering(
    t,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n",
  );
  const outcome = await send(makeUpstream(t), target(server.address));
  assert.equal(outcome.trailers?.get("x-sum"), "7");
});

test("passes interim responses on, in order", async (t) => {
  const server = await answering(
    t,
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
  );
  const outcome = await send(makeUpstream(t), target(server.address));
  assert.deepEqual(
    outcome.interims.map(({ status }) => status),
    [103, 102],
  );
  assert.equal(outcome.head?.status, 200);
});

test("I12: interim responses without end are an invalid response", async (t) => {
  const server = await answering(t, "HTTP/1.1 102 Processing\r\n\r\n".repeat(100));
  const outcome = await send(makeUpstream(t), target(server.address));
  assert.equal(outcome.error?.reason, "upstream_response_invalid");
  assert.equal(outcome.interims.length, 64);
});

test("streams a request body as it comes, in chunks where its length is unknown", async (t) => {
  const server = await serve(t, () => {});
  const upstream = makeUpstream(t);
  const body = new ManualBody();
  const outcome = send(upstream, target(server.address), { method: "POST", body: Body.from(body) });
  await eventually(() => body.started, "the body is asked for");
  body.sink?.write(Buffer.from("hello"));
  await eventually(() => server.peers[0]?.received().endsWith("5\r\nhello\r\n") === true, "the first chunk");
  body.sink?.write(Buffer.from("world!"));
  body.sink?.end(undefined);
  await eventually(
    () => server.peers[0]?.received().endsWith("6\r\nworld!\r\n0\r\n\r\n") === true,
    "the end",
  );
  server.peers[0]?.send(ok);
  assert.equal((await outcome).body, "ok");
  assert.equal(upstream.stats().active, 0);
});

test("stops the request body's source while the upstream does not read", async (t) => {
  const server = await serve(t, ({ socket }) => socket.pause());
  const upstream = makeUpstream(t);
  const size = 64 * 1024;
  const count = 400;
  const body = new ManualBody(size * count);
  const outcome = send(upstream, target(server.address), { method: "POST", body: Body.from(body) });
  await eventually(() => body.started, "the body is asked for");
  let sent = 0;
  while (sent < count && body.sink?.write(Buffer.alloc(size, 120)) === true) sent++;
  assert.ok(sent < count, "the upstream never pushed back");
  sent++;
  assert.equal(body.resumed, 0);
  const peer = server.peers[0];
  peer?.socket.resume();
  let resumed = 0;
  while (sent < count) {
    await eventually(() => body.resumed > resumed, "the source is resumed");
    resumed = body.resumed;
    while (sent < count) {
      sent++;
      if (body.sink?.write(Buffer.alloc(size, 120)) !== true) break;
    }
  }
  body.sink?.end(undefined);
  await eventually(() => (peer?.received().length ?? 0) > size * count, "everything has arrived");
  peer?.send(ok);
  assert.equal((await outcome).body, "ok");
});

test("stops reading the upstream while the client does not read", async (t) => {
  const size = 20 * 1024 * 1024;
  let peerBlocked = false;
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    const part = Buffer.alloc(size / 20, 120);
    for (let index = 0; index < 20; index++) {
      if (peer.socket.write(part)) continue;
      peerBlocked = true;
      await new Promise((resolve) => peer.socket.once("drain", resolve));
      peerBlocked = false;
    }
  });
  const upstream = makeUpstream(t);
  let received = 0;
  let body: Body | undefined;
  let reading = false;
  const done = new Promise<void>((resolve, reject) => {
    upstream.send(
      target(server.address),
      {
        method: "GET",
        target: "/",
        headers: Headers.of([["Host", server.address]]),
        body: Body.empty(),
        framing: { kind: "none" },
        expectContinue: false,
      },
      {
        onInterim() {},
        onError: reject,
        onResponse(_head, answer) {
          body = answer;
          answer.pipe({
            write: (bytes) => {
              received += bytes.length;
              return reading;
            },
            end: () => resolve(),
            abort: reject,
          });
        },
      },
    );
  });
  await eventually(() => peerBlocked && received > 0, "the upstream is held up");
  const before = received;
  await pause(50);
  assert.equal(received, before, "bytes were delivered although nobody reads");
  reading = true;
  body?.resume();
  await done;
  assert.equal(received, size);
});

test("a response may come before the request is complete; both go on", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    await peer.until("0\r\n\r\n");
    peer.send("3\r\ntwo\r\n0\r\n\r\n");
  });
  const upstream = makeUpstream(t);
  const body = new ManualBody();
  const outcome = await send(upstream, target(server.address), {
    method: "POST",
    body: Body.from(body),
    onResponse: () => {
      body.sink?.write(Buffer.from("late"));
      body.sink?.end(undefined);
    },
  });
  assert.equal(outcome.body, "onetwo");
  await eventually(() => upstream.stats().idle === 1, "an idle connection");
});

test("I10: a response that is complete before its request closes the connection", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  });
  const upstream = makeUpstream(t);
  const body = new ManualBody(1000);
  const outcome = await send(upstream, target(server.address), { method: "POST", body: Body.from(body) });
  assert.equal(outcome.head?.status, 413);
  assert.equal(outcome.body, "no");
  assert.ok(body.cancelled, "the source was not told that nobody reads on");
  await eventually(() => upstream.stats().active === 0, "the connection is gone");
  assert.equal(upstream.stats().idle, 0);
});

test("Expect: 100-continue: the body waits for 100", async (t) => {
  let headAlone = "";
  const server = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    await pause(30);
    headAlone = peer.received();
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    await peer.until("hello");
    peer.send(ok);
  });
  const outcome = await send(makeUpstream(t), target(server.address), {
    method: "POST",
    headers: [["Expect", "100-continue"]],
    body: "hello",
    expectContinue: true,
  });
  assert.ok(headAlone.endsWith("\r\n\r\n"));
  assert.deepEqual(
    outcome.interims.map(({ status }) => status),
    [100],
  );
  assert.equal(outcome.body, "ok");
});

test("Expect: 100-continue: a final status means the body is never asked for, and the connection is not reused", async (t) => {
  const server = await answering(t, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
  const upstream = makeUpstream(t);
  const body = new ManualBody(5);
  const outcome = await send(upstream, target(server.address), {
    method: "POST",
    body: Body.from(body),
    expectContinue: true,
  });
  assert.equal(outcome.head?.status, 417);
  assert.equal(body.started, false);
  await eventually(() => upstream.stats().active === 0, "the connection is gone");
  assert.equal(upstream.stats().idle, 0);
});

test("Expect: 100-continue: a body is sent in the end to an upstream that ignores the expectation", async (t) => {
  const server = await serve(t, async (peer) => {
    await peer.until("hello");
    peer.send(ok);
  });
  const upstream = makeUpstream(t, { timeouts: { continueMs: 20 } });
  const outcome = await send(upstream, target(server.address), {
    method: "POST",
    body: "hello",
    expectContinue: true,
  });
  assert.equal(outcome.body, "ok");
});

test("cancel destroys the connection and no handler is called any more", async (t) => {
  const server = await serve(t, () => {});
  const upstream = makeUpstream(t);
  let called = false;
  void send(upstream, target(server.address), {
    onSent: (exchange) => {
      setTimeout(() => exchange.cancel(), 30);
    },
  }).then(() => {
    called = true;
  });
  await eventually(() => server.peers.length === 1, "the request arrives");
  const peer = server.peers[0];
  await eventually(
    () => peer?.socket.destroyed === true || peer?.socket.readableEnded === true,
    "the connection closes",
  );
  await pause(10);
  assert.equal(called, false);
  assert.deepEqual([upstream.stats().active, upstream.stats().idle], [0, 0]);
});

test("cancel in the middle of dialling gives the attempt up", async (t) => {
  const upstream = makeUpstream(t, { resolver: "127.0.0.1:9" });
  void send(upstream, target("never.example:80"), { onSent: (exchange) => exchange.cancel() });
  await eventually(() => upstream.stats().dialing === 0, "the attempt ends");
});

test("a client's body that is cut or malformed ends the exchange with the client's fault", async (t) => {
  const cases: [error: Error, status: number, reason: string][] = [
    [new Error("the client closed the connection"), 400, "body_incomplete"],
    [new H1Error(400, "malformed_request", "chunk size: a bare LF"), 400, "malformed_request"],
  ];
  for (const [error, status, reason] of cases) {
    const server = await serve(t, () => {});
    const upstream = makeUpstream(t);
    const body = new ManualBody();
    const outcome = send(upstream, target(server.address), { method: "POST", body: Body.from(body) });
    await eventually(() => body.started, "the body is asked for");
    body.sink?.write(Buffer.from("some"));
    body.sink?.abort(error);
    const failed = (await outcome).error;
    assert.deepEqual([failed?.leg, failed?.status, failed?.reason], ["request", status, reason]);
    assert.doesNotMatch(
      server.peers[0]?.received() ?? "",
      /0\r\n\r\n$/,
      "the cut body must not look complete",
    );
    await eventually(() => upstream.stats().active === 0, "the connection is gone");
  }
});

test("I9: a body that is longer or shorter than it announced never looks complete", async (t) => {
  for (const text of ["toolong", "sho"]) {
    const server = await serve(t, () => {});
    const body = new ManualBody(5);
    const upstream = makeUpstream(t);
    const outcome = send(upstream, target(server.address), { method: "POST", body: Body.from(body) });
    await eventually(() => body.started, "the body is asked for");
    body.sink?.write(Buffer.from(text));
    body.sink?.end(undefined);
    assert.equal((await outcome).error?.reason, "body_incomplete");
    await eventually(() => upstream.stats().active === 0, "the connection is gone");
    assert.doesNotMatch(server.peers[0]?.received() ?? "", /toolong/);
  }
});

test("I14 attack 33: a header value that cannot be sent fails without being shown, after send has returned", async (t) => {
  const server = await answering(t, ok);
  let returned = false;
  const outcome = await send(makeUpstream(t), target(server.address), {
    headers: [["Authorization", "Bearer s3cret\r\nX-Evil: 1"]],
    onSent: () => {
      returned = true;
    },
  });
  assert.ok(returned);
  assert.equal(outcome.error?.reason, "internal_error");
  assert.match(outcome.error?.message ?? "", /Authorization/);
  assert.doesNotMatch(outcome.error?.message ?? "", /s3cret/);
  assert.equal(server.peers[0]?.received() ?? "", "");
});

// What a server connection does for a client that keeps to the rules: node's own, and one made by hand.
import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import { test } from "node:test";
import { Body } from "../../../src/http/body.ts";
import { Headers } from "../../../src/http/headers.ts";
import {
  answerText,
  Collector,
  Endless,
  eventually,
  frame,
  nodeClient,
  rawClient,
  serve,
  uint32,
} from "./kit.ts";

test("answers node's client, on many streams at once, each with its own", async (t) => {
  const served = await serve(t, (incoming) =>
    answerText(incoming, `${incoming.head.method} ${incoming.head.target}`),
  );
  const client = nodeClient(t, served);
  const texts = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const stream = client.request({ ":path": `/${index}` });
      stream.setEncoding("utf8");
      return (await stream.toArray()).join("");
    }),
  );
  assert.deepEqual(
    texts,
    Array.from({ length: 100 }, (_, index) => `GET /${index}`),
  );
});

test("bodies, trailers and interim responses go both ways", async (t) => {
  const sink = new Collector();
  const served = await serve(t, (incoming) => {
    incoming.sendInterim(103, "", Headers.of([["Link", "</a.css>"]]));
    incoming.body.pipe({
      write: (bytes) => sink.write(bytes),
      abort: (error) => sink.abort(error),
      end(trailers) {
        sink.end(trailers);
        const source = {
          length: undefined,
          start: (out: Collector) => {
            out.write(Buffer.from("answer"));
            out.end(Headers.of([["X-Sum", "1"]]));
          },
          resume() {},
          cancel() {},
        };
        incoming.respond(
          { status: 200, reason: "", headers: Headers.of([["X-Case", "a"]]), framing: { kind: "chunked" } },
          Body.from(source),
        );
      },
    });
  });
  const client = nodeClient(t, served);
  const stream = client.request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-request-sum": "2" }));
  const interim: number[] = [];
  stream.on("headers", (headers) => interim.push(Number(headers[":status"])));
  const answered = once(stream, "response");
  const trailed = once(stream, "trailers");
  stream.end("question");
  const [headers] = (await answered) as [Record<string, string>];
  const [trailers] = (await trailed) as [Record<string, string>];
  assert.equal(sink.text, "question");
  assert.deepEqual([...(sink.trailers ?? [])], [["x-request-sum", "2"]]);
  assert.deepEqual(interim, [103]);
  assert.equal(headers["x-case"], "a");
  assert.equal(trailers["x-sum"], "1");
});

test("100 (Continue) is sent once somebody reads the body", async (t) => {
  const served = await serve(t, (incoming) => {
    incoming.body.pipe({ write: () => true, abort() {}, end: () => answerText(incoming, "read") });
  });
  const client = nodeClient(t, served);
  const stream = client.request({ ":method": "POST", ":path": "/", expect: "100-continue" });
  await once(stream, "continue");
  stream.end("body");
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.equal(headers[":status"], 200);
});

test("a small body is there when the request is handed on", async (t) => {
  let seen: unknown;
  const served = await serve(t, (incoming) => {
    seen = incoming.body.buffer(100);
    answerText(incoming, "ok");
  });
  const client = rawClient(served);
  client.send(client.headers(1, { method: "POST", end: false }), frame(0, 1, 1, Buffer.from("all of it")));
  await client.next(1, 1);
  assert.ok(Buffer.isBuffer(seen), "no waiting");
  assert.equal(String(seen), "all of it");
});

for (const [method, status] of [
  ["HEAD", 200],
  ["GET", 204],
  ["GET", 304],
] as const) {
  test(`${method} answered with ${status} ends with its head, and keeps the length where it means something`, async (t) => {
    const served = await serve(t, (incoming) =>
      incoming.respond(
        {
          status,
          reason: "",
          headers: Headers.of([["Content-Length", "500"]]),
          framing: { kind: "none" },
          keepsLength: true,
        },
        Body.empty(),
      ),
    );
    const client = rawClient(served);
    client.send(client.headers(1, { method }));
    const { flags } = await client.next(1, 1);
    assert.equal(flags & 1, 1, "END_STREAM");
  });
}

test("a client that resets its stream has the exchange abandoned, and the others go on", async (t) => {
  let abandoned = 0;
  const served = await serve(t, (incoming) => {
    incoming.onAbandoned = () => abandoned++;
    if (incoming.head.target === "/go") answerText(incoming, "ok");
  });
  const client = nodeClient(t, served);
  const stream = client.request({ ":path": "/wait" });
  stream.on("error", () => {});
  await eventually("the request arrives", () => served.requests.length === 1);
  stream.close(constants.NGHTTP2_CANCEL);
  await eventually("it is abandoned", () => abandoned === 1);
  const other = client.request({ ":path": "/go" });
  assert.equal((await other.setEncoding("utf8").toArray()).join(""), "ok");
});

test("I13: a stream that is opened and reset in one read is told of, and nobody works on it", async (t) => {
  const served = await serve(t, () => {});
  const client = rawClient(served);
  client.send(client.headers(1), frame(3, 0, 1, uint32(8)));
  await eventually("it is recorded", () => served.bad.length === 1);
  assert.deepEqual([served.requests.length, served.bad[0]?.reason], [0, "client_disconnected"]);
});

test("a cut connection abandons every stream", async (t) => {
  let abandoned = 0;
  const served = await serve(t, (incoming) => {
    incoming.onAbandoned = () => abandoned++;
  });
  const client = rawClient(served);
  client.send(client.headers(1), client.headers(3), client.headers(5, { method: "POST", end: false }));
  await eventually("they arrive", () => served.requests.length === 3);
  served.client.resetAndDestroy();
  await eventually("they are abandoned", () => abandoned === 3);
  await eventually("the connection is closed", () => served.closed());
});

test("I12: a client that does not read stops the source, and gets everything once it reads", async (t) => {
  const source = new Endless(5_000_000);
  let done: Error | undefined | "not yet" = "not yet";
  const served = await serve(t, (incoming) => {
    incoming.onDone = (error) => {
      done = error;
    };
    const { length } = source;
    incoming.respond(
      { status: 200, reason: "", headers: new Headers(), framing: { kind: "length", length } },
      Body.from(source),
    );
  });
  const client = rawClient(served);
  client.send(client.headers(1));
  await client.next(0, 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(source.sent <= 65_535 + 16_384, `${source.sent} bytes for a window of 65535`);
  assert.equal(done, "not yet");
  for (let opened = 0; opened < 5_500_000; opened += 500_000) {
    client.send(frame(8, 0, 1, uint32(500_000)), frame(8, 0, 0, uint32(500_000)));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await eventually("the answer is complete", () => done === undefined);
  await eventually("all of it arrives", () => {
    const size = client.frames
      .filter(({ type }) => type === 0)
      .reduce((sum, one) => sum + one.payload.length, 0);
    return size === source.length;
  });
});

test("I12: a body that nobody reads stops the client at its window", async (t) => {
  const served = await serve(t, () => {});
  const client = nodeClient(t, served);
  const stream = client.request({ ":method": "POST", ":path": "/" });
  stream.on("error", () => {});
  stream.write(Buffer.alloc(2_000_000));
  await eventually("the window is used up", () => (served.requests[0]?.bytesIn ?? 0) > 262_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok((served.requests[0]?.bytesIn ?? 0) < 263_500);
  const sink = new Collector();
  served.requests[0]?.body.pipe(sink);
  stream.end();
  await eventually("the rest follows", () => sink.ended);
  assert.equal(sink.size, 2_000_000);
});

test("a reader that wants no more holds the window, and opens it again", async (t) => {
  const sink = new Collector();
  sink.ready = false;
  const served = await serve(t, (incoming) => incoming.body.pipe(sink));
  const client = nodeClient(t, served);
  const stream = client.request({ ":method": "POST", ":path": "/" });
  stream.on("error", () => {});
  stream.end(Buffer.alloc(1_000_000));
  await eventually("the window is used up", () => sink.size > 262_000);
  assert.ok(sink.size <= 262_144);
  sink.ready = true;
  served.requests[0]?.body.resume();
  await eventually("the rest follows", () => sink.ended);
  assert.equal(sink.size, 1_000_000);
});

test("streams share the connection's window in turn", async (t) => {
  const served = await serve(t, (incoming) =>
    incoming.respond(
      { status: 200, reason: "", headers: new Headers(), framing: { kind: "chunked" } },
      Body.from(new Endless(300_000)),
    ),
  );
  const client = rawClient(served, [[4, 1_000_000]]);
  client.send(client.headers(1), client.headers(3), client.headers(5));
  const size = (stream: number) =>
    client.frames
      .filter((one) => one.type === 0 && one.stream === stream)
      .reduce((sum, one) => sum + one.payload.length, 0);
  await eventually("the window is used up", () => size(1) + size(3) + size(5) === 65_535);
  client.send(frame(8, 0, 0, uint32(16_384 * 6)));
  await eventually("more follows", () => size(1) + size(3) + size(5) === 65_535 + 16_384 * 6);
  for (const stream of [3, 5]) assert.ok(size(stream) >= 16_384, `stream ${stream} got ${size(stream)}`);
});

test("an answer that is complete before its request tells the client to stop sending", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "no", 403));
  const client = rawClient(served);
  client.send(client.headers(1, { method: "POST", end: false }));
  await client.fields(1);
  assert.equal(await client.reset(1), 0, "NO_ERROR");
  client.send(frame(0, 1, 1, Buffer.from("on its way")), client.headers(3));
  assert.equal((await client.fields(3))[":status"], "403", "what was on its way does no harm");
});

test("an answer that is cut resets the stream: nobody takes it for whole", async (t) => {
  let done: Error | undefined;
  const served = await serve(t, (incoming) => {
    incoming.onDone = (error) => {
      done = error;
    };
    const source = {
      length: undefined,
      start: (out: Collector) => {
        out.write(Buffer.from("part"));
        out.abort(new Error("upstream cut"));
      },
      resume() {},
      cancel() {},
    };
    incoming.respond(
      { status: 200, reason: "", headers: new Headers(), framing: { kind: "chunked" } },
      Body.from(source),
    );
  });
  const client = rawClient(served);
  client.send(client.headers(1));
  assert.equal(await client.reset(1), 2, "INTERNAL_ERROR");
  assert.equal(done?.message, "upstream cut");
});

for (const length of [2, 6]) {
  test(`an answer of 4 bytes that announced ${length} is reset`, async (t) => {
    const served = await serve(t, (incoming) =>
      incoming.respond(
        { status: 200, reason: "", headers: new Headers(), framing: { kind: "length", length } },
        Body.of(Buffer.from("four")),
      ),
    );
    const client = rawClient(served);
    client.send(client.headers(1));
    assert.equal(await client.reset(1), 2);
  });
}

test("RFC 8441: an extended CONNECT becomes a channel, with half-closes of its own", async (t) => {
  const sink = new Collector();
  const served = await serve(t, (incoming) => {
    const channel = incoming.accept(Headers.of([["Sec-WebSocket-Protocol", "chat"]]));
    channel.source.start(sink);
    channel.sink.write(Buffer.from("hello"));
    channel.sink.end(undefined);
  });
  const client = nodeClient(t, served);
  await once(client, "remoteSettings");
  assert.equal(client.remoteSettings.enableConnectProtocol, true);
  const stream = client.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/chat",
    ":scheme": "https",
  });
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  assert.deepEqual([headers[":status"], headers["sec-websocket-protocol"]], [200, "chat"]);
  stream.write("from the client");
  assert.equal((await stream.setEncoding("utf8").toArray()).join(""), "hello");
  await eventually("bytes arrive", () => sink.text === "from the client");
  stream.end();
  await eventually("the client's half ends", () => sink.ended);
});

test("a drain takes what is on its way, then nothing more, and closes when all is answered", async (t) => {
  const served = await serve(t, () => {});
  const client = rawClient(served);
  client.send(client.headers(1));
  await eventually("it arrives", () => served.requests.length === 1);
  served.connection.drain();
  assert.deepEqual(await client.goaway(), { last: 0x7fffffff, code: 0 });
  client.send(client.headers(3));
  await eventually("a stream on its way is taken", () => served.requests.length === 2);
  const ping = await client.next(6);
  client.send(frame(6, 1, 0, ping.payload));
  assert.deepEqual(await client.goaway(), { last: 3, code: 0 });
  client.send(client.headers(5));
  for (const incoming of served.requests) answerText(incoming, "ok");
  await client.closed();
  assert.equal(served.requests.length, 2);
});

test("a drain without streams closes after the client's answer to PING, or without it", async (t) => {
  const served = await serve(t, () => {});
  const client = rawClient(served);
  await client.next(4);
  served.connection.drain();
  const ping = await client.next(6);
  client.send(frame(6, 1, 0, ping.payload));
  await client.closed();
});

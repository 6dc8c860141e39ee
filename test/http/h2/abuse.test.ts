// What a client that breaks the rules, floods or dawdles gets, each time with its record.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Body } from "../../../src/http/body.ts";
import { clientPreface, settingsFrame } from "../../../src/http/h2/frames.ts";
import { defaultH2Limits, maxControlFrames } from "../../../src/http/h2/limits.ts";
import { Headers } from "../../../src/http/headers.ts";
import type { Incoming } from "../../../src/http/incoming.ts";
import {
  answerText,
  Collector,
  Endless,
  eventually,
  frame,
  RawClient,
  rawClient,
  serve,
  uint32,
} from "./kit.ts";

const protocolError = 1;
const flowControlError = 3;
const streamClosed = 5;
const frameSizeError = 6;
const refusedStream = 7;
const compressionError = 9;
const enhanceYourCalm = 11;

type Make = (client: RawClient) => Uint8Array[];

const connectionErrors: readonly (readonly [what: string, code: number, make: Make])[] = [
  ["DATA without a stream", protocolError, () => [frame(0, 0, 0, Buffer.from("x"))]],
  ["HEADERS without a stream", protocolError, (c) => [frame(1, 5, 0, c.block([[":method", "GET"]]))]],
  ["an even stream", protocolError, (c) => [c.headers(2)]],
  ["DATA on a stream that was never opened", protocolError, () => [frame(0, 1, 9, Buffer.from("x"))]],
  ["RST_STREAM on a stream that was never opened", protocolError, () => [frame(3, 0, 9, uint32(8))]],
  ["WINDOW_UPDATE on a stream that was never opened", protocolError, () => [frame(8, 0, 9, uint32(8))]],
  ["a lower stream than the last", protocolError, (c) => [c.headers(5), c.headers(3)]],
  ["PUSH_PROMISE", protocolError, (c) => [c.headers(1), frame(5, 4, 1, uint32(2))]],
  [
    "a frame inside a header block",
    protocolError,
    (c) => [frame(1, 0, 1, c.block([])), frame(6, 0, 0, Buffer.alloc(8))],
  ],
  ["CONTINUATION of another stream", protocolError, () => [frame(1, 0, 1), frame(9, 4, 3)]],
  ["CONTINUATION after nothing", protocolError, () => [frame(9, 4, 1)]],
  ["SETTINGS on a stream", protocolError, () => [frame(4, 0, 1)]],
  ["ENABLE_PUSH of 2", protocolError, () => [settingsFrame([[2, 2]])]],
  ["MAX_FRAME_SIZE below the least", protocolError, () => [settingsFrame([[5, 100]])]],
  ["an initial window that is too large", flowControlError, () => [settingsFrame([[4, 0x80000000]])]],
  ["a window opened by nothing", protocolError, () => [frame(8, 0, 0, uint32(0))]],
  ["a window opened too far", flowControlError, () => [frame(8, 0, 0, uint32(0x7fffffff))]],
  ["PING of 7 bytes", frameSizeError, () => [frame(6, 0, 0, Buffer.alloc(7))]],
  ["SETTINGS of 5 bytes", frameSizeError, () => [frame(4, 0, 0, Buffer.alloc(5))]],
  ["an acknowledgement with a payload", frameSizeError, () => [frame(4, 1, 0, Buffer.alloc(6))]],
  ["RST_STREAM of 3 bytes", frameSizeError, (c) => [c.headers(1), frame(3, 0, 1, Buffer.alloc(3))]],
  ["GOAWAY of 4 bytes", frameSizeError, () => [frame(7, 0, 0, Buffer.alloc(4))]],
  [
    "a frame of 16385 bytes",
    frameSizeError,
    (c) => [c.headers(1, { end: false }), frame(0, 0, 1, Buffer.alloc(16_385))],
  ],
  [
    "padding longer than its frame",
    protocolError,
    (c) => [c.headers(1, { end: false }), frame(0, 8, 1, Buffer.from([9]))],
  ],
  [
    "a header block that cannot be decoded",
    compressionError,
    () => [frame(1, 5, 1, Buffer.from([0xff, 0xff, 0xff]))],
  ],
  [
    "a stream that depends on itself",
    protocolError,
    () => [frame(2, 0, 1, Buffer.concat([uint32(1), Buffer.alloc(1)]))],
  ],
  [
    "more data than the connection's window",
    flowControlError,
    (c) =>
      [1, 3, 5, 7, 9].flatMap((id) => [c.headers(id, { end: false, method: "POST" }), ...data(id, 250_000)]),
  ],
];

function data(stream: number, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(size / 16_384) }, (_, index) =>
    frame(0, 0, stream, Buffer.alloc(Math.min(16_384, size - index * 16_384))),
  );
}

for (const [what, code, make] of connectionErrors) {
  test(`${what} ends the connection with code ${code} and one record`, async (t) => {
    const served = await serve(t, () => {});
    const client = rawClient(served);
    client.send(...make(client));
    assert.equal((await client.goaway()).code, code);
    await client.closed();
    await eventually("it is recorded", () => served.bad.length > 0);
    assert.deepEqual(
      served.bad.filter(({ reason }) => reason === "malformed_request").map(({ status }) => status),
      [0],
    );
  });
}

test("a connection that does not begin with the preface is closed", async (t) => {
  const served = await serve(t, () => {});
  const client = new RawClient(served.client);
  client.send(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  assert.equal((await client.goaway()).code, protocolError);
  assert.equal(served.bad.length, 1);
});

test("a first frame that is not SETTINGS ends the connection", async (t) => {
  const served = await serve(t, () => {});
  const client = new RawClient(served.client);
  client.send(clientPreface, frame(6, 0, 0, Buffer.alloc(8)));
  assert.equal((await client.goaway()).code, protocolError);
});

// Both are counted by the second: more than twice what one allows, for a second may end in the middle of it.
const flood = 2 * maxControlFrames + 100;
const resets = 2 * defaultH2Limits.maxResets + 10;

const floods: readonly (readonly [cve: string, what: string, make: Make])[] = [
  ["CVE-2019-9512", "PING", () => Array.from({ length: flood }, () => frame(6, 0, 0, Buffer.alloc(8)))],
  ["CVE-2019-9515", "SETTINGS", () => Array.from({ length: flood }, () => frame(4, 0, 0))],
  ["CVE-2019-9513", "PRIORITY", () => Array.from({ length: flood }, () => frame(2, 0, 1, Buffer.alloc(5)))],
  [
    "CVE-2019-9518",
    "empty DATA",
    (c) => [c.headers(1, { end: false }), ...Array.from({ length: flood }, () => frame(0, 0, 1))],
  ],
  ["CVE-2019-9511", "WINDOW_UPDATE", () => Array.from({ length: flood }, () => frame(8, 0, 0, uint32(1)))],
  ["RFC 9113 section 10.5", "unknown frames", () => Array.from({ length: flood }, () => frame(0x42, 0, 0))],
  [
    "CVE-2023-44487",
    "rapid reset",
    (c) =>
      Array.from({ length: resets }, (_, n) => [
        c.headers(n * 2 + 1),
        frame(3, 0, n * 2 + 1, uint32(8)),
      ]).flat(),
  ],
  [
    "CVE-2025-8671",
    "streams that we are made to reset",
    (c) =>
      Array.from({ length: resets }, (_, n) => [
        c.headers(n * 2 + 1),
        frame(8, 0, n * 2 + 1, uint32(0)),
      ]).flat(),
  ],
  [
    "CVE-2024-27316",
    "CONTINUATION without end",
    (c) => [
      frame(1, 0, 1, c.block([])),
      ...Array.from({ length: 70 }, () => frame(9, 0, 1, Buffer.from([0x82]))),
    ],
  ],
  [
    "CVE-2019-9516",
    "a header block without bounds",
    (c) => [
      frame(1, 0, 1, c.block([])),
      ...Array.from({ length: 8 }, () => frame(9, 0, 1, Buffer.alloc(16_384, 0x82))),
    ],
  ],
];

for (const [cve, what, make] of floods) {
  test(`I12 ${cve}: a flood of ${what} ends the connection`, async (t) => {
    const served = await serve(t, () => {});
    const client = rawClient(served);
    client.send(...make(client));
    assert.equal((await client.goaway()).code, enhanceYourCalm);
    await client.closed();
    await eventually("it is recorded", () => served.bad.some(({ reason }) => reason === "malformed_request"));
  });
}

test("I13: every stream of a rapid reset has its record, and one more says why it ended", async (t) => {
  const served = await serve(t, () => {});
  const client = rawClient(served);
  for (let n = 0; n < resets; n++) client.send(client.headers(n * 2 + 1), frame(3, 0, n * 2 + 1, uint32(8)));
  const streams = ((await client.goaway()).last + 1) / 2;
  await eventually(
    `${streams} streams are recorded`,
    () => served.bad.length + served.requests.length === streams + 1,
  );
});

test("many WINDOW_UPDATEs for many bytes are no flood", async (t) => {
  const served = await serve(t, (incoming) =>
    incoming.respond(
      { status: 200, reason: "", headers: new Headers(), framing: { kind: "chunked" } },
      Body.from(new Endless(4_000_000)),
    ),
  );
  const client = rawClient(served, [[4, 0x7fffffff]]);
  client.send(client.headers(1));
  for (let n = 0; n < 1200; n++) {
    client.send(frame(8, 0, 0, uint32(4000)));
    if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually("all of it arrives", () =>
    client.frames.some(({ type, flags }) => type === 0 && flags === 1),
  );
});

const streamErrors: readonly (readonly [what: string, code: number, make: Make])[] = [
  ["a malformed head", protocolError, (c) => [c.headers(1, { fields: [["X-Upper", "1"]] })]],
  ["a window opened by nothing", protocolError, (c) => [c.headers(1), frame(8, 0, 1, uint32(0))]],
  ["a window opened too far", flowControlError, (c) => [c.headers(1), frame(8, 0, 1, uint32(0x7fffffff))]],
  ["DATA behind its end", streamClosed, (c) => [c.headers(1), frame(0, 0, 1, Buffer.from("x"))]],
  ["HEADERS behind its end", streamClosed, (c) => [c.headers(1), c.headers(1)]],
  [
    "trailers that do not end it",
    protocolError,
    (c) => [c.headers(1, { end: false, method: "POST" }), frame(1, 4, 1, c.block([["x-t", "1"]]))],
  ],
  [
    "trailers that frame the message",
    protocolError,
    (c) => [c.headers(1, { end: false, method: "POST" }), frame(1, 5, 1, c.block([["content-length", "1"]]))],
  ],
  [
    "more data than its window",
    flowControlError,
    (c) => [c.headers(1, { end: false, method: "POST" }), ...data(1, 280_000)],
  ],
];

for (const [what, code, make] of streamErrors) {
  test(`${what} ends the stream with code ${code}, and the connection goes on`, async (t) => {
    let abandoned = 0;
    const served = await serve(t, (incoming) => {
      incoming.onAbandoned = () => abandoned++;
      if (incoming.head.target === "/next") answerText(incoming, "ok");
    });
    const client = rawClient(served);
    client.send(...make(client));
    assert.equal(await client.reset(1), code);
    client.send(client.headers(3, { path: "/next" }));
    await client.next(1, 3);
    assert.equal(served.bad.length + abandoned, 1, "one record for the stream");
  });
}

for (const [what, size, end] of [
  ["longer", 6, false],
  ["shorter", 2, true],
] as const) {
  test(`I9: a body that is ${what} than content-length says fails its reader and resets the stream`, async (t) => {
    const sink = new Collector();
    const served = await serve(t, (incoming) => {
      incoming.body.pipe({
        write: (bytes) => sink.write(bytes),
        end: (trailers) => sink.end(trailers),
        abort(error) {
          sink.abort(error);
          answerText(incoming, "bad", 400);
        },
      });
    });
    const client = rawClient(served);
    const fields = [["content-length", "4"]] as const;
    client.send(client.headers(1, { end: false, method: "POST", fields }));
    await eventually("it arrives", () => served.requests.length === 1);
    client.send(frame(0, end ? 1 : 0, 1, Buffer.alloc(size)));
    assert.equal((await client.fields(1))[":status"], "400");
    assert.equal(await client.reset(1), protocolError);
    assert.equal(served.requests[0]?.requestError?.reason, "malformed_request");
    assert.equal(sink.ended, false);
  });
}

test("I12: one stream too many is refused, recorded, and may be sent again", async (t) => {
  const served = await serve(t, () => {}, { limits: { maxStreams: 2 } });
  const client = rawClient(served);
  client.send(client.headers(1), client.headers(3), client.headers(5));
  assert.equal(await client.reset(5), refusedStream);
  assert.deepEqual(
    served.bad.map(({ reason, status }) => [reason, status]),
    [["overloaded", 0]],
  );
  answerText(served.requests[0] as never, "ok");
  await client.next(1, 1);
  client.send(client.headers(7));
  await eventually("there is room again", () => served.requests.length === 3);
});

for (const [what, status, parts] of [
  ["129 fields", 431, { fields: Array.from({ length: 130 }, (_, n) => [`x-${n}`, "1"] as const) }],
  ["a field of 70 kB", 431, { fields: [["x", "y".repeat(70_000)]] as const }],
  ["a field of 90 kB", 431, { fields: [["x", "y".repeat(90_000)]] as const }],
  ["a path of 17 kB", 414, { path: `/${"a".repeat(17_000)}` }],
] as const) {
  test(`I12: a request with ${what} is answered with ${status}, and the connection goes on`, async (t) => {
    const served = await serve(t, (incoming) => answerText(incoming, "ok"));
    const client = rawClient(served);
    const whole = client.headers(1, parts).subarray(9);
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole.length; at += 16_384) {
      const last = at + 16_384 >= whole.length ? 4 : 0;
      pieces.push(frame(at === 0 ? 1 : 9, last | (at === 0 ? 1 : 0), 1, whole.subarray(at, at + 16_384)));
    }
    client.send(...pieces);
    if (what === "a field of 90 kB") {
      assert.equal((await client.goaway()).code, enhanceYourCalm, "more than anyone would have to decode");
      return;
    }
    assert.equal((await client.fields(1))[":status"], String(status));
    assert.equal(served.bad[0]?.status, status);
    client.send(client.headers(3));
    assert.equal((await client.fields(3))[":status"], "200");
  });
}

test("a connection that says nothing is closed without a record", async (t) => {
  const served = await serve(t, () => {}, { headerMs: 50 });
  const client = new RawClient(served.client);
  await client.closed();
  assert.equal(served.bad.length, 0);
});

test("a head that trickles in is given up after the time for heads, and recorded", async (t) => {
  const served = await serve(t, () => {}, { headerMs: 300 });
  const client = rawClient(served);
  await client.next(4);
  client.send(frame(1, 0, 1, client.block([[":method", "GET"]])));
  assert.equal((await client.goaway()).code, 0);
  await client.closed();
  assert.deepEqual(
    served.bad.map(({ reason }) => reason),
    ["request_timeout"],
  );
});

test("an unused connection is told so and closed", async (t) => {
  const served = await serve(t, (incoming) => answerText(incoming, "ok"), { idleMs: 100 });
  const client = rawClient(served);
  client.send(client.headers(1));
  assert.deepEqual(await client.goaway(), { last: 1, code: 0 });
  await client.closed();
  assert.equal(served.bad.length, 0);
});

test("a body that stops arriving fails its reader with 408", async (t) => {
  const served = await serve(
    t,
    (incoming) => {
      incoming.body.pipe({ write: () => true, end() {}, abort: () => answerText(incoming, "late", 408) });
    },
    { bodyMs: 100 },
  );
  const client = rawClient(served);
  client.send(client.headers(1, { end: false, method: "POST" }), frame(0, 0, 1, Buffer.from("some")));
  assert.equal((await client.fields(1))[":status"], "408");
  assert.equal(served.requests[0]?.requestError?.reason, "request_timeout");
});

/** Answers with a source of `length` bytes; a body may stand still for `bodyMs`. */
async function serveEndless(t: TestContext, length: number, bodyMs: number) {
  const source = new Endless(length);
  let abandoned = 0;
  const answer = (incoming: Incoming): void => {
    incoming.onAbandoned = () => abandoned++;
    const framing = { kind: "chunked" } as const;
    incoming.respond({ status: 200, reason: "", headers: new Headers(), framing }, Body.from(source));
  };
  const served = await serve(t, answer, { bodyMs });
  return { served, source, abandoned: () => abandoned };
}

test("a client that does not read its answer is reset, and the source let go", async (t) => {
  const { served, source, abandoned } = await serveEndless(t, 1_000_000, 100);
  const client = rawClient(served);
  client.send(client.headers(1));
  assert.equal(await client.reset(1), 8, "CANCEL");
  assert.deepEqual([abandoned(), source.cancelled], [1, true]);
});

test("a client that does not read its socket is cut off too, however wide its windows are", async (t) => {
  const { served, source, abandoned } = await serveEndless(t, 100_000_000, 300);
  const client = rawClient(served, [[4, 0x7fffffff]]);
  client.send(frame(8, 0, 0, uint32(0x7fffffff - 65_535)), client.headers(1));
  client.socket.pause();
  await eventually("it is abandoned", () => abandoned() === 1);
  assert.equal(source.cancelled, true);
  assert.ok(source.sent < 50_000_000, `${source.sent} bytes were taken`);
});

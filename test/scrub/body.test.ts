import assert from "node:assert/strict";
import { test } from "node:test";
import type { BodySink } from "../../src/http/body.ts";
import { hasEnvelopes } from "../../src/http/envelopes.ts";
import { Headers } from "../../src/http/headers.ts";
import { Automaton } from "../../src/scrub/automaton.ts";
import { ScrubbedBody } from "../../src/scrub/body.ts";
import { keepsLength } from "../../src/scrub/media.ts";
import { exposed } from "./support.ts";

const value = "secret-value-of-30-characters!";
const automaton = new Automaton([exposed(value)]);

function message(text: string | Buffer, flags = 0): Buffer {
  const payload = Buffer.from(text);
  const prefix = Buffer.from([flags, 0, 0, 0, 0]);
  prefix.writeUInt32BE(payload.length, 1);
  return Buffer.concat([prefix, payload]);
}

/** A body of messages, and what has come out of it so far. */
function open() {
  const pieces: Buffer[] = [];
  const seen = {
    ended: false,
    error: "",
    cancelled: false,
    get out(): Buffer {
      return Buffer.concat(pieces);
    },
  };
  const sink: BodySink = {
    write(bytes) {
      pieces.push(Buffer.from(bytes));
      return true;
    },
    end: () => void (seen.ended = true),
    abort: (error) => void (seen.error = error.message),
  };
  const source = { length: undefined, start() {}, resume() {}, cancel: () => void (seen.cancelled = true) };
  const body = new ScrubbedBody(source, {
    automaton: () => automaton,
    found() {},
    trailers() {},
    keepLength: true,
    envelopes: true,
  });
  body.start(sink);
  return { body, seen };
}

test("messages with their length before them are scrubbed and keep it, wherever the body is cut", () => {
  const stars = "*".repeat(value.length - "PLACEHOLDER".length);
  const long = "x".repeat(70_000);
  const sent = Buffer.concat([
    message(`you sent ${value}.`),
    message(""),
    message(`${long}${value}`),
    message(value, 0x80),
  ]);
  const expected = Buffer.concat([
    message(`you sent PLACEHOLDER${stars}.`),
    message(""),
    message(`${long}PLACEHOLDER${stars}`),
    message(`PLACEHOLDER${stars}`, 0x80),
  ]);
  for (const size of [1, 2, 3, 7, 64, 16_384, sent.length]) {
    const { body, seen } = open();
    for (let at = 0; at < sent.length; at += size) body.write(sent.subarray(at, at + size));
    assert.deepEqual(seen.out, expected, `in pieces of ${size}`);
    body.end(undefined);
    assert.equal(seen.ended, true);
  }
});

test("a message that is complete is out, though it ends with what may begin a form", () => {
  const { body, seen } = open();
  for (const text of [
    `ends with ${value.slice(0, 10)}`,
    value.slice(0, 3),
    Buffer.from(value).toString("hex").slice(0, 12),
  ]) {
    const sent = message(text);
    const before = seen.out.length;
    body.write(sent);
    assert.deepEqual(seen.out.subarray(before), sent);
  }
});

test("the length before a message is not taken for a part of it", () => {
  // 48 bytes of base64 behind a length whose last byte is a letter of base64 too.
  const text = Buffer.from(`${value}${"-".repeat(18)}`).toString("base64");
  const { body, seen } = open();
  const sent = message(`${text}A`);
  body.write(sent);
  assert.deepEqual(seen.out.subarray(0, 5), sent.subarray(0, 5));
  assert.equal(seen.out.length, sent.length);
  assert.ok(!Buffer.from(seen.out.subarray(5).toString(), "base64").toString().includes(value));
});

test("a compressed message on a scrubbed body cuts it: it cannot be searched", () => {
  const { body, seen } = open();
  body.write(Buffer.concat([message("fine"), message("????", 1), message("late")]));
  assert.deepEqual([seen.error, seen.cancelled, seen.ended], ["a message is compressed", true, false]);
  assert.ok(!seen.out.includes("late"));
});

test("a body that ends inside a length goes out as it is", () => {
  const { body, seen } = open();
  body.write(Buffer.from([0, 0, 0]));
  body.end(undefined);
  assert.deepEqual(seen.out, Buffer.from([0, 0, 0]));
});

for (const [type, keeps, envelopes] of [
  ["application/grpc", true, true],
  ["application/grpc+proto", true, true],
  ["application/grpc+json", true, true],
  ["Application/gRPC-Web+json; charset=utf-8", true, true],
  ["application/grpc-web-text", true, false],
  ["application/grpc-web-text+proto", true, false],
  ["application/connect+json", true, true],
  ["application/connect+proto", true, true],
  ["application/proto", true, false],
  ["application/json", false, false],
  ["text/event-stream", false, false],
] as const) {
  test(`${type} ${keeps ? "keeps its length" : "may change its length"}, ${envelopes ? "message by message" : "as a whole"}`, () => {
    const headers = Headers.of([["Content-Type", type]]);
    assert.equal(keepsLength(headers), keeps);
    assert.equal(hasEnvelopes(headers), envelopes);
  });
}

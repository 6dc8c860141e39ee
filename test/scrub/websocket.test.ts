import assert from "node:assert/strict";
import { test } from "node:test";
import type { BodySink } from "../../src/http/body.ts";
import { Automaton } from "../../src/scrub/automaton.ts";
import { scrubbedChannel } from "../../src/scrub/websocket.ts";
import { exposed } from "./support.ts";

const value = "secret-value-0123456789";
const automaton = new Automaton([exposed(value, "PLACEHOLDER")]);

interface Frame {
  readonly opcode: number;
  readonly last: boolean;
  readonly payload: string;
}

function frame(opcode: number, payload: string, last = true): Buffer {
  const bytes = Buffer.from(payload);
  const head = [(last ? 0x80 : 0) | opcode];
  if (bytes.length < 126) head.push(bytes.length);
  else if (bytes.length < 0x10000) head.push(126, bytes.length >> 8, bytes.length & 255);
  else head.push(127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (bytes.length >> shift) & 255));
  return Buffer.concat([Buffer.from(head), bytes]);
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [first = 0, short = 0] = [bytes[at], bytes[at + 1]];
    const width = short === 127 ? 10 : short === 126 ? 4 : 2;
    const length =
      short === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : short;
    const payload = bytes.toString("utf8", at + width, at + width + length);
    frames.push({ opcode: first & 15, last: first > 127, payload });
    at += width + length;
  }
  return frames;
}

/** What a client gets of the pieces that an upstream sends. */
function relay(pieces: readonly Uint8Array[]): {
  frames: Frame[];
  problem: string | undefined;
  found: number;
} {
  const out: Buffer[] = [];
  let problem: string | undefined;
  let found = 0;
  let upstream: BodySink | undefined;
  const nothing: BodySink = { write: () => true, end() {}, abort() {} };
  const source = {
    length: undefined,
    start: (sink: BodySink) => void (upstream = sink),
    resume() {},
    cancel() {},
  };
  const channel = scrubbedChannel(
    { source, sink: nothing, onDrain: undefined },
    { automaton: () => automaton, found: () => void found++ },
  );
  channel.source.start({
    write: (bytes) => out.push(Buffer.from(bytes)) > 0,
    end() {},
    abort: (error) => void (problem = error.message),
  });
  for (const piece of pieces) upstream?.write(piece);
  upstream?.end(undefined);
  return { frames: framesOf(Buffer.concat(out)), problem, found };
}

const bytesOf = (bytes: Buffer): Uint8Array[] => Array.from(bytes, (byte) => Uint8Array.of(byte));

test("a text message is scrubbed and stays one frame, however it is cut", () => {
  const bytes = Buffer.concat([frame(1, `{"key":"${value}"}`), frame(1, ""), frame(1, "clean")]);
  for (const pieces of [[bytes], bytesOf(bytes)]) {
    const { frames, found } = relay(pieces);
    assert.deepEqual(frames, [
      { opcode: 1, last: true, payload: '{"key":"PLACEHOLDER"}' },
      { opcode: 1, last: true, payload: "" },
      { opcode: 1, last: true, payload: "clean" },
    ]);
    assert.equal(found, 1);
  }
});

test("a value cut over the frames of a message is found, with a ping between them", () => {
  const bytes = Buffer.concat([
    frame(1, `a ${value.slice(0, 9)}`, false),
    frame(9, "ping"),
    frame(0, `${value.slice(9)} z`),
  ]);
  for (const pieces of [[bytes], bytesOf(bytes)]) {
    const { frames } = relay(pieces);
    const message = frames.filter(({ opcode }) => opcode < 8);
    assert.equal(message.map(({ payload }) => payload).join(""), "a PLACEHOLDER z");
    assert.deepEqual([message[0]?.opcode, message.at(-1)?.last], [1, true]);
    assert.ok(frames.some(({ opcode, payload }) => opcode === 9 && payload === "ping"));
  }
});

test("a message that ends inside a value goes out at its end", () => {
  assert.deepEqual(
    relay([frame(1, `x ${value.slice(0, 5)}`)]).frames.map(({ payload }) => payload),
    [`x ${value.slice(0, 5)}`],
  );
});

test("binary messages and control frames keep their lengths", () => {
  const { frames } = relay([frame(2, `\0${value}\0`), frame(8, `\u0003\u0000${value}`)]);
  assert.deepEqual(
    frames.map(({ payload }) => payload.length),
    [value.length + 2, value.length + 2],
  );
  assert.ok(frames.every(({ payload }) => payload.includes("PLACEHOLDER") && !payload.includes(value)));
});

test("long messages, in every form of length", () => {
  for (const length of [126, 65_535, 65_536, 300_000]) {
    const { frames } = relay([frame(1, "x".repeat(length) + value)]);
    assert.equal(frames.map(({ payload }) => payload).join(""), `${"x".repeat(length)}PLACEHOLDER`);
    assert.deepEqual(
      frames.map(({ last }) => last),
      frames.map((_, index) => index === frames.length - 1),
    );
  }
});

for (const [what, bytes, problem] of [
  ["an extension", Buffer.from([0xc1, 0]), /extension/],
  ["a mask", Buffer.from([0x81, 0x80, 1, 2, 3, 4]), /masked/],
  ["a continuation of nothing", frame(0, "x"), /order/],
  ["a message inside a message", Buffer.concat([frame(1, "x", false), frame(1, "y")]), /order/],
  ["an unknown kind", frame(5, "x"), /unknown/],
  ["a control frame that is too long", frame(9, "x".repeat(126)), /too long/],
  [
    "a length beyond all numbers",
    Buffer.from([0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
    /too long/,
  ],
] as const) {
  test(`attack 31: ${what} cuts the channel: it cannot be searched`, () => {
    assert.match(relay([bytes]).problem ?? "", problem);
  });
}

import assert from "node:assert/strict";
import { test } from "node:test";
import type { BodySink } from "../../src/http/body.ts";
import { watchedChannel } from "../../src/findings/watched-frames.ts";
import { Automaton } from "../../src/scrub/automaton.ts";

const value = "secret-value-0123456789";
const later = "another-value-9876543210";
const automatonOf = (...values: string[]) =>
  new Automaton(values.map((one) => ({ value: one, name: "KEY", replacement: "" })));

interface FrameOptions {
  readonly opcode?: number;
  readonly last?: boolean;
  readonly mask?: readonly number[] | undefined;
  readonly extension?: boolean;
}

function frame(
  text: string,
  { opcode = 1, last = true, mask = [1, 2, 3, 250], extension = false }: FrameOptions = {},
): Buffer {
  const payload = Buffer.from(text);
  const masked =
    mask === undefined || mask.length === 0
      ? payload
      : payload.map((byte, at) => byte ^ (mask[at % 4] as number));
  const bit = mask === undefined || mask.length === 0 ? 0 : 0x80;
  const first = opcode | (last ? 0x80 : 0) | (extension ? 0x40 : 0);
  let head = Buffer.from([first, bit | payload.length]);
  if (payload.length > 125) {
    const long = payload.length > 0xffff;
    head = Buffer.alloc(long ? 10 : 4);
    head[0] = first;
    head[1] = bit | (long ? 127 : 126);
    if (long) head.writeBigUInt64BE(BigInt(payload.length), 2);
    else head.writeUInt16BE(payload.length, 2);
  }
  return Buffer.concat([head, Buffer.from(bit === 0 ? [] : (mask ?? [])), masked]);
}

/** A client that says what it is given, and what of it comes through. */
function open(block = true) {
  const pieces: Buffer[] = [];
  const seen = {
    found: [] as string[],
    error: "",
    cancelled: false,
    get out(): Buffer {
      return Buffer.concat(pieces);
    },
  };
  let known = automatonOf(value);
  const sink: BodySink = {
    write(bytes) {
      pieces.push(Buffer.from(bytes));
      return true;
    },
    end() {},
    abort: (error) => void (seen.error = error.message),
  };
  const source = { length: undefined, start() {}, resume() {}, cancel: () => void (seen.cancelled = true) };
  const finder = {
    found(_exposed: unknown, where: string) {
      seen.found.push(where);
      return block;
    },
    report() {},
  };
  const channel = watchedChannel({ source, sink, onDrain: undefined }, finder, () => known);
  channel.source.start(sink);
  const client = channel.source as unknown as BodySink;
  return {
    seen,
    learn: () => void (known = automatonOf(value, later)),
    say: (bytes: Buffer, size: number) => {
      for (let at = 0; at < bytes.length; at += size) client.write(bytes.subarray(at, at + size));
    },
  };
}

const long = "x".repeat(70_000);

for (const [what, frames, found] of [
  ["a message", [frame(`my key is ${value}`)], 1],
  ["a binary message in Base64", [frame(Buffer.from(`key ${value}`).toString("base64"), { opcode: 2 })], 1],
  ["a long message", [frame(`${long}${value}${long}`)], 1],
  ["a message of medium length", [frame(`${"x".repeat(300)}${value}`)], 1],
  ["a message without a mask", [frame(value, { mask: [] })], 1],
  [
    "a message in fragments, with a ping between them",
    [
      frame(value.slice(0, 9), { last: false }),
      frame("ping", { opcode: 9 }),
      frame(value.slice(9), { opcode: 0, mask: [9, 8, 7, 6] }),
    ],
    1,
  ],
  ["a ping", [frame(value, { opcode: 9 })], 1],
  ["two messages that are no value", [frame(value.slice(0, 9)), frame(value.slice(9))], 0],
  ["a message of an extension", [frame(value, { extension: true })], 0],
  ["empty messages", [frame(""), frame("", { opcode: 10 }), frame("hello")], 0],
] as const) {
  test(`what a client says on a WebSocket: ${what}`, () => {
    const sent = Buffer.concat(frames);
    for (const size of [1, 3, 64, sent.length]) {
      const stopped = open();
      stopped.say(sent, size);
      assert.deepEqual(stopped.seen.found, found === 1 ? ["frame"] : []);
      if (found === 1) {
        assert.ok(stopped.seen.out.length < sent.length);
        assert.deepEqual(
          [stopped.seen.error, stopped.seen.cancelled],
          ["a message holds a credential", true],
        );
      } else assert.deepEqual(stopped.seen.out, sent);
      const told = open(false);
      told.say(sent, size);
      assert.deepEqual(told.seen.out, sent);
      assert.equal(told.seen.found.length, found);
    }
  });
}

test("a value that comes to be known while the WebSocket is open is looked for from the next message on", () => {
  const { seen, say, learn } = open();
  say(frame(later), 1000);
  learn();
  assert.deepEqual(seen.found, []);
  say(frame(later), 1000);
  assert.deepEqual(seen.found, ["frame"]);
});

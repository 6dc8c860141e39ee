import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import * as zlib from "node:zlib";
import type { BodySink, BodySource } from "../../src/http/body.ts";
import { Automaton } from "../../src/scrub/automaton.ts";
import type { Coding } from "../../src/scrub/codings.ts";
import { type Finder, WatchedBody, WatchedCodedBody } from "../../src/findings/watched-body.ts";

const value = "secret-value-0123456789";
const automaton = new Automaton([{ value, name: "KEY", replacement: "" }]);
const encoders: Readonly<Record<Coding, (bytes: Buffer) => Buffer>> = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  br: zlib.brotliCompressSync,
  zstd: zlib.zstdCompressSync,
};

interface Run {
  readonly out: Buffer;
  readonly found: number;
  readonly ended: boolean;
  readonly error: string;
  /** How often the source was asked for more. */
  readonly asked: number;
}

/** Sends a body through a watch piece by piece, each once the source is asked for it. */
async function run(
  open: (source: BodySource, finder: Finder) => WatchedBody,
  sent: Buffer,
  { size = sent.length, hasRoom = (): boolean => true, block = true } = {},
): Promise<Run> {
  const out: Buffer[] = [];
  const seen = { found: 0, ended: false, error: "", asked: 0 };
  const flow = { room: true, over: false };
  let at = 0;
  const source: BodySource = {
    length: sent.length,
    start() {},
    resume() {
      seen.asked++;
      flow.room = true;
    },
    cancel: () => void (flow.over = true),
  };
  const body = open(source, {
    found() {
      seen.found++;
      return block;
    },
    report() {},
  });
  const sink: BodySink = {
    write(bytes) {
      out.push(Buffer.from(bytes));
      const ready = hasRoom();
      if (!ready) setTimeout(() => body.resume(), 1);
      return ready;
    },
    end: () => void (seen.ended = flow.over = true),
    abort(error) {
      seen.error = error.message;
      flow.over = true;
    },
  };
  body.start(sink);
  while (!flow.over) {
    if (at === sent.length) {
      at++;
      body.end(undefined);
    } else if (flow.room && at < sent.length) {
      const piece = Buffer.from(sent.subarray(at, at + size));
      at += piece.length;
      flow.room = body.write(piece);
      // Whoever reads the connection may use its memory again.
      if (!flow.room) piece.fill(0);
    } else await turn();
  }
  return { ...seen, out: Buffer.concat(out) };
}

const coded = (coding: Coding) => (source: BodySource, finder: Finder) =>
  new WatchedCodedBody(source, finder, automaton, coding);

for (const [coding, encode] of Object.entries(encoders) as [Coding, (bytes: Buffer) => Buffer][]) {
  test(`a body in ${coding}: what completes a credential is not sent, anything else goes on as it came`, async () => {
    const noise = Array.from({ length: 20_000 }, (_, n) => Math.imul(n, 0x9e3779b1).toString(36)).join("");
    const bad = encode(Buffer.from(`${noise}${value}${noise}`));
    const clean = encode(Buffer.from(`${noise}${value.slice(0, -1)}!${noise}`));
    for (const size of [97, 4096, bad.length]) {
      const stopped = await run(coded(coding), bad, { size });
      assert.equal(stopped.found, 1);
      assert.equal(stopped.error, "the request holds a credential");
      assert.ok(!stopped.ended && stopped.out.length < bad.length);
      const passed = await run(coded(coding), clean, { size });
      assert.deepEqual(passed.out, clean);
      assert.deepEqual([passed.ended, passed.found, passed.error], [true, 0, ""]);
      const told = await run(coded(coding), bad, { size, block: false });
      assert.deepEqual([told.out, told.ended, told.found], [bad, true, 1]);
    }
  });
}

test("a coded body is read no faster than its reader takes it", async () => {
  const sent = zlib.gzipSync(Buffer.from("some text ".repeat(1000)));
  let turns = 0;
  const { out, asked } = await run(coded("gzip"), sent, { size: 10, hasRoom: () => ++turns % 3 !== 0 });
  assert.deepEqual(out, sent);
  assert.ok(asked >= Math.floor(sent.length / 10));
});

for (const [what, sent] of [
  ["not in its coding", Buffer.from(`not gzip at all ${value}`)],
  ["cut", zlib.gzipSync(Buffer.from("x".repeat(1000))).subarray(0, 20)],
  ["empty", Buffer.alloc(0)],
  [
    "followed by something else",
    Buffer.concat([zlib.gzipSync(Buffer.from("fine")), Buffer.from(`\0junk ${"-".repeat(50_000)}`)]),
  ],
  ["I12: a bomb", zlib.gzipSync(Buffer.concat([Buffer.alloc(40 << 20), Buffer.from(value)]))],
] as const) {
  test(`a coded body that is ${what} goes on as it came`, async () => {
    const { out, ended, found } = await run(coded("gzip"), sent, { size: 1000 });
    assert.deepEqual(out, sent);
    assert.deepEqual([ended, found], [true, 0]);
  });
}

test("compressed messages of gRPC are searched one by one, beside those that are not compressed", async () => {
  const message = (payload: Buffer, flags: number): Buffer => {
    const prefix = Buffer.from([flags, 0, 0, 0, 0]);
    prefix.writeUInt32BE(payload.length, 1);
    return Buffer.concat([prefix, payload]);
  };
  const open = (source: BodySource, finder: Finder) => new WatchedBody(source, finder, automaton, "gzip");
  const good = message(zlib.gzipSync(Buffer.from("all is well")), 1);
  const bad = Buffer.from(`it is ${value}`);
  for (const [name, sent, found] of [
    ["none", [good, message(Buffer.alloc(0), 1), message(Buffer.from("plain"), 0)], 0],
    ["compressed", [good, message(zlib.gzipSync(bad), 1), good], 1],
    ["plain", [good, message(bad, 0), good], 1],
    ["not what it says", [good, message(bad, 1), good], 0],
    ["larger than is searched", [message(zlib.gzipSync(Buffer.concat([Buffer.alloc(5 << 20), bad])), 1)], 0],
  ] as const) {
    const all = Buffer.concat(sent);
    for (const size of [1, 7, all.length]) {
      const seen = await run(open, all, { size });
      assert.equal(seen.found, found, `${name} in pieces of ${size}`);
      if (found === 0) assert.deepEqual(seen.out, all);
      else assert.ok(seen.error !== "" && seen.out.length < all.length);
    }
  }
});

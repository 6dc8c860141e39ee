import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { SessionError } from "../../../src/http/h2/errors.ts";
import {
  type FrameHandler,
  FrameReader,
  frameHeader,
  goawayFrame,
  pingFrame,
  rstStreamFrame,
  settingsFrame,
  windowUpdateFrame,
} from "../../../src/http/h2/frames.ts";

/** What arrived, with pieces of one DATA frame put together. */
function collector(): { events: string[]; handler: FrameHandler } {
  const events: string[] = [];
  let data = "";
  return {
    events,
    handler: {
      onData(stream, bytes, flow, end, first) {
        data = first ? "" : (events.pop() as string).replace(/ end$/, "");
        const sizes = /^data \d+ (\S*) (\d+)$/.exec(data);
        const text = (sizes?.[1] ?? "") + bytes.toString("hex");
        events.push(`data ${stream} ${text} ${Number(sizes?.[2] ?? 0) + flow}${end ? " end" : ""}`);
      },
      onFrame(type, flags, stream, payload) {
        events.push(`${type} ${flags} ${stream} ${payload.toString("hex")}`);
      },
    },
  };
}

const frame = fc.record({
  type: fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 6, 8, 9, 0x20),
  flags: fc.constantFrom(0, 1, 4, 5),
  stream: fc.nat(0x7fffffff),
  payload: fc.uint8Array({ maxLength: 60 }),
});

test("however the bytes are cut, the frames are the same", () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 30 })),
      (frames, cuts) => {
        const bytes = Buffer.concat(
          frames.flatMap(({ type, flags, stream, payload }) => [
            frameHeader(payload.length, type, flags, stream),
            payload,
          ]),
        );
        const whole = collector();
        new FrameReader(whole.handler).execute(bytes);
        const pieces = collector();
        const reader = new FrameReader(pieces.handler);
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const size = cuts[cut % Math.max(1, cuts.length)] ?? 1;
          reader.execute(bytes.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(pieces.events, whole.events);
        assert.equal(whole.events.length, frames.length);
      },
    ),
  );
});

test("padding counts for flow control and is no data", () => {
  const { events, handler } = collector();
  const padded = Buffer.concat([frameHeader(6, 0, 0x8 | 0x1, 3), Buffer.from([2, 0x61, 0x62, 0x63, 0, 0])]);
  const reader = new FrameReader(handler);
  for (const byte of padded) reader.execute(Buffer.from([byte]));
  assert.deepEqual(events, ["data 3 616263 6 end"]);
});

for (const [what, bytes] of [
  ["a frame of more than 16384 bytes", frameHeader(16_385, 0, 0, 1)],
  ["padding as long as the payload", Buffer.concat([frameHeader(2, 0, 0x8, 1), Buffer.from([2, 0])])],
  ["a padded frame without a payload", frameHeader(0, 0, 0x8, 1)],
] as const) {
  test(`I12: refuses ${what}`, () => {
    assert.throws(() => new FrameReader(collector().handler).execute(bytes), SessionError);
  });
}

test("writes frames as RFC 9113 section 6 draws them", () => {
  assert.equal(settingsFrame([[3, 100]]).toString("hex"), "000006040000000000000300000064");
  assert.equal(windowUpdateFrame(5, 1000).toString("hex"), "000004080000000005000003e8");
  assert.equal(rstStreamFrame(0x01020304, 8).toString("hex"), "00000403000102030400000008");
  assert.equal(goawayFrame(0x7fffffff, 0).toString("hex"), "0000080700000000007fffffff00000000");
  assert.equal(
    pingFrame(Buffer.from("12345678"), true).toString("hex"),
    "0000080601000000003132333435363738",
  );
});

import assert from "node:assert/strict";
import { type FieldList, requestHead } from "../../../src/http/h2/fields.ts";
import { SessionError, StreamError } from "../../../src/http/h2/errors.ts";
import { type FrameHandler, frameHeader, FrameReader } from "../../../src/http/h2/frames.ts";
import { HpackDecoder } from "../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http/h2/hpack/encoder.ts";
import { HpackError } from "../../../src/http/h2/hpack/error.ts";
import { makeEntry } from "../../../src/http/h2/hpack/entry.ts";
import { requestHeadText } from "../../../src/http/h1/write.ts";
import type { Random } from "../random.ts";

export const name = "h2";

/**
 * Three things about HTTP/2. However its bytes are cut, the frames are the same. A damaged header block is decoded or
 * refused with an error of its own, never with another, and what is decoded is encoded and decoded again to the
 * same. And what passes as the head of a request is one request in HTTP/1.1, with the same fields (attack 24).
 */
export function run(random: Random): void {
  frames(random);
  const fields = anyFields(random);
  hpack(random, fields);
  translation(fields);
}

function frames(random: Random): void {
  const parts: Buffer[] = [];
  for (let count = random.between(1, 6); count > 0; count--) {
    const payload = random.bytes(random.pick([0, 1, 4, 8, 30, 300]));
    const type = random.pick([0, 0, 1, 3, 4, 8, 9, 0x21]);
    parts.push(
      frameHeader(payload.length, type, random.pick([0, 1, 4, 5, 8]), random.below(2 ** 31)),
      payload,
    );
  }
  const bytes = random.keep(Buffer.concat(parts));
  if (random.once(3)) bytes[random.below(bytes.length)] = random.below(256);
  const whole = read(bytes, () => bytes.length);
  assert.deepEqual(
    read(bytes, () => random.between(1, 40)),
    whole,
  );
  assert.deepEqual(
    read(bytes, () => 1),
    whole,
  );
}

/** Frames as text; pieces of one DATA frame are put together. */
function read(bytes: Buffer, size: () => number): string[] {
  const events: string[] = [];
  let data: { stream: number; parts: Buffer[]; flow: number } | undefined;
  const handler: FrameHandler = {
    onData(stream, part, flow, end, first) {
      if (first) data = { stream, parts: [], flow: 0 };
      data?.parts.push(part);
      if (data !== undefined) data.flow += flow;
      const last = `data ${stream} ${Buffer.concat(data?.parts ?? []).toString("hex")} ${data?.flow} ${end}`;
      if (first) events.push(last);
      else events[events.length - 1] = last;
    },
    onFrame: (type, flags, stream, payload) => {
      events.push(`${type} ${flags} ${stream} ${payload.toString("hex")}`);
    },
  };
  const reader = new FrameReader(handler);
  try {
    for (let at = 0; at < bytes.length; ) {
      const step = size();
      reader.execute(bytes.subarray(at, at + step));
      at += step;
    }
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    events.push(error.message);
  }
  return events;
}

type Fields = [name: string, value: string][];

function anyFields(random: Random): Fields {
  const fields: Fields = [
    [":method", random.pick(["GET", "POST", "get", "G T", "CONNECT", ""])],
    [":scheme", random.pick(["https", "https", "https", "http"])],
    [":authority", random.pick(["a.example", "a.example:443", "b\r\nx: y", ""])],
    [":path", random.pick(["/", "/a?b", "*", "", "/ HTTP/1.1\r\n\r\nGET /", "/\u00e9"])],
  ];
  for (let count = random.below(6); count > 0; count--) {
    const field = random.pick([
      "x-a",
      "X-A",
      "cookie",
      "te",
      "host",
      "content-length",
      "transfer-encoding",
      "x\r\ny",
      "",
    ]);
    const value = random.pick([
      "",
      "1",
      "0",
      "trailers",
      "a.example",
      "a\r\nb: c",
      "\0",
      " x",
      "caf\u00e9",
      "chunked",
    ]);
    fields.splice(random.once(8) ? random.below(fields.length) : fields.length, 0, [field, value]);
  }
  return fields;
}

function hpack(random: Random, fields: Fields): void {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(4096);
  for (let round = 0; round < 3; round++) {
    if (random.once(3)) encoder.setTableSize(random.pick([0, 50, 200, 4096]));
    assert.deepEqual(decode(decoder, encode(encoder, fields)), fields);
  }
  const block = random.keep(encode(new HpackEncoder(), fields));
  for (let left = random.between(1, 4); left > 0 && block.length > 0; left--) {
    block[random.below(block.length)] = random.below(256);
  }
  const decoded = decode(new HpackDecoder(4096), block);
  if (decoded === undefined) return;
  assert.deepEqual(decode(new HpackDecoder(4096), encode(new HpackEncoder(), decoded)), decoded);
}

function encode(encoder: HpackEncoder, fields: Fields): Buffer {
  encoder.begin(0);
  for (const [field, value] of fields) encoder.field(field, value, false);
  return encoder.end();
}

/** `undefined` for a block that is refused. */
function decode(decoder: HpackDecoder, block: Buffer): Fields | undefined {
  const fields: Fields = [];
  try {
    decoder.decode(block, (entry) => fields.push([entry.name, entry.value]));
  } catch (error) {
    if (error instanceof HpackError) return undefined;
    throw error;
  }
  return fields;
}

function translation(fields: Fields): void {
  const entries = fields.map(([field, value]) => makeEntry(field, value));
  const list: FieldList = { entries, size: 0, tooLarge: false, wireSize: 0 };
  let text: string;
  let count: number;
  try {
    const head = requestHead(list, true, { scheme: "https" });
    text = requestHeadText(head.method, head.target, head.headers, head.framing);
    count = head.headers.size;
  } catch (error) {
    if (error instanceof StreamError) return;
    throw error;
  }
  const lines = text.split("\r\n");
  assert.equal(
    lines.length,
    count + 3,
    "one line for the request, one for each field, and the empty one with its end",
  );
  assert.match(lines[0] as string, /^[!#-'*+\-.0-9A-Z^-z|~]+ [!-~]+ HTTP\/1\.1$/);
  for (const line of lines.slice(1, -2))
    assert.match(line, /^[!#-'*+\-.0-9a-z^_`|~]+: [\t\x20-\x7e\x80-\xff]*$/);
}

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, performServerHandshake } from "node:http2";
import { type Duplex, duplexPair } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { StreamError } from "../../../src/http/h2/errors.ts";
import { type FieldList, requestHead, responseHead } from "../../../src/http/h2/fields.ts";
import { clientPreface, FrameReader, pingFrame, settingsFrame } from "../../../src/http/h2/frames.ts";
import { HpackDecoder } from "../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http/h2/hpack/encoder.ts";
import type { FieldEntry } from "../../../src/http/h2/hpack/entry.ts";
import { HpackError } from "../../../src/http/h2/hpack/error.ts";
import { frame } from "../../http/h2/kit.ts";
import type { Random } from "../random.ts";

export const name = "h2-differential";

/**
 * Node's HTTP/2 (nghttp2) gets the same header blocks: both decode them, or neither does, and the head of a message that
 * is accepted here is accepted there, with the same fields. What is refused here may pass there.
 */
export async function run(random: Random): Promise<void> {
  const isRequest = random.once(2);
  const encoder = new HpackEncoder();
  const blocks = Array.from({ length: isRequest ? 2 : 1 }, () => {
    const block = encode(encoder, isRequest ? requestFields(random) : responseFields(random));
    for (let left = random.once(3) ? random.between(1, 3) : 0; left > 0; left--) {
      block[random.below(block.length)] = random.below(256);
    }
    return block;
  });
  random.keep(Buffer.concat(blocks));
  const here = readHere(blocks, isRequest);
  const there = isRequest ? await askServer(blocks) : await askClient(blocks[0] as Buffer);
  assert.equal(there.undecodable, here.undecodable, "one of the two could not decode a block");
  for (const [index, fields] of here.accepted.entries()) {
    if (fields !== undefined) assert.deepEqual(there.accepted[index], fields);
  }
}

interface Reading {
  readonly undecodable: boolean;
  /** By block: the fields of those that are the head of a message. */
  readonly accepted: readonly (readonly string[] | undefined)[];
}

function readHere(blocks: readonly Buffer[], isRequest: boolean): Reading {
  const decoder = new HpackDecoder(4096);
  const accepted: (string[] | undefined)[] = [];
  try {
    for (const block of blocks) {
      const entries: FieldEntry[] = [];
      decoder.decode(block, (entry) => entries.push(entry));
      const list: FieldList = { entries, size: 0, tooLarge: false, wireSize: 0 };
      const isHead = isRequest ? isRequestHead(list) : isResponseHead(list);
      accepted.push(isHead ? entries.flatMap(({ name: field, value }) => [field, value]) : undefined);
    }
  } catch (error) {
    if (error instanceof HpackError) return { undecodable: true, accepted };
    throw error;
  }
  return { undecodable: false, accepted };
}

/** Whose host is known: a request without any is refused later here, by the name that TLS or the tunnel has. */
function isRequestHead(list: FieldList): boolean {
  const head = unlessMalformed(() => requestHead(list, true, { scheme: "https" }));
  if (head === undefined || !isHostText(head.headers.get("host"))) return false;
  return head.authority === undefined || isHostText(head.authority);
}

/** Hosts are judged behind the codec here, with the other names of the request; nghttp2 looks at their bytes at once. */
function isHostText(host: string | undefined): boolean {
  return /^[a-z0-9.:-]+$/i.test(host ?? "");
}

/** A content-length that may not be there (RFC 9110 section 8.6) is dropped here, and sometimes refused there. */
function isResponseHead(list: FieldList): boolean {
  const head = unlessMalformed(() => responseHead(list, false, "GET"));
  if (head === undefined) return false;
  return !(head.headers.has("content-length") && (head.status < 200 || head.status === 204));
}

function unlessMalformed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof StreamError) return undefined;
    throw error;
  }
}

const goawayType = 7;
const pingType = 6;
const compressionError = 9;

/**
 * Says these frames and a PING, and waits for its answer, or for the end.
 * @param preface bytes that the other side says before its first frame
 * @returns whether it could not decode a header block
 */
async function converse(socket: Duplex, preface: number, frames: readonly Buffer[]): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const reader = new FrameReader({
    onData() {},
    onFrame(type, flags, _stream, payload) {
      if (type === goawayType) resolve(payload.readUInt32BE(4) === compressionError);
      if (type === pingType && flags === 1) resolve(false);
    },
  });
  let skip = preface;
  socket.on("data", (chunk: Buffer) => {
    const rest = chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
    reader.execute(rest);
  });
  socket.on("close", () => resolve(false));
  socket.write(Buffer.concat([...frames, pingFrame(Buffer.alloc(8), false)]));
  const undecodable = await over;
  await setImmediate();
  return undecodable;
}

async function askServer(blocks: readonly Buffer[]): Promise<Reading> {
  const [ours, theirs] = duplexPair();
  const session = performServerHandshake(theirs);
  const accepted: string[][] = [];
  session.on("error", () => {});
  session.on("stream", (stream, _headers, _flags, raw) => {
    stream.on("error", () => {});
    accepted[((stream.id ?? 1) - 1) / 2] = raw;
  });
  const heads = blocks.map((block, index) => frame(1, 5, 1 + 2 * index, block));
  const undecodable = await converse(ours, 0, [clientPreface, settingsFrame([]), ...heads]);
  session.destroy();
  return { undecodable, accepted };
}

async function askClient(block: Buffer): Promise<Reading> {
  const [ours, theirs] = duplexPair();
  const session = connect("http://a.example", { createConnection: () => theirs });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/" });
  stream.on("error", () => {});
  const accepted: string[][] = [];
  for (const event of ["response", "headers"]) {
    stream.on(event, (_headers: unknown, _flags: unknown, raw: string[]) => accepted.push(raw));
  }
  await once(session, "connect");
  await setImmediate();
  const undecodable = await converse(ours, clientPreface.length, [settingsFrame([]), frame(1, 4, 1, block)]);
  session.destroy();
  return { undecodable, accepted };
}

type Fields = (readonly [name: string, value: string])[];

/** The first of a list mostly, now and then any. */
function mostly<T>(random: Random, list: readonly T[]): T {
  return random.once(6) ? random.pick(list) : (list[0] as T);
}

function requestFields(random: Random): Fields {
  return withFields(random, [
    [":method", mostly(random, ["GET", "POST", "get", "G T", "CONNECT", "OPTIONS", ""])],
    [":scheme", mostly(random, ["https", "http", ""])],
    [":authority", mostly(random, ["a.example", "a.example:443", "A.example", ""])],
    [":path", mostly(random, ["/a?b", "/", "*", "", "a", "/ x", "/\u00e9"])],
  ]);
}

function responseFields(random: Random): Fields {
  const statuses = ["200", "204", "304", "404", "103", "101", "099", "20", "2000", " 200", ""];
  return withFields(random, [[":status", mostly(random, statuses)]]);
}

const names = ["x-a", "x-b", "cookie", "content-type", "accept"];
const oddNames = ["X-A", "te", "host", "content-length", "transfer-encoding", "upgrade", "x\ry", ""];
const values = ["", "1", "a; b", "a\tb", "\u00e9", "x".repeat(200)];
const oddValues = ["0", "+1", "trailers", "Trailers", "a.example", "a\nb", "\0", "\u007f", " x", "x\t"];

function withFields(random: Random, pseudo: Fields): Fields {
  const fields = [...pseudo];
  for (let count = random.below(5); count > 0; count--) {
    const at = random.once(20) ? random.below(fields.length + 1) : fields.length;
    const name = random.pick(random.once(5) ? oddNames : names);
    const value = random.pick(random.once(5) ? oddValues : values);
    fields.splice(at, 0, random.once(20) ? random.pick(pseudo) : [name, value]);
  }
  if (random.once(20)) fields.splice(random.below(fields.length), 1);
  return fields;
}

function encode(encoder: HpackEncoder, fields: Fields): Buffer {
  encoder.begin(0);
  for (const [field, value] of fields) encoder.field(field, value, false);
  return Buffer.from(encoder.end());
}

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import type { BodySink, BodySource } from "../../../src/http/body.ts";
import { ChunkResigner, type ChunkSigning } from "../../../src/transforms/aws-auth/aws-chunked.ts";
import { hmacHex, scopeText, Signer, signingTime } from "../../../src/transforms/aws-auth/sigv4.ts";
import { keys } from "./support.ts";

const time = signingTime(Date.UTC(2013, 4, 24));
const scope = { region: "us-east-1", service: "s3" };
const key = new Signer(keys).signingKey(time.date, scope);
const seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const plain: ChunkSigning = {
  key,
  dateTime: time.dateTime,
  scope: scopeText(time, scope),
  seed,
  trailer: false,
  maxChunk: 1 << 20,
};
const withTrailer = { ...plain, trailer: true };
const dummy = "d".repeat(64);

interface Outcome {
  readonly bytes: Buffer;
  readonly ended: boolean;
  readonly error: string | undefined;
  readonly cancelled: boolean;
}

/** Sends pieces through the filter, as fast as they go. */
function run(pieces: readonly Buffer[], signing: ChunkSigning): Outcome {
  const out: Uint8Array[] = [];
  let ended = false;
  let error: string | undefined;
  let cancelled = false;
  const filter = new ChunkResigner(
    {
      length: undefined,
      start(sink) {
        for (const piece of pieces) sink.write(piece);
        sink.end(undefined);
      },
      resume() {},
      cancel: () => {
        cancelled = true;
      },
    },
    signing,
  );
  filter.start({
    write: (bytes) => {
      out.push(bytes);
      return true;
    },
    end: () => {
      ended = true;
    },
    abort: (cause) => {
      error = cause.message;
    },
  });
  return { bytes: Buffer.concat(out), ended, error, cancelled };
}

function framed(chunks: readonly Buffer[], trailers = ""): Buffer {
  const parts = chunks.flatMap((chunk) => [
    Buffer.from(`${chunk.length.toString(16)};chunk-signature=${dummy}\r\n`),
    chunk,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([...parts, Buffer.from(`0;chunk-signature=${dummy}\r\n${trailers}\r\n`)]);
}

const publishedChunks = [Buffer.alloc(65536, "a"), Buffer.alloc(1024, "a")];

test("signs the published body with a trailing checksum", () => {
  const trailers = `x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:${dummy}\r\n`;
  const input = framed(publishedChunks, trailers);
  const { bytes, ended, error } = run([input], withTrailer);
  assert.deepEqual([ended, error], [true, undefined]);
  assert.equal(bytes.length, input.length);
  assert.deepEqual(bytes.toString().match(/(?<=signature[=:])[0-9a-f]{64}/g), [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
  ]);
});

test("keeps every byte but the signatures, however the body is cut, and chains the signatures", () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 5 }), cuts, (chunks, sizes) => {
      const input = framed(chunks);
      const pieces: Buffer[] = [];
      let at = 0;
      for (const size of sizes) pieces.push(input.subarray(at, (at += size)));
      pieces.push(input.subarray(at));
      const { bytes, ended } = run(pieces, plain);
      assert.ok(ended);
      let previous = seed;
      const expected = [...chunks, Buffer.alloc(0)].map((data) => {
        const hash = createHash("sha256").update(data).digest("hex");
        const empty = createHash("sha256").digest("hex");
        previous = hmacHex(
          key,
          `AWS4-HMAC-SHA256-PAYLOAD\n${time.dateTime}\n${plain.scope}\n${previous}\n${empty}\n${hash}`,
        );
        const head = Buffer.from(`${data.length.toString(16)};chunk-signature=${previous}\r\n`);
        return Buffer.concat([head, data, Buffer.from("\r\n")]);
      });
      assert.deepEqual(bytes, Buffer.concat(expected));
    }),
    { numRuns: 200 },
  );
});

const signature = `chunk-signature=${dummy}`;
const malformed: readonly [name: string, body: string, problem: RegExp, signing?: ChunkSigning][] = [
  ["nothing at all", "", /ended before its last chunk/],
  ["a body that is not framed", "hello\r\n", /malformed chunk header/],
  ["a size that is no number", `zz;${signature}\r\n`, /malformed chunk header/],
  ["a size with a sign", `-1;${signature}\r\n`, /malformed chunk header/],
  ["a size too long to be one", `000000001;${signature}\r\na\r\n`, /malformed chunk header|too long/],
  ["a chunk without a signature", "1\r\na\r\n", /malformed chunk header/],
  ["a signature of another length", "1;chunk-signature=ab\r\na\r\n", /malformed chunk header/],
  ["another extension beside the signature", `1;${signature};x=y\r\na\r\n`, /too long|malformed/],
  ["a bare line feed", `1;${signature}\na\r\n`, /does not end with CRLF/],
  ["data longer than its size", `1;${signature}\r\nab\r\n`, /bytes where a line should end/],
  ["a chunk cut short", `5;${signature}\r\nab`, /ended before its last chunk/],
  ["no last chunk", `1;${signature}\r\na\r\n`, /ended before its last chunk/],
  ["no line at the end", `0;${signature}\r\n`, /ended before its last chunk/],
  ["bytes after the end", `0;${signature}\r\n\r\nx`, /goes on after its end/],
  [
    "trailers that were not announced",
    `0;${signature}\r\nx-amz-checksum-crc32:a\r\n\r\n`,
    /where a line should end/,
  ],
  [
    "no trailer signature",
    `0;${signature}\r\nx-amz-checksum-crc32:a\r\n\r\n`,
    /malformed trailer/,
    withTrailer,
  ],
  ["a trailer without a name", `0;${signature}\r\n: x\r\n\r\n`, /malformed trailer/, withTrailer],
  [
    "a short trailer signature",
    `0;${signature}\r\nx-amz-trailer-signature:ab\r\n\r\n`,
    /malformed trailer/,
    withTrailer,
  ],
  ["endless trailers", `0;${signature}\r\n${"x-a:b\r\n".repeat(1000)}`, /too many trailer/, withTrailer],
  ["an endless trailer", `0;${signature}\r\nx:${"a".repeat(5000)}`, /too long/, withTrailer],
  ["an endless chunk header", "1".repeat(500), /too long/],
  ["a chunk that is too large to hold", `200000;${signature}\r\n`, /chunk of more than 1048576 bytes/],
];

for (const [name, body, problem, signing = plain] of malformed) {
  test(`I12: aborts on ${name}, in one piece and byte by byte`, () => {
    const bytes = Buffer.from(body);
    for (const pieces of [[bytes], Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))]) {
      const outcome = run(pieces, signing);
      assert.equal(outcome.ended, false);
      assert.match(outcome.error ?? "", problem);
      assert.doesNotMatch(outcome.error ?? "", new RegExp(dummy), "the error quotes the body");
    }
  });
}

test("passes on backpressure, resumption and cancelling", () => {
  const calls: string[] = [];
  let up: BodySink | undefined;
  const source: BodySource = {
    length: 5,
    start: (sink) => {
      up = sink;
    },
    resume: () => calls.push("resume"),
    cancel: () => calls.push("cancel"),
  };
  const filter = new ChunkResigner(source, plain);
  assert.equal(filter.length, 5);
  let ready = false;
  filter.start({ write: () => ready, end() {}, abort: (error) => calls.push(error.message) });
  const one = `1;${signature}\r\na\r\n`;
  assert.equal(up?.write(Buffer.from(one)), false);
  ready = true;
  filter.resume();
  assert.equal(up?.write(Buffer.from(one)), true);
  up?.abort(new Error("gone"));
  up?.end(undefined);
  filter.cancel();
  assert.deepEqual(calls, ["resume", "gone", "cancel"]);
});

test("I12: holds no more than a chunk of 200 MB that stream through", () => {
  const chunk = framed([Buffer.alloc(65536, "a")]).subarray(0, -(dummy.length + 22));
  const rounds = Math.ceil(200e6 / chunk.length);
  const last = framed([]);
  let sent = 0;
  let most = 0;
  let ended = false;
  const before = process.memoryUsage();
  const filter = new ChunkResigner(
    {
      length: rounds * chunk.length + last.length,
      start(sink) {
        for (let round = 0; round < rounds; round++) {
          sink.write(chunk.subarray(0, 30_000));
          sink.write(chunk.subarray(30_000));
          if (round % 200 === 0) most = Math.max(most, process.memoryUsage().rss);
        }
        sink.write(last);
        sink.end(undefined);
      },
      resume() {},
      cancel() {},
    },
    plain,
  );
  filter.start({
    write: (bytes) => {
      sent += bytes.length;
      return true;
    },
    end: () => {
      ended = true;
    },
    abort: (error) => assert.fail(error),
  });
  assert.ok(ended);
  assert.equal(sent, filter.length);
  assert.ok(most - before.rss < 120e6, `grew by ${(most - before.rss) / 1e6} MB`);
});

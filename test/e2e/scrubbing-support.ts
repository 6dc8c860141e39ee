// What the tests of scrubbing are made of: an upstream that echoes, and every coding with its way back.
import * as zlib from "node:zlib";
import { valueOf } from "./harness/message.ts";
import type { Script } from "./harness/upstream.ts";

/** Shows what it got, in the places that a server has. */
export const echo: Script = async (request) => {
  await request.body();
  const got = valueOf(request.fields, "authorization") ?? "";
  request.write(
    `HTTP/1.1 103 Early ${got}\r\nLink: <https://x.test/?k=${encodeURIComponent(got)}>\r\n\r\n` +
      `HTTP/1.1 200 OK ${got}\r\nLocation: https://x.test/?t=${encodeURIComponent(got)}\r\nSet-Cookie: a=${got}; Path=/\r\n` +
      `X-Echo: ${Buffer.from(got).toString("base64")}\r\nX-${got.replace(/\W/g, "-")}: name\r\nTransfer-Encoding: chunked\r\n` +
      `Trailer: X-End\r\nContent-Type: text/plain\r\n\r\n`,
  );
  for (const byte of Buffer.from(`got ${got}!`)) request.write(`1\r\n${String.fromCharCode(byte)}\r\n`);
  request.write(`0\r\nX-End: ${Buffer.from(got).toString("hex")}\r\n\r\n`);
};

export const codecs: Readonly<
  Record<string, readonly [encode: (bytes: Buffer) => Buffer, decode: (bytes: Buffer) => Buffer]>
> = {
  identity: [(bytes) => bytes, (bytes) => bytes],
  gzip: [zlib.gzipSync, zlib.gunzipSync],
  "x-gzip": [zlib.gzipSync, zlib.gunzipSync],
  deflate: [zlib.deflateSync, zlib.inflateSync],
  br: [zlib.brotliCompressSync, zlib.brotliDecompressSync],
  zstd: [zlib.zstdCompressSync, zlib.zstdDecompressSync],
  "gzip, br": [
    (bytes) => zlib.brotliCompressSync(zlib.gzipSync(bytes)),
    (bytes) => zlib.gunzipSync(zlib.brotliDecompressSync(bytes)),
  ],
};

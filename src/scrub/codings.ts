import type { Transform } from "node:stream";
import * as zlib from "node:zlib";
import type { Headers } from "../http/headers.ts";
import { tokens } from "../http/hop-by-hop.ts";
import type { Automaton } from "./automaton.ts";
import type { Exposed } from "./forms.ts";
import { scrubBytes } from "./rewriter.ts";

/** Content codings (RFC 9110 section 8.4.1) that can be taken off and put on again. */
export const codings = ["gzip", "deflate", "br", "zstd"] as const;
export type Coding = (typeof codings)[number];

/** Codings on top of each other; more are an attempt to keep us busy. */
const maxCodings = 3;

/**
 * Codings of a body, in the order they were put on.
 * @returns `undefined` where one of them is unknown, or there are too many
 */
export function codingsOf(headers: Headers): readonly Coding[] | undefined {
  const list: Coding[] = [];
  for (let index = headers.indexOf("content-encoding"); index >= 0; ) {
    for (const token of tokens(headers.valueAt(index))) {
      const name = token === "x-gzip" ? "gzip" : token;
      if (name === "identity") continue;
      if (!isKnown(name) || list.length === maxCodings) return undefined;
      list.push(name);
    }
    index = headers.indexOf("content-encoding", index + 1);
  }
  return list;
}

/** The coding of messages that are compressed one by one, as gRPC's and Connect's are; `undefined` for none that is known. */
export function messageCodingOf(headers: Headers): Coding | undefined {
  for (const key of messageCodingFields) {
    const index = headers.indexOf(key);
    if (index < 0) continue;
    const name = headers.valueAt(index).trim().toLowerCase();
    return isKnown(name) ? name : undefined;
  }
  return undefined;
}

const messageCodingFields = ["grpc-encoding", "connect-content-encoding"] as const;

function isKnown(name: string): name is Coding {
  return (codings as readonly string[]).includes(name);
}

/**
 * Cuts `Accept-Encoding` to what can be decoded here. A request without it stays without it: no server picks a coding then that its
 * client may not know.
 */
export function limitAcceptEncoding(headers: Headers): void {
  const first = headers.indexOf("accept-encoding");
  if (first < 0) return;
  const isOnly = headers.indexOf("accept-encoding", first + 1) < 0;
  if (isOnly && headers.valueAt(first) === lastAccepted) return;
  const members = headers
    .getAll("accept-encoding")
    .flatMap((value) => value.split(","))
    .map((member) => member.trim())
    .filter((member) => isAcceptable(member));
  lastAccepted = members.length === 0 ? "identity" : members.join(", ");
  headers.set(headers.nameAt(first), lastAccepted);
}

/** The last value that needed nothing more: clients send the same one again and again. */
let lastAccepted = "";

function isAcceptable(member: string): boolean {
  const name = (member.split(";", 1)[0] as string).trim().toLowerCase();
  return isKnown(name) || name === "identity" || name === "x-gzip";
}

const { constants } = zlib;

/** Speed counts for more than size: the other side is nearby, and waits. */
const encoding = {
  gzip: { level: 1 },
  br: { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } },
  zstd: { params: { [constants.ZSTD_c_compressionLevel]: 1 } },
} as const;

/**
 * A decoder for one coding.
 * @param firstByte tells which of its two meanings `deflate` has: the zlib format, or, with some servers, bare deflate
 */
export function decoder(coding: Coding, firstByte: number): Transform {
  switch (coding) {
    case "gzip":
      return zlib.createGunzip();
    case "deflate":
      return isZlib(firstByte) ? zlib.createInflate() : zlib.createInflateRaw();
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return zlib.createZstdDecompress();
  }
}

/** An encoder, and what makes it give all it has taken so far. */
export interface Encoder {
  readonly stream: Transform;
  flush(): void;
}

export function encoder(coding: Coding): Encoder {
  switch (coding) {
    case "gzip": {
      const stream = zlib.createGzip(encoding.gzip);
      return { stream, flush: () => stream.flush(constants.Z_SYNC_FLUSH) };
    }
    case "deflate": {
      const stream = zlib.createDeflate(encoding.gzip);
      return { stream, flush: () => stream.flush(constants.Z_SYNC_FLUSH) };
    }
    case "br": {
      const stream = zlib.createBrotliCompress(encoding.br);
      return { stream, flush: () => stream.flush(constants.BROTLI_OPERATION_FLUSH) };
    }
    case "zstd": {
      const stream = zlib.createZstdCompress(encoding.zstd);
      return { stream, flush: () => stream.flush(constants.ZSTD_e_flush) };
    }
  }
}

/** CMF of the zlib format (RFC 1950 section 2.2): deflate, with a window of at most 32 kB. */
function isZlib(byte: number): boolean {
  return (byte & 0x0f) === 8 && byte >> 4 <= 7;
}

/** Decoded bytes of a body that is scrubbed in one piece; a larger one streams. */
const maxWhole = 1024 * 1024;

/**
 * Scrubs a body that is here in full.
 * @param list codings in the order they were put on
 * @returns the same bytes where nothing was found; `undefined` where it is too large for this when decoded
 * @throws {Error} of zlib, where the bytes are not what the codings say
 */
export function scrubCoded(
  bytes: Buffer,
  list: readonly Coding[],
  automaton: Automaton,
  found: (exposed: Exposed) => void,
  keepLength: boolean,
): Uint8Array | undefined {
  if (list.length === 0) return scrubBytes(bytes, automaton, found, keepLength);
  let decoded = bytes;
  let isExact = true;
  try {
    for (const coding of list.toReversed()) {
      const { buffer, read } = decode(coding, decoded);
      isExact &&= read === decoded.length && !automaton.test(decoded);
      decoded = buffer;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw error;
  }
  const scrubbed = scrubBytes(decoded, automaton, found, keepLength);
  // What was not decoded, such as a file name in the header of gzip or bytes behind its end, goes only where it is harmless.
  if (scrubbed === decoded && isExact) return bytes;
  return list.reduce((inner: Uint8Array, coding) => encode(coding, inner), scrubbed);
}

/**
 * Takes one coding off what is here in full.
 * @param most bytes when decoded
 * @returns `undefined` where there are more, or the bytes are not what the coding says
 */
export function decodeWhole(coding: Coding, bytes: Buffer, most: number): Buffer | undefined {
  try {
    return bytes.length === 0 ? bytes : decodeWith(coding, bytes, { maxOutputLength: most });
  } catch {
    return undefined;
  }
}

/** What `info: true` gives, which the types do not say. */
interface Decoded {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function decode(coding: Coding, bytes: Buffer): { buffer: Buffer; read: number } {
  if (bytes.length === 0) return { buffer: bytes, read: 0 };
  const options = { maxOutputLength: maxWhole, info: true };
  const { buffer, engine } = decodeWith(coding, bytes, options) as unknown as Decoded;
  return { buffer, read: engine.bytesWritten };
}

function decodeWith(coding: Coding, bytes: Buffer, options: zlib.ZlibOptions): Buffer {
  switch (coding) {
    case "gzip":
      return zlib.gunzipSync(bytes, options);
    case "deflate":
      return isZlib(bytes[0] as number)
        ? zlib.inflateSync(bytes, options)
        : zlib.inflateRawSync(bytes, options);
    case "br":
      return zlib.brotliDecompressSync(bytes, options);
    case "zstd":
      return zlib.zstdDecompressSync(bytes, options as zlib.ZstdOptions);
  }
}

function encode(coding: Coding, bytes: Uint8Array): Buffer {
  switch (coding) {
    case "gzip":
      return zlib.gzipSync(bytes, encoding.gzip);
    case "deflate":
      return zlib.deflateSync(bytes, encoding.gzip);
    case "br":
      return zlib.brotliCompressSync(bytes, encoding.br);
    case "zstd":
      return zlib.zstdCompressSync(bytes, encoding.zstd);
  }
}

import { hash } from "node:crypto";
import { BodyFilter } from "../../http/body-filter.ts";
import { BodyAbortedError, type BodySource } from "../../http/body.ts";
import type { Headers } from "../../http/headers.ts";
import { emptyHash, hmacHex } from "./sigv4.ts";

/** What the signatures inside a body are made from. */
export interface ChunkSigning {
  readonly key: Buffer;
  /** `20250102T030405Z` */
  readonly dateTime: string;
  /** `20250102/us-east-1/s3/aws4_request` */
  readonly scope: string;
  /** Signature of the request's head: the first link of the chain. */
  readonly seed: string;
  /** The body ends with trailer fields and a signature of their own. */
  readonly trailer: boolean;
  /** Bytes of the largest chunk; one is held at a time, because its signature stands before its data (I12). */
  readonly maxChunk: number;
}

/** An aws-chunked body that is not one. The message says what is wrong and quotes nothing. */
export class AwsChunkedError extends BodyAbortedError {
  constructor(message: string) {
    super(`the aws-chunked body ${message}`);
  }
}

/** `10000;chunk-signature=<64 digits>`; anything longer is no chunk header. */
const chunkHeader = /^([0-9A-Fa-f]{1,8});chunk-signature=[0-9a-f]{64}$/;
const maxHeader = 8 + ";chunk-signature=".length + 64;
const trailerField = /^([a-z0-9-]{1,64}):([\x20-\x7e]*)$/i;
const trailerSignature = /^x-amz-trailer-signature:[0-9a-f]{64}$/;
const trailerSignatureName = "x-amz-trailer-signature:";
/** Bytes of all trailer fields. */
const maxTrailers = 4096;

/**
 * Re-signs a body of `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` or its `-TRAILER` form chunk by chunk while it streams.
 * Chunks keep their sizes and signatures have a fixed length, so the framed body is as long as it was. The framing is
 * read strictly: a byte out of place aborts the body, and what was sent by then is not complete for anyone.
 */
export class ChunkResigner extends BodyFilter {
  readonly #signing: ChunkSigning;
  #previous: string;
  #state: "header" | "data" | "data-end" | "trailer" | "end" | "done" = "header";
  #line = "";
  /** The chunk under way as it goes out: header, data, CRLF. */
  #frame: Buffer = Buffer.alloc(0);
  #dataStart = 0;
  #filled = 0;
  #trailers: [name: string, value: string][] = [];
  #trailerBytes = 0;

  constructor(source: BodySource, signing: ChunkSigning) {
    super(source);
    this.#signing = signing;
    this.#previous = signing.seed;
  }

  protected override take(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.over) {
      at = this.#state === "data" ? this.#takeData(bytes, at) : this.#takeLine(bytes, at);
    }
  }

  protected override complete(trailers: Headers | undefined): void {
    if (this.#state === "done") this.finish(trailers);
    else this.#fail("ended before its last chunk");
  }

  #takeData(bytes: Uint8Array, at: number): number {
    const end = this.#frame.length - 2;
    const part = bytes.subarray(at, at + end - this.#filled);
    this.#frame.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled === end) this.#state = "data-end";
    return at + part.length;
  }

  /** Reads up to the end of a line; a line may come in any number of pieces. */
  #takeLine(bytes: Uint8Array, at: number): number {
    if (this.#state === "done") return this.#fail("goes on after its end");
    const lineFeed = bytes.indexOf(0x0a, at);
    const end = lineFeed < 0 ? bytes.length : lineFeed + 1;
    const room = (this.#state === "trailer" ? maxTrailers : maxHeader + 2) - this.#line.length;
    if (end - at > room) return this.#fail("has a line that is too long");
    this.#line += latin1(bytes.subarray(at, end));
    if (lineFeed < 0) return end;
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r\n")) return this.#fail("has a line that does not end with CRLF");
    this.#onLine(line.slice(0, -2));
    return end;
  }

  #onLine(line: string): void {
    if (this.#state === "header") this.#onHeader(line);
    else if (this.#state === "trailer") this.#onTrailer(line);
    else if (line !== "") this.#fail("has bytes where a line should end");
    else if (this.#state === "data-end") this.#onChunk();
    else {
      this.#sendText("\r\n");
      this.#state = "done";
    }
  }

  #onHeader(line: string): void {
    const match = chunkHeader.exec(line);
    if (match === null) return void this.#fail("has a malformed chunk header");
    const digits = match[1] as string;
    const size = Number.parseInt(digits, 16);
    if (size > this.#signing.maxChunk) {
      return void this.#fail(`has a chunk of more than ${this.#signing.maxChunk} bytes`);
    }
    if (size === 0) {
      this.#sendText(`${digits};chunk-signature=${this.#sign(emptyHash)}\r\n`);
      this.#state = this.#signing.trailer ? "trailer" : "end";
      return;
    }
    this.#dataStart = line.length + 2;
    this.#frame = Buffer.allocUnsafe(this.#dataStart + size + 2);
    this.#frame.write(`${line}\r\n`, 0, "latin1");
    this.#filled = this.#dataStart;
    this.#state = "data";
  }

  /** A chunk is complete: its signature goes where the workload's stood. */
  #onChunk(): void {
    const frame = this.#frame;
    const end = frame.length - 2;
    const signature = this.#sign(hash("sha256", frame.subarray(this.#dataStart, end), "hex"));
    frame.write(signature, this.#dataStart - 2 - signature.length, "latin1");
    frame.write("\r\n", end, "latin1");
    this.#frame = Buffer.alloc(0);
    this.#state = "header";
    this.send(frame);
  }

  #onTrailer(line: string): void {
    if (line.startsWith(trailerSignatureName)) {
      if (!trailerSignature.test(line)) return void this.#fail("has a malformed trailer signature");
      this.#sendText(`${trailerSignatureName}${this.#signTrailers()}\r\n`);
      this.#state = "end";
      return;
    }
    this.#trailerBytes += line.length + 2;
    const match = trailerField.exec(line);
    if (match === null) return void this.#fail("has a malformed trailer field");
    if (this.#trailerBytes > maxTrailers) return void this.#fail("has too many trailer fields");
    this.#trailers.push([(match[1] as string).toLowerCase(), (match[2] as string).trim()]);
    this.#sendText(`${line}\r\n`);
  }

  #sign(dataHash: string): string {
    const { key, dateTime, scope } = this.#signing;
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${dateTime}\n${scope}\n${this.#previous}\n${emptyHash}\n${dataHash}`;
    this.#previous = hmacHex(key, text);
    return this.#previous;
  }

  #signTrailers(): string {
    const { key, dateTime, scope } = this.#signing;
    const fields = this.#trailers.sort(([a], [b]) => (a < b ? -1 : 1));
    const trailersHash = hash("sha256", fields.map(([name, value]) => `${name}:${value}\n`).join(""), "hex");
    const text = `AWS4-HMAC-SHA256-TRAILER\n${dateTime}\n${scope}\n${this.#previous}\n${trailersHash}`;
    return hmacHex(key, text);
  }

  #sendText(text: string): void {
    this.send(Buffer.from(text, "latin1"));
  }

  /** Returns a position past every byte, so that reading stops. */
  #fail(problem: string): number {
    this.fail(new AwsChunkedError(problem));
    return Number.POSITIVE_INFINITY;
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

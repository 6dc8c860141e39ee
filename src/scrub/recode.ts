import type { Transform } from "node:stream";
import { BodyFilter } from "../http/body-filter.ts";
import type { Body, BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import { type Coding, decoder, type Encoder, encoder } from "./codings.ts";

/** A body that is not in the coding that its head says, or that is a decompression bomb. */
export class CodingError extends Error {
  override readonly name = "CodingError";
}

/** Decoded bytes from which on the ratio counts. */
const bombBytes = 16 * 1024 * 1024;
/** Decoded bytes for each coded one; what people compress on purpose stays below. */
const maxRatio = 1000;
/** Silence after which an encoder gives what it has. */
const flushMs = 20;

/**
 * Decodes a body, has it filtered, and encodes it again.
 * @param list codings in the order they were put on
 * @param eager gives every piece at once, as event streams want it, rather than after 20 ms of silence
 */
export function recode(
  body: Body,
  list: readonly Coding[],
  eager: boolean,
  filter: (source: BodySource) => BodySource,
): void {
  for (const coding of list.toReversed()) body.wrap((source) => new Recoder(source, decoding(coding)));
  body.wrap(filter);
  for (const coding of list) body.wrap((source) => new Recoder(source, encoding(coding, eager)));
}

/** One coding put on or taken off. */
interface Step {
  /** Makes the stream once the first bytes are there. */
  open(firstByte: number): Transform;
  /** Bytes have been written. */
  wrote?(): void;
  /** @returns what is wrong with the amount of bytes that came out */
  check?(written: number, read: number): string | undefined;
  close?(): void;
}

function decoding(coding: Coding): Step {
  return {
    open: (firstByte) => decoder(coding, firstByte),
    check(written, read) {
      if (read < bombBytes || read < written * maxRatio) return undefined;
      return `the body is more than ${maxRatio} times as large when decoded (${coding})`;
    },
  };
}

function encoding(coding: Coding, eager: boolean): Step {
  let open: Encoder | undefined;
  let timer: NodeJS.Timeout | undefined;
  return {
    open() {
      open = encoder(coding);
      return open.stream;
    },
    wrote() {
      clearTimeout(timer);
      if (eager) open?.flush();
      else timer = setTimeout(() => open?.flush(), flushMs).unref();
    },
    close: () => clearTimeout(timer),
  };
}

/** A stream of node's between the source and the reader of a body, with the backpressure of both. */
class Recoder extends BodyFilter {
  readonly #step: Step;
  #stream: Transform | undefined;
  #trailers: Headers | undefined;
  #written = 0;
  #read = 0;

  constructor(source: BodySource, step: Step) {
    super(source);
    this.#step = step;
  }

  override get length(): undefined {
    return undefined;
  }

  override resume(): void {
    if (this.#stream === undefined) super.resume();
    else this.#stream.resume();
  }

  protected override take(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#stream ??= this.#open(bytes[0] as number);
    this.#written += bytes.length;
    this.ready = this.#stream.write(bytes);
    this.#step.wrote?.();
  }

  protected override complete(trailers: Headers | undefined): void {
    this.#trailers = trailers;
    // Some servers name a coding on a body that is not there.
    if (this.#stream === undefined) this.finish(trailers);
    else this.#stream.end();
  }

  protected override release(): void {
    this.#step.close?.();
    this.#stream?.destroy();
  }

  #open(firstByte: number): Transform {
    const stream = this.#step.open(firstByte);
    stream.on("data", (bytes: Buffer) => this.#onData(stream, bytes));
    stream.on("drain", () => super.resume());
    // What the source still has then stands behind the end of the coded data, and nobody reads it.
    stream.on("end", () => this.#onEnd());
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.#fail(`the body is not what Content-Encoding says (${error.code ?? error.name})`);
    });
    return stream;
  }

  #onData(stream: Transform, bytes: Buffer): void {
    if (this.over) return;
    this.#read += bytes.length;
    const problem = this.#step.check?.(this.#written, this.#read);
    if (problem !== undefined) this.#fail(problem);
    else if (!this.send(bytes)) stream.pause();
  }

  #onEnd(): void {
    if (!this.over) this.finish(this.#trailers);
  }

  #fail(problem: string): void {
    if (!this.over) this.fail(new CodingError(problem));
  }
}

import type { Headers } from "./headers.ts";

/** Where the bytes of a body go. */
export interface BodySink {
  /** Takes bytes; `false` asks the source to send no more until it is resumed. */
  write(bytes: Uint8Array): boolean;
  /** The body is complete. */
  end(trailers: Headers | undefined): void;
  /** The body will never be complete: what was written so far must not look complete to anyone. */
  abort(error: Error): void;
}

/** A body that has not been read yet; a codec implements it. */
export interface BodySource {
  /** Bytes announced by the framing; `undefined` when only the end will tell. */
  readonly length: number | undefined;
  /** Begins the flow into a sink. Called once. */
  start(sink: BodySink): void;
  /** Goes on after a `write` that returned false. */
  resume(): void;
  /** Nobody wants the rest. */
  cancel(): void;
}

/** The body is larger than whoever asked for all of it allows. Answered with 413, never with a cut body. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";
  readonly limit: number;
  constructor(limit: number) {
    super(`body is larger than ${limit} bytes`);
    this.limit = limit;
  }
}

/** The other side went away before the body was complete. */
export class BodyAbortedError extends Error {
  override readonly name = "BodyAbortedError";
}

const noBytes = Buffer.alloc(0);

/**
 * The body of one message. It streams untouched unless someone buffers it; once buffered it can be read and
 * replaced any number of times, and what is forwarded is what was last put there.
 */
export class Body {
  #source: BodySource | undefined;
  #bytes: Buffer | undefined;
  #trailers: Headers | undefined;
  #buffering: Promise<Buffer> | undefined;
  #failure: Error | undefined;
  #started = false;

  private constructor(source: BodySource | undefined, bytes: Buffer | undefined) {
    this.#source = source;
    this.#bytes = bytes;
  }

  static empty(): Body {
    return new Body(undefined, noBytes);
  }

  static of(bytes: Buffer): Body {
    return new Body(undefined, bytes);
  }

  static from(source: BodySource): Body {
    return new Body(source, undefined);
  }

  /** Length in bytes, or `undefined` while only the end will tell. */
  get length(): number | undefined {
    return this.#bytes !== undefined ? this.#bytes.length : this.#source?.length;
  }

  /** The bytes, where they are all here already. */
  get bytes(): Buffer | undefined {
    return this.#bytes;
  }

  /** Trailer fields, known once the body was buffered. */
  get trailers(): Headers | undefined {
    return this.#trailers;
  }

  /**
   * All bytes, held in memory. The body stays readable for everyone after this.
   * @param limit bytes at most; a longer body throws {@link BodyTooLargeError} and is not readable any more
   * @throws {BodyTooLargeError | BodyAbortedError}
   */
  buffer(limit: number): Buffer | Promise<Buffer> {
    if (this.#bytes !== undefined) {
      if (this.#bytes.length > limit) throw new BodyTooLargeError(limit);
      return this.#bytes;
    }
    if (this.#buffering !== undefined) return this.#buffering;
    if (this.#failure !== undefined) throw this.#failure;
    const collected = this.#collect(limit);
    if (collected instanceof Promise) this.#buffering = collected;
    return collected;
  }

  /** Puts other bytes in the body's place; what was not read of the old one is dropped. Trailers stay. */
  replace(bytes: Buffer): void {
    if (this.#source !== undefined && !this.#started) this.#source.cancel();
    this.#source = undefined;
    this.#bytes = bytes;
  }

  /** Puts a filter between the source and whoever reads it; only before anyone has read. */
  wrap(filter: (source: BodySource) => BodySource): void {
    this.#source = filter(this.#source ?? bytesSource(this.#bytes ?? noBytes, this.#trailers));
    this.#bytes = undefined;
  }

  /** Sends everything into a sink; only once for a body that was not buffered. */
  pipe(sink: BodySink): void {
    if (this.#bytes !== undefined) {
      if (this.#bytes.length > 0) sink.write(this.#bytes);
      sink.end(this.#trailers);
      return;
    }
    if (this.#started) throw new Error("body was read already");
    this.#started = true;
    (this.#source as BodySource).start(sink);
  }

  /** Goes on after a sink returned false. */
  resume(): void {
    this.#source?.resume();
  }

  /** Nobody will read the rest. */
  cancel(): void {
    this.#source?.cancel();
  }

  /** A plain value where the source had everything already, as a small request does. */
  #collect(limit: number): Buffer | Promise<Buffer> {
    const source = this.#source as BodySource;
    const declared = source.length;
    if (declared !== undefined && declared > limit) throw new BodyTooLargeError(limit);
    const chunks: Uint8Array[] = [];
    let size = 0;
    let settle: (() => void) | undefined;
    const fail = (error: Error): void => {
      this.#failure ??= error;
      settle?.();
    };
    this.#started = true;
    source.start({
      write: (bytes) => {
        size += bytes.length;
        if (size > limit) {
          chunks.length = 0;
          source.cancel();
          fail(new BodyTooLargeError(limit));
          return false;
        }
        chunks.push(bytes);
        return true;
      },
      end: (trailers) => {
        if (this.#failure !== undefined) return;
        this.#bytes = chunks.length === 1 ? asBuffer(chunks[0] as Uint8Array) : Buffer.concat(chunks, size);
        this.#trailers = trailers;
        this.#source = undefined;
        settle?.();
      },
      abort: fail,
    });
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#bytes !== undefined) return this.#bytes;
    return new Promise((resolve, reject) => {
      settle = () => (this.#failure === undefined ? resolve(this.#bytes as Buffer) : reject(this.#failure));
    });
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A source over bytes that are here already. */
export function bytesSource(bytes: Buffer, trailers?: Headers): BodySource {
  return {
    length: bytes.length,
    start(sink) {
      if (bytes.length > 0) sink.write(bytes);
      sink.end(trailers);
    },
    resume() {},
    cancel() {},
  };
}

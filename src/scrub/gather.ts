import type { Body, BodySink, BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";

/** Bytes that are gathered before the body counts as one that streams. */
const maxGathered = 64 * 1024;
/** How long a body that is announced to be no longer than that may take. */
const waitMs = 20;

/**
 * Waits for a body until the turn of the event loop that brought its head is over, and a little longer for one that is announced to be
 * short. An ordinary answer is here as a whole then and is sent with a length; of any other nothing is known before its end.
 * @param then called once: with the bytes, or without where the body has to stream. It is readable either way.
 */
export function gather(body: Body, then: (whole: Buffer | undefined) => void): void {
  if (body.bytes !== undefined) {
    then(body.bytes);
    return;
  }
  let gathering: Gathering | undefined;
  body.wrap((source) => (gathering = new Gathering(source, then)));
  // Only now: a source that has everything calls back at once.
  gathering?.begin();
}

/** Reads ahead of whoever starts it. */
class Gathering implements BodySource, BodySink {
  readonly #source: BodySource;
  readonly #then: (whole: Buffer | undefined) => void;
  readonly length: number | undefined;
  #sink: BodySink | undefined;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #end: { readonly trailers: Headers | undefined } | undefined;
  #error: Error | undefined;
  #told = false;
  #paused = false;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(source: BodySource, then: (whole: Buffer | undefined) => void) {
    this.#source = source;
    this.#then = then;
    this.length = source.length;
  }

  begin(): void {
    this.#source.start(this);
    if (!this.#told) this.#immediate = setImmediate(() => this.#onTurn());
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    let ready = true;
    for (const chunk of this.#chunks.splice(0)) ready = sink.write(chunk);
    if (this.#error !== undefined) sink.abort(this.#error);
    else if (this.#end !== undefined) sink.end(this.#end.trailers);
    else if (ready && this.#paused) this.resume();
  }

  resume(): void {
    this.#paused = false;
    if (this.#end === undefined) this.#source.resume();
  }

  cancel(): void {
    this.#stopWaiting();
    this.#chunks = [];
    if (this.#end === undefined) this.#source.cancel();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#sink !== undefined) return this.#sink.write(bytes);
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    this.#paused = this.#size >= maxGathered;
    return !this.#paused;
  }

  end(trailers: Headers | undefined): void {
    this.#end = { trailers };
    if (this.#sink !== undefined) this.#sink.end(trailers);
    else this.#tell();
  }

  abort(error: Error): void {
    this.#error = error;
    if (this.#sink !== undefined) this.#sink.abort(error);
    else this.#tell();
  }

  #onTurn(): void {
    const isShort = this.length !== undefined && this.length <= maxGathered;
    if (isShort && this.#error === undefined) this.#timer = setTimeout(() => this.#tell(), waitMs);
    else this.#tell();
  }

  #tell(): void {
    if (this.#told) return;
    this.#stopWaiting();
    // What has trailers keeps its chunks.
    const isWhole = this.#end !== undefined && this.#end.trailers === undefined;
    this.#then(isWhole ? whole(this.#chunks, this.#size) : undefined);
  }

  #stopWaiting(): void {
    this.#told = true;
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
  }
}

function whole(chunks: readonly Uint8Array[], size: number): Buffer {
  const [only] = chunks;
  return chunks.length === 1 && Buffer.isBuffer(only) ? only : Buffer.concat(chunks, size);
}

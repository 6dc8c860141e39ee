// source ── write, end, abort ──▶ filter ── send, finish, fail ──▶ sink;  resume and cancel go the other way

import type { BodySink, BodySource } from "./body.ts";
import type { Headers } from "./headers.ts";

/** Nobody reads before the flow begins. */
const noSink: BodySink = { write: () => false, end() {}, abort() {} };

/**
 * A body that is searched or changed while it flows. For {@link Body.wrap}. A filter says what becomes of the bytes; pace, end and
 * failure are kept here: nothing leaves behind an end, and the source is asked for more only once the reader has room.
 */
export abstract class BodyFilter implements BodySource, BodySink {
  readonly #source: BodySource;
  #sink = noSink;
  #over = false;
  /** The source has nothing more to give. */
  #spent = false;
  /** The next step has room for more. False until the next {@link resume} once a `send` has returned false. */
  protected ready = true;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** As announced, for filters that keep it. */
  get length(): number | undefined {
    return this.#source.length;
  }

  /** Ended, failed or given up: nothing comes in any more, and nothing goes out. */
  protected get over(): boolean {
    return this.#over;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#source.start(this);
  }

  resume(): void {
    this.ready = true;
    this.#source.resume();
  }

  cancel(): void {
    this.#close();
    this.#source.cancel();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over) return false;
    this.take(bytes);
    return this.ready && !this.#over;
  }

  end(trailers: Headers | undefined): void {
    if (this.#over) return;
    this.#spent = true;
    this.complete(trailers);
  }

  abort(error: Error): void {
    if (this.#over) return;
    this.#spent = true;
    this.cut(error);
  }

  /** Bytes of the source; for `send`, sooner or later. */
  protected abstract take(bytes: Uint8Array): void;

  /** The source has ended. Calls `finish`, at once or once all is sent. */
  protected complete(trailers: Headers | undefined): void {
    this.finish(trailers);
  }

  /** The source has failed. Calls `fail`. */
  protected cut(error: Error): void {
    this.fail(error);
  }

  /** Lets go of timers and whatever else is held. Called once, whichever way it ends. */
  protected release(): void {}

  /** @returns whether the reader has room for more */
  protected send(bytes: Uint8Array): boolean {
    const ready = this.#sink.write(bytes);
    this.ready &&= ready;
    return ready;
  }

  /** All has been sent; nobody wants what the source may have left. */
  protected finish(trailers: Headers | undefined): void {
    this.#stop();
    this.#sink.end(trailers);
  }

  /** What was sent is not all, and there will be no more. */
  protected fail(error: Error): void {
    this.#stop();
    this.#sink.abort(error);
  }

  #stop(): void {
    this.#close();
    if (!this.#spent) this.#source.cancel();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.release();
  }
}

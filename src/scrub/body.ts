import type { BodySink, BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import { Rewriter, type RewriterOptions } from "./rewriter.ts";

/** What scrubbing a body needs beside the rewriter. */
export interface ScrubbedBodyOptions extends Omit<RewriterOptions, "emit"> {
  /** Scrubs the fields behind the body. */
  readonly trailers: (fields: Headers) => void;
}

/** Nobody reads before the flow begins. */
const noSink: BodySink = { write: () => false, end() {}, abort() {} };

/** A body whose forms of exposed values are replaced while it streams. For {@link Body.wrap}. */
export class ScrubbedBody implements BodySource, BodySink {
  readonly #source: BodySource;
  readonly #options: ScrubbedBodyOptions;
  readonly #rewriter: Rewriter;
  #sink = noSink;
  #ready = true;

  constructor(source: BodySource, options: ScrubbedBodyOptions) {
    this.#source = source;
    this.#options = options;
    this.#rewriter = new Rewriter({
      ...options,
      emit: (bytes) => {
        this.#ready = this.#sink.write(bytes);
      },
    });
  }

  get length(): number | undefined {
    return this.#options.keepLength === true ? this.#source.length : undefined;
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#source.start(this);
  }

  resume(): void {
    this.#ready = true;
    this.#source.resume();
  }

  cancel(): void {
    this.#rewriter.cancel();
    this.#source.cancel();
  }

  write(bytes: Uint8Array): boolean {
    this.#rewriter.write(bytes);
    return this.#ready;
  }

  end(trailers: Headers | undefined): void {
    this.#rewriter.end();
    if (trailers !== undefined) this.#options.trailers(trailers);
    this.#sink.end(trailers);
  }

  abort(error: Error): void {
    if (this.#rewriter.held === 0) {
      this.#sink.abort(error);
      return;
    }
    this.#rewriter.end();
    // A connection that is cut in the turn in which the last bytes are written takes them with it.
    setTimeout(() => this.#sink.abort(error), 1);
  }
}

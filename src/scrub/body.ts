import { BodyFilter } from "../http/body-filter.ts";
import type { BodySource } from "../http/body.ts";
import { compressedFlag, EnvelopeReader } from "../http/envelopes.ts";
import type { Headers } from "../http/headers.ts";
import { CodingError } from "./recode.ts";
import { Rewriter, type RewriterOptions } from "./rewriter.ts";

/** What scrubbing a body needs beside the rewriter. */
export interface ScrubbedBodyOptions extends Omit<RewriterOptions, "emit"> {
  /** Scrubs the fields behind the body. */
  readonly trailers: (fields: Headers) => void;
  /** Messages with their length before them, each searched by itself: no byte of one waits for the next. Only with `keepLength`. */
  readonly envelopes?: boolean;
}

/** A body whose forms of exposed values are replaced while it streams. For {@link Body.wrap}. */
export class ScrubbedBody extends BodyFilter {
  readonly #options: ScrubbedBodyOptions;
  readonly #rewriter: Rewriter;
  readonly #envelopes: EnvelopeReader | undefined;
  /** What one piece of the source has become; gathered only where it would go out in splinters. */
  #parts: Uint8Array[] | undefined;

  constructor(source: BodySource, options: ScrubbedBodyOptions) {
    super(source);
    this.#options = options;
    this.#rewriter = new Rewriter({ ...options, emit: (bytes) => this.#emit(bytes) });
    if (options.envelopes === true) this.#envelopes = this.#readEnvelopes();
  }

  override get length(): number | undefined {
    return this.#options.keepLength === true ? super.length : undefined;
  }

  protected override take(bytes: Uint8Array): void {
    if (this.#envelopes === undefined) {
      this.#rewriter.write(bytes);
      return;
    }
    this.#parts = [];
    this.#envelopes.write(bytes);
    const [only, ...more] = this.#parts;
    const all = more.length === 0 ? only : Buffer.concat(this.#parts);
    this.#parts = undefined;
    if (all !== undefined && !this.over) this.send(all);
  }

  protected override complete(trailers: Headers | undefined): void {
    this.#rewriter.end();
    const rest = this.#envelopes?.rest ?? [];
    if (rest.length > 0) this.send(Uint8Array.from(rest));
    if (trailers !== undefined) this.#options.trailers(trailers);
    this.finish(trailers);
  }

  protected override cut(error: Error): void {
    if (this.#rewriter.held === 0) {
      this.fail(error);
      return;
    }
    this.#rewriter.end();
    // A connection that is cut in the turn in which the last bytes are written takes them with it.
    setTimeout(() => this.fail(error), 1);
  }

  protected override release(): void {
    this.#rewriter.cancel();
  }

  #readEnvelopes(): EnvelopeReader {
    return new EnvelopeReader({
      prefix: (bytes, flags) => {
        this.#emit(bytes);
        if ((flags & compressedFlag) !== 0) this.fail(new CodingError("a message is compressed"));
      },
      payload: (bytes, isLast) => {
        if (this.over) return;
        this.#rewriter.write(bytes);
        if (isLast) this.#rewriter.end();
      },
    });
  }

  #emit(bytes: Uint8Array): void {
    if (this.#parts !== undefined) this.#parts.push(bytes);
    else this.send(bytes);
  }
}

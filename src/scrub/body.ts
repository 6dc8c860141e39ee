import { BodyFilter } from "../http/body-filter.ts";
import type { BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import { Rewriter, type RewriterOptions } from "./rewriter.ts";

/** What scrubbing a body needs beside the rewriter. */
export interface ScrubbedBodyOptions extends Omit<RewriterOptions, "emit"> {
  /** Scrubs the fields behind the body. */
  readonly trailers: (fields: Headers) => void;
}

/** A body whose forms of exposed values are replaced while it streams. For {@link Body.wrap}. */
export class ScrubbedBody extends BodyFilter {
  readonly #options: ScrubbedBodyOptions;
  readonly #rewriter: Rewriter;

  constructor(source: BodySource, options: ScrubbedBodyOptions) {
    super(source);
    this.#options = options;
    this.#rewriter = new Rewriter({ ...options, emit: (bytes) => void this.send(bytes) });
  }

  override get length(): number | undefined {
    return this.#options.keepLength === true ? super.length : undefined;
  }

  protected override take(bytes: Uint8Array): void {
    this.#rewriter.write(bytes);
  }

  protected override complete(trailers: Headers | undefined): void {
    this.#rewriter.end();
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
}

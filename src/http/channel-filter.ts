import { BodyFilter } from "./body-filter.ts";
import type { BodySink } from "./body.ts";
import type { Headers } from "./headers.ts";

/** One direction of a channel that is searched or changed while it flows. It may be cut after its end, and with it the other direction. */
export abstract class ChannelFilter extends BodyFilter {
  #reader: BodySink | undefined;
  #finished = false;

  override start(sink: BodySink): void {
    this.#reader = sink;
    super.start(sink);
  }

  override abort(error: Error): void {
    if (this.#finished) this.#reader?.abort(error);
    else super.abort(error);
  }

  protected override finish(trailers: Headers | undefined): void {
    this.#finished = true;
    super.finish(trailers);
  }
}

// client ◀── bytes, both ways, not looked at ──▶ upstream

import type { BodySink } from "./body.ts";
import type { Channel } from "./channel.ts";
import type { Deadlines, Timed } from "./h1/deadlines.ts";
import type { Headers } from "./headers.ts";

/** How a splice ended: both sides closed, neither said anything for too long, or one of them was cut. */
export type SpliceOutcome = "closed" | "idle" | "client_cut" | "upstream_cut";

export interface SpliceEnd {
  readonly outcome: SpliceOutcome;
  /** Bytes that the client sent. */
  readonly fromClient: number;
  /** Bytes that the upstream sent. */
  readonly fromUpstream: number;
}

export interface SpliceOptions {
  readonly deadlines: Deadlines;
  /** Milliseconds without a byte from either side after which both are cut. */
  readonly idleMs: number;
  /** Called once, when no byte can pass any more. */
  onEnd(end: SpliceEnd): void;
}

/**
 * Joins two channels until both have ended. Each direction has the pace of its reader and ends by itself; a side that
 * is cut cuts the other, so that nobody takes a part for the whole.
 */
export function splice(client: Channel, upstream: Channel, options: SpliceOptions): void {
  new Splice(client, upstream, options).start();
}

class Splice implements Timed {
  deadline: number;
  readonly #options: SpliceOptions;
  readonly #up: Direction;
  readonly #down: Direction;
  #over = false;

  constructor(client: Channel, upstream: Channel, options: SpliceOptions) {
    this.#options = options;
    this.deadline = performance.now() + options.idleMs;
    this.#up = new Direction(client, upstream, this, "client_cut");
    this.#down = new Direction(upstream, client, this, "upstream_cut");
  }

  start(): void {
    this.#options.deadlines.add(this);
    this.#up.start();
    if (!this.#over) this.#down.start();
  }

  /** Bytes moved. */
  touch(): void {
    this.deadline = performance.now() + this.#options.idleMs;
  }

  onDeadline(): void {
    this.cut("idle");
  }

  /** One direction has ended. */
  onDirectionEnd(): void {
    if (this.#up.ended && this.#down.ended) this.#finish("closed");
  }

  cut(outcome: SpliceOutcome): void {
    if (this.#over) return;
    this.#finish(outcome);
    this.#up.cut();
    this.#down.cut();
  }

  #finish(outcome: SpliceOutcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.deadlines.delete(this);
    this.#options.onEnd({ outcome, fromClient: this.#up.bytes, fromUpstream: this.#down.bytes });
  }
}

class Direction implements BodySink {
  bytes = 0;
  ended = false;
  readonly #from: Channel;
  readonly #to: Channel;
  readonly #splice: Splice;
  readonly #whenCut: SpliceOutcome;

  constructor(from: Channel, to: Channel, owner: Splice, whenCut: SpliceOutcome) {
    this.#from = from;
    this.#to = to;
    this.#splice = owner;
    this.#whenCut = whenCut;
    to.onDrain = () => {
      owner.touch();
      from.source.resume();
    };
  }

  start(): void {
    this.#from.source.start(this);
  }

  cut(): void {
    this.#to.sink.abort(new Error("cut"));
  }

  write(bytes: Uint8Array): boolean {
    this.bytes += bytes.length;
    this.#splice.touch();
    return this.#to.sink.write(bytes);
  }

  end(_trailers: Headers | undefined): void {
    this.ended = true;
    this.#splice.touch();
    this.#to.sink.end(undefined);
    this.#splice.onDirectionEnd();
  }

  abort(_error: Error): void {
    this.#splice.cut(this.#whenCut);
  }
}

import { systemClock, type Clock } from "../sources/clock.ts";
import type { Grant } from "./messages.ts";
import { unpack, unpackFailure } from "./packed.ts";

/** How long a worker uses what it was told without asking again, in milliseconds. */
export const leaseMs = 1000;

export interface LeaseOptions<Value extends object> {
  /** Asks the process that has the value. */
  ask(known: number): Promise<Grant>;
  /** Makes the value of what came over the channel. */
  make(fields: Record<string, unknown>): Value;
  readonly clock?: Clock;
}

/**
 * A value that another process keeps, in the memory of this one. For a second it is used as it is, for another second
 * while it is asked for anew behind the request, and from then on a request waits for the answer, which that process
 * has at hand. What it answers holds, be it that there is no value any more.
 */
export class Lease<Value extends object> {
  readonly #options: LeaseOptions<Value>;
  readonly #clock: Clock;
  #held: Value | undefined;
  #version = 0;
  #failure: Error | undefined;
  /** When the last answer came. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #flight: Promise<Value> | undefined;
  #closed = false;

  constructor(options: LeaseOptions<Value>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * The value: the same object until it changes, at once while it is leased.
   * @throws {SourceError | MintError} at once or later, as the process that keeps it said
   */
  get(): Value | Promise<Value> {
    const age = this.#clock.now() - this.#heardAt;
    if (age < leaseMs) {
      if (this.#held !== undefined) return this.#held;
      if (this.#failure !== undefined) throw this.#failure;
    }
    if (this.#closed && this.#held !== undefined) return this.#held;
    if (this.#flight === undefined) {
      this.#flight = this.#ask();
      this.#flight.catch(() => {}); // whoever asks next is told
    }
    return this.#held !== undefined && age < 2 * leaseMs ? this.#held : this.#flight;
  }

  /** Takes over the value of another configuration's lease, for as long as it is confirmed to be the same. */
  adopt(old: Lease<Value>): void {
    if (this.#held !== undefined) return;
    this.#held = old.#held;
    this.#version = old.#version;
  }

  /** Asks no more while there is a value: no new request uses this configuration. */
  close(): void {
    this.#closed = true;
  }

  async #ask(): Promise<Value> {
    const grant = await this.#options.ask(this.#held === undefined ? 0 : this.#version).finally(() => {
      this.#flight = undefined;
    });
    this.#heardAt = this.#clock.now();
    this.#failure = undefined;
    if (grant.kind === "refused") {
      this.#held = undefined;
      this.#failure = unpackFailure(grant.failure);
      throw this.#failure;
    }
    if (grant.kind === "value") {
      this.#held = this.#options.make(unpack(grant.value));
      this.#version = grant.version;
    }
    return this.#held as Value;
  }
}

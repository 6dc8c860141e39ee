/**
 * The randomness of one fuzz iteration: a small generator (splitmix32) whose seed makes the iteration
 * repeatable, and the place where a target leaves the input that a failure prints.
 */
export class Random {
  #state: number;
  #input: Uint8Array | undefined;

  constructor(seed: number, iteration = 0) {
    this.#state = (seed ^ Math.imul(iteration + 1, 0x9e3779b1)) >>> 0;
  }

  /** What `keep` was last given. */
  get input(): Uint8Array | undefined {
    return this.#input;
  }

  /** Remembers the input of this iteration; returns it. */
  keep<T extends Uint8Array>(input: T): T {
    this.#input = input;
    return input;
  }

  /** 0 to 2^32-1. */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** 0 to `limit`-1. */
  below(limit: number): number {
    return this.next() % limit;
  }

  /** `from` to `to`, both included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

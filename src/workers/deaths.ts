/** A worker that ends before it has lived so long died at once; in milliseconds. */
const shortLifeMs = 10_000;
/** Pauses before another one is started: none after the first death, then the first pause, doubled each time. */
const firstPauseMs = 200;
const longestPauseMs = 5000;
/** Early deaths in a row, beyond one for each worker, after which it is no use to go on. */
const maxEarlyDeaths = 5;

/** Decides what follows on the death of a worker. */
export class Deaths {
  readonly #limit: number;
  #early = 0;
  total = 0;

  /** @param workers all of which may die at once for a reason that does not last */
  constructor(workers: number) {
    this.#limit = workers + maxEarlyDeaths;
  }

  /**
   * A worker has died.
   * @param livedMs since it was started
   * @returns milliseconds to wait before another takes its place, or `undefined` when none would live
   */
  next(livedMs: number): number | undefined {
    this.total++;
    if (livedMs >= shortLifeMs) this.#early = 0;
    this.#early++;
    if (this.#early > this.#limit) return undefined;
    if (this.#early === 1) return 0;
    return Math.min(longestPauseMs, firstPauseMs * 2 ** (this.#early - 2));
  }
}

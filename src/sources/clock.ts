/** Time as the cache sees it, so that its tests need no sleeping. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Runs `task` once after `ms` milliseconds; the answer calls that off. */
  after(ms: number, task: () => void): () => void;
  /** A number from 0 to 1, for jitter. */
  random(): number;
}

/** The clock of this machine; monotonic, so that a corrected system time neither keeps nor drops a value. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

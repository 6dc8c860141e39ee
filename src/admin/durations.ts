/** Upper bounds of a histogram of durations, in seconds: from what the proxy itself costs to a long event stream. */
export const bounds: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];
const inMs = bounds.map((seconds) => seconds * 1000);

/** What {@link Durations} counted. */
export interface DurationCounts {
  readonly counts: readonly number[];
  readonly sumMs: number;
}

/** Durations counted by size. Made for the request path: an observation is a short search and two additions. */
export class Durations {
  /** How many fell into each bound, and after the last one the rest. */
  readonly counts: number[] = Array.from({ length: bounds.length + 1 }, () => 0);
  sumMs = 0;

  observe(milliseconds: number): void {
    let at = 0;
    while (at < inMs.length && milliseconds > (inMs[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sumMs += milliseconds;
  }

  /** Adds what was counted elsewhere. */
  add({ counts, sumMs }: DurationCounts): void {
    for (const [at, count] of counts.entries()) this.counts[at] = (this.counts[at] ?? 0) + count;
    this.sumMs += sumMs;
  }

  /** Everything counted so far, which is forgotten here. */
  take(): DurationCounts {
    const taken = { counts: [...this.counts], sumMs: this.sumMs };
    this.counts.fill(0);
    this.sumMs = 0;
    return taken;
  }
}

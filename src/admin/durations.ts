/** Upper bounds of a histogram of durations, in seconds: from what the proxy itself costs to a long event stream. */
export const bounds: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];
const inMs = bounds.map((seconds) => seconds * 1000);

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
}

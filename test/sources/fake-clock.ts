import type { Clock } from "../../src/sources/clock.ts";

/** A clock that stands still until it is moved. Timers that came due run in the order of their moments. */
export function fakeClock(): Clock & { advance(ms: number): void; timers(): number } {
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  return {
    now: () => now,
    random: () => 0.5, // the middle: no jitter
    after(ms, task) {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    advance(ms) {
      const until = now + ms;
      for (;;) {
        const due = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers = timers.filter((other) => other !== due);
        now = due.at;
        due.task();
      }
      now = until;
    },
    timers: () => timers.length,
  };
}

/** Lets everything that is ready run. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5, the micro sign
  μs: 1e-3, // U+03BC, the Greek letter
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const grammar = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
const term = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;

/** Largest duration Go can hold: 2^63 - 1 nanoseconds, about 292 years. */
const longestMs = 9_223_372_036_854.775;

/**
 * Reads a duration as Go's `time.ParseDuration` does: decimal numbers each with a unit (`1h30m`, `1.5s`,
 * `250ms`), an optional sign, or a bare `0`.
 * @returns milliseconds, possibly fractional or negative; `undefined` when the text is not a duration
 */
export function parseDuration(text: string): number | undefined {
  if (text.length > 100) return undefined;
  if (/^[+-]?0$/.test(text)) return 0;
  if (!grammar.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(term))
    ms += Number(amount) * (units[unit as string] as number);
  if (ms > longestMs) return undefined;
  return text.startsWith("-") ? -ms : ms;
}

/** Milliseconds as people write them: `1h30m`, `10m`, `1.5s`, `250ms`, `0s`. Rounded to a millionth of its unit. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 1e-3) return `${round(ms * 1e6)}ns`;
  if (ms < 1) return `${round(ms * 1e3)}us`;
  if (ms < 1000) return `${round(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = round((ms % 60_000) / 1000);
  return `${hours > 0 ? `${hours}h` : ""}${minutes > 0 ? `${minutes}m` : ""}${seconds > 0 ? `${seconds}s` : ""}`;
}

/** Drops the noise of binary fractions, and keeps large and small numbers out of exponent notation. */
function round(value: number): number {
  return Number(value.toFixed(6));
}

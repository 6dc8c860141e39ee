import type { Contestant } from "./contestants.ts";

/** What one contestant did in one round of one scenario. */
export interface Sample {
  /** Requests, connections or transfers a second. */
  readonly rate: number;
  /** Milliseconds; absent where latency is not measured. */
  readonly p50?: number;
  readonly p99?: number;
  /** Microseconds of processor time for one request, connection or transfer. */
  readonly cpu: number;
  readonly peakMegabytes: number;
  readonly growthMegabytes: number;
  /** Part of the connections that resumed a TLS session. */
  readonly resumed?: number;
}

/** A scenario with the medians of both contestants. */
export interface Result {
  readonly scenario: string;
  readonly unit: string;
  readonly medians: Readonly<Record<Contestant["name"], Sample>>;
  /** Most that Sallyport may cost, in processor time of nginx. */
  readonly target?: number;
  /** Most that Sallyport's memory may grow, in megabytes. */
  readonly growthTarget?: number;
}

/** The median of every measure. */
function medianSample(samples: readonly Sample[]): Sample {
  const of = (pick: (sample: Sample) => number | undefined): number | undefined => {
    const values = samples.map(pick).filter((value) => value !== undefined);
    return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  };
  const [p50, p99, resumed] = [of((s) => s.p50), of((s) => s.p99), of((s) => s.resumed)];
  return {
    rate: of((s) => s.rate) ?? Number.NaN,
    cpu: of((s) => s.cpu) ?? Number.NaN,
    peakMegabytes: of((s) => s.peakMegabytes) ?? Number.NaN,
    growthMegabytes: of((s) => s.growthMegabytes) ?? Number.NaN,
    ...(p50 === undefined ? {} : { p50 }),
    ...(p99 === undefined ? {} : { p99 }),
    ...(resumed === undefined ? {} : { resumed }),
  };
}

export function mediansOf({
  nginx,
  sallyport,
}: Readonly<Record<Contestant["name"], readonly Sample[]>>): Result["medians"] {
  return { nginx: medianSample(nginx), sallyport: medianSample(sallyport) };
}

/** The results as a Markdown table: nginx, Sallyport, and Sallyport in terms of nginx. */
export function resultTable(results: readonly Result[]): string {
  const rows = [
    ["scenario", "", "rate /s", "p50 ms", "p99 ms", "CPU µs", "peak MB", "growth MB", "resumed"],
    ["---", "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:"],
  ];
  for (const { scenario, unit, medians } of results) {
    const { nginx, sallyport } = medians;
    rows.push([`${scenario} (per ${unit})`, "nginx", ...cells(nginx)]);
    rows.push(["", "Sallyport", ...cells(sallyport)]);
    rows.push(["", "ratio", ...ratios(nginx, sallyport)]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) => `| ${row.map((cell, column) => pad(cell, widths[column] ?? 0, column)).join(" | ")} |`)
    .join("\n");
}

function cells(sample: Sample): string[] {
  return [
    figure(sample.rate),
    figure(sample.p50),
    figure(sample.p99),
    figure(sample.cpu),
    figure(sample.peakMegabytes),
    figure(sample.growthMegabytes),
    sample.resumed === undefined ? "" : `${Math.round(sample.resumed * 100)} %`,
  ];
}

function ratios(nginx: Sample, sallyport: Sample): string[] {
  const ratio = (a: number | undefined, b: number | undefined): string =>
    a === undefined || b === undefined ? "" : `×${(a / b).toFixed(2)}`;
  return [
    ratio(sallyport.rate, nginx.rate),
    ratio(sallyport.p50, nginx.p50),
    ratio(sallyport.p99, nginx.p99),
    `**×${(sallyport.cpu / nginx.cpu).toFixed(2)}**`,
    "",
    "",
    "",
  ];
}

function figure(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function pad(cell: string, width: number, column: number): string {
  if (/^-+:?$/.test(cell))
    return cell.startsWith("-") && cell.endsWith(":") ? `${"-".repeat(width - 1)}:` : "-".repeat(width);
  return column < 2 ? cell.padEnd(width) : cell.padStart(width);
}

/** One line per target: what was aimed at, what came out, and whether that is enough. */
export function targetLines(results: readonly Result[]): {
  readonly lines: readonly string[];
  readonly missed: number;
} {
  const lines: string[] = [];
  let missed = 0;
  const check = (what: string, value: number, limit: number, show: (value: number) => string): void => {
    const passed = value <= limit;
    if (!passed) missed++;
    lines.push(`${passed ? "pass" : "FAIL"}  ${what}: ${show(value)}, at most ${show(limit)}`);
  };
  for (const { scenario, medians, target, growthTarget } of results) {
    const { nginx, sallyport } = medians;
    if (target !== undefined) {
      check(
        `${scenario}, processor time`,
        sallyport.cpu / nginx.cpu,
        target,
        (value) => `${value.toFixed(2)} × nginx`,
      );
    }
    if (growthTarget !== undefined) {
      const megabytes = (value: number): string => `${value.toFixed(0)} MB`;
      check(`${scenario}, growth of memory`, sallyport.growthMegabytes, growthTarget, megabytes);
    }
  }
  return { lines, missed };
}

/** One mechanism beside the swap, medians of the rounds. */
export interface MechanismRow {
  readonly name: string;
  /** Microseconds of processor time for one request. */
  readonly cpu: number;
  /** The same for the swap, measured in turns with it. */
  readonly swapCpu: number;
  /** Requests a second. */
  readonly rate: number;
  /** Most microseconds it may cost beyond the swap. */
  readonly target?: number;
}

/** One large upload. */
export interface UploadRow {
  readonly name: string;
  readonly megabytesPerSecond: number;
  /** Of the proxy. */
  readonly cpuSeconds: number;
  /** Above what it held before. */
  readonly growthMegabytes: number;
}

export function mechanismTable(rows: readonly MechanismRow[]): string {
  const cells = rows.map(({ name, cpu, swapCpu, rate }) => {
    const more = `${cpu >= swapCpu ? "+" : ""}${(cpu - swapCpu).toFixed(1)}`;
    return [name, rate.toFixed(0), cpu.toFixed(1), swapCpu.toFixed(1), more];
  });
  return markdownTable(["mechanism", "rate /s", "CPU µs", "swap, CPU µs", "difference µs"], cells);
}

export function uploadTable(rows: readonly UploadRow[]): string {
  const cells = rows.map(({ name, megabytesPerSecond, cpuSeconds, growthMegabytes }) => {
    return [name, megabytesPerSecond.toFixed(0), cpuSeconds.toFixed(2), growthMegabytes.toFixed(1)];
  });
  return markdownTable(["upload", "MB/s", "CPU s", "growth MB"], cells);
}

/** Markdown, the first column to the left and the others to the right. */
export function markdownTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(heads), line(rule), ...rows.map(line)].join("\n");
}

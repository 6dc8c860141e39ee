// What it costs to search answers for the credential that went out: two Sallyports in turns, one that does and one that
// does not.
import { type Contestant, downloadBytes, scrubbed, startOrigin, startSallyport } from "./contestants.ts";
import { transfers, wrk } from "./load.ts";
import { measure } from "./machine.ts";
import { markdownTable } from "./mechanism-report.ts";
import { inTurns, onStage } from "./stage.ts";
import type { Report } from "./pages.ts";

const connections = 64;
/** Most times the processor time of the same without scrubbing. */
const requestTarget = 1.1;
const downloadTarget = 2.5;
/** Most megabytes that the memory may grow while downloads pass. */
const growthTarget = 48;

export interface ScrubbingOptions {
  readonly nginx: string;
  readonly wrk: string;
  readonly seconds: number;
  readonly rounds: number;
  /** Downloads in a round. */
  readonly transfers: number;
  readonly nodeFlags: readonly string[];
}

interface Measured {
  /** Microseconds of processor time for one request or download. */
  readonly cpu: number;
  readonly growthMegabytes: number;
}

/** Markdown and what became of the targets. */
export function benchScrubbing(options: ScrubbingOptions): Promise<Report> {
  return onStage(async ({ directory, keys, start, target }) => {
    const origin = await start(startOrigin(options.nginx, directory, keys));
    const startOne = (scrub: "on" | "off"): Promise<Contestant> => {
      const pipeline = scrubbed(scrub, `scrub-${scrub}`, origin.port);
      return start(startSallyport(directory, keys, options.nodeFlags, pipeline));
    };
    const contestants = { off: await startOne("off"), on: await startOne("on") };
    const request = async (one: Contestant): Promise<Measured> => {
      const { result, cost } = await measure(one.pid, () =>
        wrk(options.wrk, target(one, origin.port), connections, options.seconds),
      );
      return { cpu: (cost.cpuSeconds / result.requests) * 1e6, growthMegabytes: cost.growthMegabytes };
    };
    const download = async (one: Contestant): Promise<Measured> => {
      const count = options.transfers;
      const { cost } = await measure(one.pid, () =>
        transfers(target(one, origin.port), "download", downloadBytes, count, 4),
      );
      return { cpu: (cost.cpuSeconds / count) * 1e6, growthMegabytes: cost.growthMegabytes };
    };
    const requests = medians(await inTurns("requests, scrub", contestants, options.rounds, request));
    const downloads = medians(await inTurns("downloads, scrub", contestants, options.rounds, download));
    return report(requests, downloads);
  });
}

type Pair = Readonly<Record<"on" | "off", Measured>>;

function medians({ on, off }: Readonly<Record<"on" | "off", readonly Measured[]>>): Pair {
  return { on: median(on), off: median(off) };
}

function median(samples: readonly Measured[]): Measured {
  const sorted = samples.toSorted((one, other) => one.cpu - other.cpu);
  return sorted[Math.floor(sorted.length / 2)] as Measured;
}

function report(requests: Pair, downloads: Pair): Report {
  const rows = [
    ["a warm request", requests, "µs", 1, requestTarget] as const,
    ["a download of 10 MiB", downloads, "ms", 1000, downloadTarget] as const,
  ];
  const cells = rows.map(([name, { on, off }, unit, scale]) => [
    `${name}, CPU ${unit}`,
    (off.cpu / scale).toFixed(1),
    (on.cpu / scale).toFixed(1),
    (on.cpu / off.cpu).toFixed(2),
  ]);
  let missed = 0;
  const check = (what: string, passed: boolean, found: string): string => {
    if (!passed) missed++;
    return `${passed ? "pass" : "FAIL"}  ${what}: ${found}`;
  };
  const targets = rows.map(([name, { on, off }, , , limit]) => {
    const times = on.cpu / off.cpu;
    return check(name, times <= limit, `${times.toFixed(2)} times as much as unscrubbed, at most ${limit}`);
  });
  const growth = downloads.on.growthMegabytes;
  targets.push(
    check("memory", growth <= growthTarget, `${growth.toFixed(0)} MB above idle, at most ${growthTarget}`),
  );
  return { tables: [markdownTable(["what", "off", "on", "times"], cells)], targets, missed };
}

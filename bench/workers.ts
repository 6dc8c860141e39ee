// Two workers against one process. The load generator and the origin have to share the cores of one machine with the
// proxy, so rates would measure them, and so would the share that each worker gets. What counts is how many requests two
// processors' time is good for with two workers, against one processor's with one process.
import { readFileSync } from "node:fs";
import { type Contestant, startOrigin, startSallyport, swap } from "./contestants.ts";
import { newConnections, wrk } from "./load.ts";
import { cpuSeconds } from "./machine.ts";
import { markdownTable } from "./mechanism-report.ts";
import { onStage } from "./stage.ts";
import type { Report } from "./pages.ts";

export interface WorkersOptions {
  readonly nginx: string;
  readonly wrk: string;
  readonly seconds: number;
  readonly rounds: number;
  /** Connections of the scenario where each is new. */
  readonly connections: number;
  readonly nodeFlags: readonly string[];
}

/** Processor time for one request, in microseconds. */
interface Measured {
  readonly all: number;
  /** Of the process that was started, which serves nothing where there are workers. */
  readonly first: number;
}

/** How many times as many requests two workers are to serve with two processors as one process with one. */
const leastGain = 1.8;

/** Markdown and what became of the targets. */
export function benchWorkers(options: WorkersOptions): Promise<Report> {
  return onStage(async ({ directory, keys, start, target }) => {
    const origin = await start(startOrigin(options.nginx, directory, keys));
    const startWith = (workers: number): Promise<Contestant> => {
      const pipeline = { ...swap(origin.port), name: `workers-${workers}`, proxy: { workers } };
      return start(startSallyport(directory, keys, options.nodeFlags, pipeline));
    };
    const one = await startWith(1);
    const two = await startWith(2);
    const kept = async (contestant: Contestant) => {
      return (await wrk(options.wrk, target(contestant, origin.port), 64, options.seconds)).requests;
    };
    const fresh = async (contestant: Contestant) => {
      await newConnections(target(contestant, origin.port), options.connections, 8, false);
      return options.connections;
    };
    const rows: string[][] = [];
    const targets: string[] = [];
    let missed = 0;
    for (const [name, work] of [
      ["64 kept connections", kept],
      ["new connection, full handshake", fresh],
    ] as const) {
      const single = await median(one, options.rounds, work);
      const pair = await median(two, options.rounds, work);
      const gain = (2 * single.all) / pair.all;
      rows.push([name, us(single.all), us(pair.all), us(pair.first), gain.toFixed(2)]);
      if (gain < leastGain) missed++;
      const verdict = gain < leastGain ? "missed" : "reached";
      targets.push(`- ${name}: two workers ${gain.toFixed(2)} times one; target ${leastGain}: ${verdict}`);
    }
    const heads = ["scenario", "one process, µs", "two workers, µs", "of it the first process, µs", "gain"];
    return { tables: [markdownTable(heads, rows)], targets, missed };
  });
}

/** The round in the middle; the first only warms up. */
async function median(
  contestant: Contestant,
  rounds: number,
  work: (contestant: Contestant) => Promise<number>,
): Promise<Measured> {
  const { pid } = contestant;
  await work(contestant);
  const samples: Measured[] = [];
  for (let round = 0; round < rounds; round++) {
    const pids = [pid, ...childrenOf(pid)];
    const before = pids.map(cpuOf);
    const requests = await work(contestant);
    const spent = pids.map((one, index) => ((cpuOf(one) - (before[index] as number)) / requests) * 1e6);
    const all = spent.reduce((sum, cost) => sum + cost);
    samples.push({ all, first: spent[0] as number });
  }
  return samples.toSorted((a, b) => a.all - b.all)[Math.floor(rounds / 2)] as Measured;
}

/** Of one process alone. */
function cpuOf(pid: number): number {
  return cpuSeconds(pid) - childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), 0);
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean).map(Number);
}

function us(microseconds: number): string {
  return microseconds.toFixed(0);
}

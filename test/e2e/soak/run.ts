// Plays scenes side by side until the time is over, while faults happen, and looks at what is left afterwards.
import { eventually, pause } from "../harness/wait.ts";
import { type FaultContext, faults } from "./faults.ts";
import { grpc } from "./grpc.ts";
import { h1, mortal } from "./h1.ts";
import { h2, mortalH2, vanishing } from "./h2.ts";
import { expectIdle } from "./idle.ts";
import { credentials, dns, passthrough } from "./others.ts";
import { descriptors, resident } from "./process.ts";
import { openResidents } from "./residents.ts";
import { pick, randomOf, type Scene, type Stage, Weathered } from "./stage.ts";
import { websocket, websocketH2 } from "./websocket.ts";

const scenes: readonly Scene[] = [
  h1,
  mortal,
  h2,
  vanishing,
  mortalH2,
  grpc,
  websocket,
  websocketH2,
  dns,
  passthrough,
  credentials,
];
/** Workloads that play scenes side by side. */
const players = 12;
/** Shorter runs say nothing about memory: code is still being compiled, and caches fill. */
const memoryAfter = 60;
/** Growth of a process's resident memory that is the collector's business, not a leak. */
const residentTolerance = 64 * 1024 * 1024;

export interface RunOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Processes that serve. */
  readonly workers: number;
  readonly report: (line: string) => void;
  /** `ip:port` of the proxy's metrics. */
  readonly metrics: string;
}

/** What a run came to; sizes in bytes. */
export interface RunResult {
  readonly seconds: number;
  /** How often each kind of exchange was made. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Scenes that a fault ended. */
  readonly weathered: number;
  /** How often each fault was made. */
  readonly faults: Readonly<Record<string, number>>;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  /** The least of the second fifth, when caches are full and code is compiled; of the last fifth; and the most. */
  readonly residentWarm: number;
  readonly residentAfter: number;
  readonly residentPeak: number;
}

/** @throws {Error} when an answer was wrong, something hung, or something was left behind */
export async function run(context: FaultContext, options: RunOptions): Promise<RunResult> {
  const { stage } = context;
  const { seconds, seed, workers, report, metrics } = options;
  const { pid } = stage.world.proxy;
  const descriptorsBefore = descriptors(pid);
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  let failed = false;
  let turns = 0;
  // Every fault is made at least once.
  const isOver = () => failed || (turns > 0 && passed() >= seconds);
  const memory = watchMemory(pid, passed, seconds);
  const faultCounts: Record<string, number> = {};
  let weathered = 0;

  const player = async (number: number): Promise<void> => {
    const own: Stage = { ...stage, random: randomOf(seed * 1000 + number) };
    while (!isOver()) {
      const scene = pick(own.random, scenes);
      try {
        await scene.play(own);
      } catch (error) {
        if (!(error instanceof Weathered)) {
          const place = `seed ${seed}, at ${passed().toFixed(1)} s, ${scene.name}`;
          throw new Error(`${place}: ${(error as Error).message}`, { cause: error });
        }
        weathered++;
      }
    }
  };
  const makeFaults = async (): Promise<void> => {
    for (; !isOver(); turns++) {
      for (const fault of faults) {
        if (isOver()) break;
        report(`${passed().toFixed(0)} s: ${fault.name}; ${sum(stage.counts)} exchanges, ${memory.text()}`);
        await fault.run(context, turns).catch((error: Error) => {
          throw new Error(`${fault.name}: ${error.message}`);
        });
        faultCounts[fault.name] = (faultCounts[fault.name] ?? 0) + 1;
        await pause(context.longestMs / 2);
      }
    }
  };
  const all = async (): Promise<void> => {
    const residents = await openResidents(stage, isOver);
    const tasks = [
      residents(),
      makeFaults(),
      ...Array.from({ length: players }, (_, number) => player(number)),
    ];
    for (const task of tasks) {
      task.catch(() => {
        failed = true;
      });
    }
    const outcomes = await Promise.allSettled(tasks);
    const first = outcomes.find(({ status }) => status === "rejected");
    if (first?.status === "rejected") throw first.reason;
  };
  try {
    await all();
  } finally {
    memory.stop();
  }
  const took = passed();
  report(`${took.toFixed(0)} s: over; waiting until nothing moves`);
  for (const client of stage.world.context.clients) client.close();
  await eventually("no client is left", () => stage.world.context.clients.size === 0);
  await expectIdle(stage.world, metrics, descriptorsBefore);
  const { warm, last, peak } = memory;
  if (seconds >= memoryAfter && last() - warm() > residentTolerance * workers) {
    throw new Error(`memory grew from ${warm()} to ${last()} bytes`);
  }
  return {
    seconds: took,
    kinds: stage.counts,
    weathered,
    faults: faultCounts,
    descriptorsBefore,
    descriptorsAfter: descriptors(pid),
    residentWarm: warm(),
    residentAfter: last(),
    residentPeak: peak(),
  };
}

/** Looks at the memory ten times a second; the least of a while is what the collector cannot take away. */
function watchMemory(pid: number, passed: () => number, seconds: number) {
  let warm = Number.POSITIVE_INFINITY;
  let last = Number.POSITIVE_INFINITY;
  let peak = 0;
  const timer = setInterval(() => {
    const now = resident(pid);
    peak = Math.max(peak, now);
    const fifth = Math.floor((passed() / seconds) * 5);
    if (fifth === 1) warm = Math.min(warm, now);
    if (fifth >= 4) last = Math.min(last, now);
  }, 100);
  const known = (value: number) => (Number.isFinite(value) ? value : 0);
  return {
    warm: () => known(warm),
    last: () => known(last),
    peak: () => peak,
    text: () => `${Math.round(resident(pid) / 1e6)} MB, ${descriptors(pid)} descriptors`,
    stop: () => clearInterval(timer),
  };
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

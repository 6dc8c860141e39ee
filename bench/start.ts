// From the start of the process to the first answer that came through it, a TLS handshake on both sides included.
import { startOrigin, startSallyport, swap } from "./contestants.ts";
import { newConnections } from "./load.ts";
import { cpuSeconds } from "./machine.ts";
import { markdownTable } from "./mechanism-report.ts";
import type { Report } from "./pages.ts";
import { inTurns, onStage } from "./stage.ts";

const targetMs = 400;

export interface StartOptions {
  readonly nginx: string;
  readonly rounds: number;
  readonly nodeFlags: readonly string[];
}

interface Sample {
  readonly ms: number;
  readonly cpuMs: number;
}

/** The first start only fills the cache of compiled code. */
export function benchStart({ nginx, rounds, nodeFlags }: StartOptions): Promise<Report> {
  return onStage(async ({ directory, keys, start, target }) => {
    const origin = await start(startOrigin(nginx, directory, keys));
    let count = 0;
    const { sallyport } = await inTurns("start", { sallyport: origin }, rounds, async ({ port }) => {
      const began = performance.now();
      const pipeline = { ...swap(port), name: `start-${count++}` };
      const started = await startSallyport(directory, keys, nodeFlags, pipeline);
      try {
        await newConnections(target(started, port), 1, 1, false);
        return { ms: performance.now() - began, cpuMs: cpuSeconds(started.pid) * 1000 };
      } finally {
        await started.stop();
      }
    });
    const { ms, cpuMs } = median(sallyport);
    const passed = ms <= targetMs;
    return {
      tables: [
        markdownTable(
          ["start to first answer, ms", "processor time, ms"],
          [[ms.toFixed(0), cpuMs.toFixed(0)]],
        ),
      ],
      targets: [
        `${passed ? "pass" : "FAIL"}  start to first answer: ${ms.toFixed(0)} ms, at most ${targetMs}`,
      ],
      missed: passed ? 0 : 1,
    };
  });
}

function median(samples: readonly Sample[]): Sample {
  return samples.toSorted((one, other) => one.ms - other.ms)[Math.floor(samples.length / 2)] as Sample;
}

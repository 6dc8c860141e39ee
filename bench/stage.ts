// What every benchmark runs in: a folder, keys, and processes that end with it; and how contestants take turns.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contestant } from "./contestants.ts";
import { type Keys, makeKeys } from "./keys.ts";
import type { Target } from "./load.ts";

interface Stoppable {
  stop(): Promise<void>;
}

export interface Stage {
  readonly directory: string;
  readonly keys: Keys;
  /** Hands on what was started, and stops it at the end, before all that was started earlier. */
  start<Started extends Stoppable>(starting: Promise<Started>): Promise<Started>;
  /** The origin at a port of `localhost`, through a contestant. */
  target(contestant: Contestant, origin: number): Target;
}

/** Gives what `run` gives; stops everything and removes the folder whatever becomes of it. */
export async function onStage<Value>(run: (stage: Stage) => Promise<Value>): Promise<Value> {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  const running: Stoppable[] = [];
  try {
    const keys = makeKeys(directory);
    return await run({
      directory,
      keys,
      async start(starting) {
        const started = await starting;
        running.unshift(started);
        return started;
      },
      target: ({ port }, origin) => ({ port, host: `localhost:${origin}`, caCert: keys.caCert }),
    });
  } finally {
    for (const one of running) await one.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Runs a scenario with each contestant in turn, `rounds` times, after a round that only warms up: compiled code, pools,
 * session caches. With one round there is no other.
 * @param contestants by the names that are printed
 * @returns the samples of each
 * @throws Error that names the scenario and the contestant
 */
export async function inTurns<Name extends string, One, Sample>(
  scenario: string,
  contestants: Readonly<Record<Name, One>>,
  rounds: number,
  run: (contestant: One) => Promise<Sample>,
): Promise<Readonly<Record<Name, Sample[]>>> {
  const names = Object.keys(contestants) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Sample[]>;
  for (let round = rounds > 1 ? -1 : 0; round < rounds; round++) {
    for (const name of names) {
      console.error(`${scenario}: ${name}, ${round < 0 ? "warming up" : `round ${round + 1}`}`);
      const sample = await run(contestants[name]).catch((error: unknown) => {
        throw new Error(`${scenario}, ${name}: ${(error as Error).message}`, { cause: error });
      });
      if (round >= 0) samples[name].push(sample);
    }
  }
  return samples;
}

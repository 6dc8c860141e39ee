// `npm run soak [-- --seconds 300 --seed 1 --workers 2]`: every protocol at once for minutes, with faults of every kind. In
// the end memory and descriptors are where they were, nothing moves, and the audit has one record for each exchange.
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Books } from "./soak/books.ts";
import { clockVariables } from "./soak/faults.ts";
import { metricsOf } from "./soak/idle.ts";
import { run, type RunResult } from "./soak/run.ts";
import { randomOf, type Stage, Weather } from "./soak/stage.ts";
import { startUpstreams } from "./soak/upstreams.ts";
import { descriptorLimit, soakWorld } from "./soak/world.ts";

export interface SoakOptions {
  readonly seconds: number;
  /** The same seed plays the same scenes; how they meet is up to the machine. */
  readonly seed: number;
  /** `proxy.workers`; 1 for no process besides the first. */
  readonly workers: number;
  /** Lets the proxy's clock jump, where the machine has libfaketime. */
  readonly clock: boolean;
  /** Told of progress. */
  readonly report: (line: string) => void;
}

export interface SoakResult extends RunResult {
  /** Connections that an HTTP/2 upstream ended for reasons of its own. */
  readonly givenUp: number;
  readonly auditRecords: number;
  /** How often the audit has each reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** Shorter than this and each fault is made once, and briefly. */
const longRun = 60;

/**
 * Runs it and checks what is in {@link SoakResult}.
 * @throws {Error} when an answer was wrong, something hung or was left behind, or the audit is not exact
 */
export async function soak({ seconds, seed, workers, clock, report }: SoakOptions): Promise<SoakResult> {
  const clockFile = join(tmpdir(), `sallyport-soak-clock-${process.pid}`);
  const variables = clock ? clockVariables(clockFile) : undefined;
  if (clock && variables === undefined) report("the clock does not jump: this machine has no libfaketime");
  const world = await soakWorld(workers, variables ?? {});
  const { proxy } = world;
  const weather = new Weather();
  let givenUp = 0;
  const upstreams = await startUpstreams(world, () => {
    givenUp++;
    weather.blow();
  });
  let closed = false;
  try {
    world.dns.set("real.e2e.test", ["203.0.113.9"]);
    const addressOf = async (line: string) => String((await proxy.line(line))["addr"]);
    const metrics = await addressOf("metrics server starting");
    await metricsOf(metrics);
    const stage: Stage = {
      world,
      upstreams,
      dns: await addressOf("dns server starting"),
      books: new Books(),
      weather,
      counts: {},
      random: randomOf(seed),
    };
    const { host = "", port = 0 } = proxy.addresses.tunnel ?? {};
    process.env["grpc_proxy"] = `http://${host}:${port}`;
    const rotated: string[] = [];
    const began = performance.now();
    const result = await run(
      {
        stage,
        descriptorLimit: descriptorLimit * workers,
        clockFile: variables === undefined ? undefined : clockFile,
        rotated,
        longestMs: seconds < longRun ? 500 : 4000,
      },
      { seconds, seed, workers, report, metrics },
    );
    await proxy.stop();
    const files = [...rotated, proxy.audit.file];
    const balance = await stage.books.balance(files, world.canary, performance.now() - began);
    closed = true;
    await world.close();
    return { ...result, givenUp, auditRecords: balance.records, reasons: balance.reasons };
  } finally {
    delete process.env["grpc_proxy"];
    rmSync(clockFile, { force: true });
    await upstreams.close();
    if (!closed) await world.close().catch(() => {});
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "300" },
      seed: { type: "string", default: "1" },
      workers: { type: "string", default: "1" },
    },
  });
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const result = await soak({
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    workers: Number(values.workers),
    clock: true,
    report: say,
  });
  say(JSON.stringify(result, null, 2));
}

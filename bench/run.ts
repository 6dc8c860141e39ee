// Sallyport against nginx doing the same work, in the same run on the same machine: TLS on both sides, one
// credential put in, one line of log. What counts is processor time; rates depend on who else wants the cores.
import { parseArgs } from "node:util";
import {
  type Contestant,
  downloadBytes,
  startNginxProxy,
  startOrigin,
  startSallyport,
  swap,
} from "./contestants.ts";
import { benchGrpc } from "./grpc.ts";
import { h2load, newConnections, type Target, transfers, wrk } from "./load.ts";
import { describeMachine, findProgram, measure } from "./machine.ts";
import { benchMechanisms } from "./mechanisms.ts";
import { benchScrubbing } from "./scrub.ts";
import { type Report, type Page, pages, writePage } from "./pages.ts";
import { benchStart } from "./start.ts";
import { benchStreams } from "./streams.ts";
import { benchWorkers } from "./workers.ts";
import { mediansOf, type Result, resultTable, type Sample, targetLines } from "./report.ts";
import { inTurns, onStage } from "./stage.ts";

const usage = `npm run bench -- [options]
  --mechanisms   what each credential mechanism costs beside the plain swap, in place of all this
  --scrub        what it costs to search answers for the credential, in place of all this
  --grpc         unary calls, in place of all this
  --streams      64 WebSockets that echo and 1000 open event streams, in place of all this
  --workers      two workers against one process, in place of all this
  --start        how long it takes from the start of the process to the first answer, in place of all this
  --smoke        a second of everything at 16 connections: proves that it works
  --only NAME    only scenarios (or mechanisms) whose name begins so
  --seconds N    length of a round with kept connections (5)
  --rounds N     rounds per contestant, of which the median counts (3)
  --write        put the result into bench/RESULTS.md, or the file of what is measured in its place
  --profile DIR  write a CPU profile of Sallyport there, for Chrome's developer tools
  --require      fail where nginx, wrk or openssl are missing, instead of skipping`;

interface Scenario {
  readonly name: string;
  readonly unit: string;
  readonly target?: number;
  readonly growthTarget?: number;
  run(contestant: Contestant, target: Target): Promise<Sample>;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      mechanisms: { type: "boolean", default: false },
      scrub: { type: "boolean", default: false },
      grpc: { type: "boolean", default: false },
      streams: { type: "boolean", default: false },
      workers: { type: "boolean", default: false },
      start: { type: "boolean", default: false },
      smoke: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      write: { type: "boolean", default: false },
      profile: { type: "string" },
      require: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [nginx, wrkProgram] = [findProgram("nginx"), findProgram("wrk")];
  if (nginx === undefined || wrkProgram === undefined || findProgram("openssl") === undefined) {
    console.log("skipped: needs nginx, wrk and openssl (Debian: apt-get install nginx-light wrk openssl)");
    return values.require ? 1 : 0;
  }
  const rounds = values.smoke ? 1 : Number(values.rounds);
  const seconds = values.smoke ? 1 : Number(values.seconds);
  const flags = values.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${values.profile}`];
  const { smoke, only } = values;
  const common = { nginx, seconds, rounds, nodeFlags: flags };
  const report = (page: Page, measured: Report): number => {
    const { tables, targets, missed } = measured;
    console.log([...tables, targets.join("\n")].join("\n\n"));
    if (smoke) return 0;
    if (values.write) writePage(page, measured, describeMachine(nginx, wrkProgram));
    return missed === 0 ? 0 : 1;
  };
  if (values.mechanisms) {
    const megabytes = smoke ? 64 : 1024;
    return report(pages.mechanisms, await benchMechanisms({ ...common, wrk: wrkProgram, only, megabytes }));
  }
  if (values.scrub) {
    const transfers = smoke ? 4 : 40;
    return report(pages.scrubbing, await benchScrubbing({ ...common, wrk: wrkProgram, transfers }));
  }
  if (values.workers) {
    const connections = smoke ? 50 : 1500;
    return report(pages.workers, await benchWorkers({ ...common, wrk: wrkProgram, connections }));
  }
  if (values.grpc) {
    const program = findProgram("h2load");
    if (program === undefined) {
      console.log("skipped: needs h2load (Debian: apt-get install nghttp2-client)");
      return values.require ? 1 : 0;
    }
    const table = await benchGrpc({ ...common, h2load: program });
    return report(pages.grpc, { tables: [table], targets: [], missed: 0 });
  }
  if (values.streams) {
    return report(pages.streams, await benchStreams({ ...common, streams: smoke ? 50 : 1000 }));
  }
  if (values.start) return report(pages.start, await benchStart(common));
  const scenarios = (values.smoke ? smokeScenarios(wrkProgram) : allScenarios(wrkProgram, seconds)).filter(
    ({ name }) => name.startsWith(values.only),
  );
  if (scenarios.length === 0) {
    console.error(
      `--only ${values.only}: no such scenario; there are ${names(allScenarios(wrkProgram, seconds))}`,
    );
    return 2;
  }
  const results = await runAll(nginx, scenarios, rounds, flags);
  const { lines, missed } = targetLines(results);
  return report(pages.results, { tables: [resultTable(results)], targets: lines, missed });
}

function allScenarios(wrkProgram: string, seconds: number): readonly Scenario[] {
  return [
    keptConnections(wrkProgram, 1, seconds),
    keptConnections(wrkProgram, 16, seconds),
    { ...keptConnections(wrkProgram, 64, seconds), target: 2 },
    keptConnections(wrkProgram, 256, seconds),
    ...http2Streams(4, 16, seconds),
    ...http2Streams(1, 64, seconds).map((scenario) => ({ ...scenario, target: 3 })),
    { ...connectionPerRequest("new connection, full handshake", 1500, false), target: 4.5 },
    connectionPerRequest("new connection, resumed session", 1500, true),
    { ...bodies("download", 60), target: 1.5, growthTarget: 48 },
    { ...bodies("upload", 60), target: 1.5, growthTarget: 48 },
  ];
}

function smokeScenarios(wrkProgram: string): readonly Scenario[] {
  return [
    keptConnections(wrkProgram, 16, 1),
    ...http2Streams(1, 64, 1),
    connectionPerRequest("new connection, full handshake", 50, false),
    connectionPerRequest("new connection, resumed session", 50, true),
    bodies("download", 4),
    bodies("upload", 4),
  ];
}

function keptConnections(wrkProgram: string, connections: number, seconds: number): Scenario {
  return {
    name: `${connections} kept connection${connections === 1 ? "" : "s"}`,
    unit: "request",
    async run(contestant, target) {
      const { result, cost } = await measure(contestant.pid, () =>
        wrk(wrkProgram, target, connections, seconds),
      );
      const { requests, requestsPerSecond: rate, p50, p99 } = result;
      return { ...cost, rate, p50, p99, cpu: (cost.cpuSeconds / requests) * 1e6 };
    },
  };
}

/** HTTP/2 to the contestant, HTTP/1.1 from there: what nginx does. Nothing where h2load is missing. */
function http2Streams(connections: number, streams: number, seconds: number): readonly Scenario[] {
  const program = findProgram("h2load");
  if (program === undefined) {
    console.error("skipping HTTP/2: needs h2load (Debian: apt-get install nghttp2-client)");
    return [];
  }
  return [
    {
      name: `HTTP/2, ${connections} x ${streams} streams`,
      unit: "request",
      async run(contestant, target) {
        const { result, cost } = await measure(contestant.pid, () =>
          h2load(program, target, connections, streams, seconds),
        );
        const { requests, requestsPerSecond: rate } = result;
        return { ...cost, rate, cpu: (cost.cpuSeconds / requests) * 1e6 };
      },
    },
  ];
}

function connectionPerRequest(name: string, count: number, resume: boolean): Scenario {
  return {
    name,
    unit: "connection and request",
    async run(contestant, target) {
      const began = performance.now();
      const { result, cost } = await measure(contestant.pid, () => newConnections(target, count, 8, resume));
      const rate = count / ((performance.now() - began) / 1000);
      return { ...cost, rate, cpu: (cost.cpuSeconds / count) * 1e6, resumed: result.resumed / count };
    },
  };
}

function bodies(direction: "download" | "upload", count: number): Scenario {
  return {
    name: `${direction} of 10 MiB`,
    unit: "transfer",
    async run(contestant, target) {
      const began = performance.now();
      const { cost } = await measure(contestant.pid, () =>
        transfers(target, direction, downloadBytes, count, 4),
      );
      const rate = count / ((performance.now() - began) / 1000);
      return { ...cost, rate, cpu: (cost.cpuSeconds / count) * 1e6 };
    },
  };
}

function runAll(
  nginx: string,
  scenarios: readonly Scenario[],
  rounds: number,
  nodeFlags: readonly string[],
): Promise<readonly Result[]> {
  return onStage(async ({ directory, keys, start, target }) => {
    const origin = await start(startOrigin(nginx, directory, keys));
    const contestants = {
      nginx: await start(startNginxProxy(nginx, directory, keys, origin)),
      sallyport: await start(startSallyport(directory, keys, nodeFlags, swap(origin.port))),
    };
    const results: Result[] = [];
    for (const scenario of scenarios) {
      const { name, unit, target: limit, growthTarget } = scenario;
      const samples = await inTurns(name, contestants, rounds, (contestant: Contestant) =>
        scenario.run(contestant, target(contestant, origin.port)),
      );
      results.push({
        scenario: name,
        unit,
        medians: mediansOf(samples),
        ...(limit === undefined ? {} : { target: limit }),
        ...(growthTarget === undefined ? {} : { growthTarget }),
      });
    }
    return results;
  });
}

function names(scenarios: readonly Scenario[]): string {
  return scenarios.map(({ name }) => `"${name}"`).join(", ");
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}

// Sallyport against nginx doing the same work, in the same run on the same machine: TLS on both sides, one
// credential put in, one line of log. What counts is processor time; rates depend on who else wants the cores.
import { writeFileSync } from "node:fs";
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
  --smoke        a second of everything at 16 connections: proves that it works
  --only NAME    only scenarios (or mechanisms) whose name begins so
  --seconds N    length of a round with kept connections (5)
  --rounds N     rounds per contestant, of which the median counts (3)
  --write        put the result into bench/RESULTS.md, or bench/MECHANISMS.md
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
  if (values.mechanisms) {
    const { smoke, only, write } = values;
    const megabytes = smoke ? 64 : 1024;
    const options = { nginx, wrk: wrkProgram, seconds, rounds, only, megabytes, nodeFlags: flags };
    const { tables, targets, missed } = await benchMechanisms(options);
    console.log(`${tables.join("\n\n")}\n\n${targets.join("\n")}`);
    if (smoke) return 0;
    if (write) writePage(pages.mechanisms, tables, targets, describeMachine(nginx, wrkProgram));
    return missed === 0 ? 0 : 1;
  }
  if (values.scrub) {
    const { smoke, write } = values;
    const options = { nginx, wrk: wrkProgram, seconds, rounds, transfers: smoke ? 4 : 40, nodeFlags: flags };
    const { table, targets, missed } = await benchScrubbing(options);
    console.log(`${table}\n\n${targets.join("\n")}`);
    if (smoke) return 0;
    if (write) writePage(pages.scrubbing, [table], targets, describeMachine(nginx, wrkProgram));
    return missed === 0 ? 0 : 1;
  }
  if (values.workers) {
    const connections = values.smoke ? 50 : 1500;
    const options = { nginx, wrk: wrkProgram, seconds, rounds, connections, nodeFlags: flags };
    const { table, targets, missed } = await benchWorkers(options);
    console.log(`${table}\n\n${targets.join("\n")}`);
    return missed === 0 || values.smoke ? 0 : 1;
  }
  if (values.grpc) {
    const program = findProgram("h2load");
    if (program === undefined) {
      console.log("skipped: needs h2load (Debian: apt-get install nghttp2-client)");
      return values.require ? 1 : 0;
    }
    console.log(await benchGrpc({ nginx, h2load: program, seconds, rounds, nodeFlags: flags }));
    return 0;
  }
  if (values.streams) {
    const options = { nginx, seconds, rounds, streams: values.smoke ? 50 : 1000, nodeFlags: flags };
    const { table, targets, missed } = await benchStreams(options);
    console.log(`${table}\n\n${targets.join("\n")}`);
    return missed === 0 || values.smoke ? 0 : 1;
  }
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
  const table = resultTable(results);
  console.log(table);
  if (values.smoke) return 0;
  const { lines, missed } = targetLines(results);
  console.log(`\n${lines.join("\n")}`);
  if (values.write) writePage(pages.results, [table], lines, describeMachine(nginx, wrkProgram));
  return missed === 0 ? 0 : 1;
}

function allScenarios(wrkProgram: string, seconds: number): readonly Scenario[] {
  return [
    keptConnections(wrkProgram, 1, seconds),
    keptConnections(wrkProgram, 16, seconds),
    { ...keptConnections(wrkProgram, 64, seconds), target: 2.2 },
    keptConnections(wrkProgram, 256, seconds),
    ...http2Streams(4, 16, seconds),
    ...http2Streams(1, 64, seconds).map((scenario) => ({ ...scenario, target: 3 })),
    { ...connectionPerRequest("new connection, full handshake", 1500, false), target: 5.5 },
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

/** What a file of measurements has besides the machine: its name, its heading and how its figures came about. */
interface Page {
  readonly file: string;
  readonly title: string;
  readonly about: string;
}

const pages = {
  results: {
    file: "RESULTS.md",
    title: "Measured against nginx",
    about: `Written by \`npm run bench -- --write\`. Both proxies do the same work in the same run: TLS from the client, one
credential put into \`Authorization\`, verified TLS to the same upstream from a pool, one line of log. CPU is the
processor time of all of the proxy's processes for one request; the median of the rounds counts. Rates depend on the
load generator and the upstream, which share the machine's cores.`,
  },
  mechanisms: {
    file: "MECHANISMS.md",
    title: "What the mechanisms cost",
    about: `Written by \`npm run bench -- --mechanisms --write\`. Each mechanism and the plain swap of a placeholder take turns in the
same run, at 64 connections, with a POST of 1 kB; tokens are minted and credentials read before the first round that counts. CPU
is processor time of the proxy for one request. The uploads are 1 GiB each.`,
  },
  scrubbing: {
    file: "SCRUBBING.md",
    title: "What scrubbing costs",
    about: `Written by \`npm run bench -- --scrub --write\`. Two Sallyports take turns in the same run, one with \`scrub: on\` and one with
\`scrub: off\`: small answers at 64 kept connections, and downloads of 10 MiB without a content coding. CPU is processor time
of the proxy; the median of the rounds counts.`,
  },
} as const satisfies Record<string, Page>;

function writePage(
  { file, title, about }: Page,
  tables: readonly string[],
  targets: readonly string[],
  machine: readonly (readonly [string, string])[],
): void {
  const text = `# ${title}

${about}

| | |
|---|---|
${machine.map(([key, value]) => `| ${key} | ${value} |`).join("\n")}

${tables.join("\n\n")}

\`\`\`
${targets.join("\n")}
\`\`\`
`;
  writeFileSync(new URL(file, import.meta.url), text);
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

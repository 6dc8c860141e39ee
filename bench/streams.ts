// client ── TLS ──▶ contestant (nginx or Sallyport) ── TLS ──▶ origin: 64 WebSockets that echo, 1000 open event streams
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import {
  type Contestant,
  placeholder,
  serverTls,
  startNginxContestant,
  startProgram,
  startSallyport,
  swap,
} from "./contestants.ts";
import type { Keys } from "./keys.ts";
import { measure, residentMegabytes, sleep } from "./machine.ts";
import type { Report } from "./pages.ts";
import { mediansOf, type Result, resultTable, type Sample } from "./report.ts";
import { inTurns, onStage } from "./stage.ts";

const webSockets = 64;
/** Open event streams whose events are timed: with a thousand, origin and client take longer than any proxy. */
const timedStreams = 50;
/** Most milliseconds that the median event may take. */
const delayTarget = 1;
/** Most megabytes that the open streams may take. */
const memoryTarget = 120;

export interface StreamOptions {
  readonly nginx: string;
  readonly seconds: number;
  readonly rounds: number;
  /** Event streams open at a time. */
  readonly streams: number;
  readonly nodeFlags: readonly string[];
}

interface Setting {
  readonly contestant: Contestant;
  /** Megabytes it took before it had served anyone. */
  readonly idle: number;
  /** Value of the Host field: the origin's authority. */
  readonly host: string;
  readonly ca: string;
}

/** Markdown and what became of the targets. */
export function benchStreams(options: StreamOptions): Promise<Report> {
  return onStage(async ({ directory, keys, start }) => {
    const { port } = await start(startProgram("stream-origin.ts", keys));
    const contestants = {
      nginx: await start(startNginxProxy(options.nginx, directory, keys, port)),
      sallyport: await start(startSallyport(directory, keys, options.nodeFlags, swap(port))),
    };
    const ca = readFileSync(keys.caCert, "utf8");
    const idle = new Map(Object.values(contestants).map(({ pid }) => [pid, residentMegabytes(pid)]));
    const results: Result[] = [];
    for (const { name, unit, run } of [
      echoing(options.seconds),
      listening(timedStreams, options.seconds),
      listening(options.streams, options.seconds),
    ]) {
      const samples = await inTurns(name, contestants, options.rounds, async (contestant: Contestant) => {
        const sample = await run({
          contestant,
          idle: idle.get(contestant.pid) as number,
          host: `localhost:${port}`,
          ca,
        });
        await sleep(1000);
        return sample;
      });
      results.push({ scenario: name, unit, medians: mediansOf(samples) });
    }
    return { tables: [resultTable(results)], ...targetsOf(results) };
  });
}

function targetsOf([, timed, many]: readonly Result[]): Omit<Report, "tables"> {
  const { p50 = Number.NaN } = (timed as Result).medians.sallyport;
  const nginx = (timed as Result).medians.nginx.p50 ?? Number.NaN;
  const { growthMegabytes } = (many as Result).medians.sallyport;
  const checks = [
    [
      p50 <= delayTarget,
      `delay of an event, median: ${p50.toFixed(2)} ms (nginx ${nginx.toFixed(2)}), at most ${delayTarget}`,
    ],
    [
      growthMegabytes <= memoryTarget,
      `open streams: ${growthMegabytes.toFixed(0)} MB above idle, at most ${memoryTarget}`,
    ],
  ] as const;
  const targets = checks.map(([passed, text]) => `${passed ? "pass" : "FAIL"}  ${text}`);
  return { targets, missed: checks.filter(([passed]) => !passed).length };
}

/** Every WebSocket sends a message of 100 bytes, waits until it is back, and sends the next. */
function echoing(seconds: number) {
  return {
    name: `${webSockets} WebSockets echoing`,
    unit: "message there and back",
    async run({ contestant, host, ca }: Setting): Promise<Sample> {
      const open = Array.from({ length: webSockets }, async () => {
        const socket = new WebSocket(`wss://localhost:${contestant.port}/ws`, {
          ca,
          perMessageDeflate: false,
          headers: { Host: host, Authorization: `Bearer ${placeholder}` },
        });
        await once(socket, "open");
        return socket;
      });
      const sockets = await Promise.all(open);
      const message = Buffer.alloc(100, "m");
      let count = 0;
      const delays: number[] = [];
      const { cost } = await measure(contestant.pid, async () => {
        let over = false;
        for (const socket of sockets) {
          let since = 0;
          const say = (): void => {
            since = performance.now();
            socket.send(message);
          };
          socket.on("message", () => {
            count++;
            delays.push(performance.now() - since);
            if (!over) say();
          });
          say();
        }
        await sleep(seconds * 1000);
        over = true;
      });
      for (const socket of sockets) socket.terminate();
      return { ...cost, ...percentiles(delays), rate: count / seconds, cpu: (cost.cpuSeconds / count) * 1e6 };
    },
  };
}

/** Event streams that are open at a time, each with two events a second; the delay is from origin to client. */
function listening(streams: number, seconds: number) {
  return {
    name: `${streams} open event streams`,
    unit: "event",
    async run({ contestant, idle, host, ca }: Setting): Promise<Sample> {
      const delays: number[] = [];
      const sockets: TLSSocket[] = [];
      for (let opened = 0; opened < streams; opened += 50) {
        const some = Array.from({ length: Math.min(50, streams - opened) }, () =>
          openStream(contestant, host, ca),
        );
        sockets.push(...(await Promise.all(some)));
      }
      for (const socket of sockets) {
        socket.on("data", (chunk: Buffer) => {
          const now = process.hrtime.bigint();
          for (const [, at = ""] of chunk.toString("latin1").matchAll(/data: (\d+)\n/g)) {
            delays.push(Number(now - BigInt(at)) / 1e6);
          }
        });
      }
      await sleep(1000);
      delays.length = 0;
      const { cost } = await measure(contestant.pid, () => sleep(seconds * 1000));
      const count = delays.length;
      const growthMegabytes = residentMegabytes(contestant.pid) - idle;
      for (const socket of sockets) socket.destroy();
      const cpu = (cost.cpuSeconds / count) * 1e6;
      return { ...cost, ...percentiles(delays), growthMegabytes, rate: count / seconds, cpu };
    },
  };
}

async function openStream({ port }: Contestant, host: string, ca: string): Promise<TLSSocket> {
  const socket = connect({
    port,
    host: "127.0.0.1",
    servername: "localhost",
    ca,
    ALPNProtocols: ["http/1.1"],
  });
  await once(socket, "secureConnect");
  socket.write(`GET /events HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`);
  const [head] = (await once(socket, "data")) as [Buffer];
  if (!head.toString("latin1").startsWith("HTTP/1.1 200 "))
    throw new Error(`no event stream: ${head.toString()}`);
  return socket;
}

function percentiles(delays: readonly number[]): { p50: number; p99: number } {
  const sorted = delays.toSorted((one, other) => one - other);
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** nginx as a reverse proxy that does the same: verified TLS upstream, no buffering, WebSockets, one line of log. */
function startNginxProxy(nginx: string, directory: string, keys: Keys, origin: number): Promise<Contestant> {
  return startNginxContestant(
    nginx,
    directory,
    (port, home) => `
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    upstream origin { server 127.0.0.1:${origin}; keepalive 300; }
    server {
      listen 127.0.0.1:${port} ssl;
      ${serverTls(keys)}
      access_log ${home}/access.log combined buffer=16k flush=1s;
      location / {
        proxy_pass https://origin;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host localhost:${origin};
        proxy_set_header Authorization "Bearer credential";
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate ${keys.caCert};
        proxy_ssl_server_name on;
        proxy_ssl_name localhost;
        proxy_buffering off;
      }
    }`,
  );
}

// `npm run soak [-- --requests 200000 --seed 1]`: a long run with faults of every kind mixed in. In the end memory and
// descriptors are where they were, nothing hangs, and the audit has exactly one record for each exchange and tunnel.
import { readdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Client, Way } from "./harness/client.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import type { Script } from "./harness/upstream.ts";
import { eventually, pause } from "./harness/wait.ts";
import { createWorld, placeholder, type World } from "./harness/world.ts";

export interface SoakOptions {
  readonly requests: number;
  /** The same seed sends the same requests; how they meet is up to the machine. */
  readonly seed: number;
  /** Told of progress, about twenty times. */
  readonly report: (line: string) => void;
}

/** What a run came to; sizes in bytes. */
export interface SoakResult {
  readonly requests: number;
  readonly seconds: number;
  /** How often each kind of exchange was made. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly auditRecords: number;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  /** After the first fifth, when caches are full and code is compiled; and at the end. */
  readonly residentWarm: number;
  readonly residentAfter: number;
  readonly residentPeak: number;
}

/** Descriptors that may be open in the end besides those at the start: a timer or an event more of the runtime. */
const descriptorTolerance = 4;
/** Growth of resident memory between the first fifth and the end that is the collector's business, not a leak. */
const residentTolerance = 96 * 1024 * 1024;
const workers = 16;
const requestsPerConnection = 12;

/** One kind of exchange. It gives the audit records it makes, and whether the connection can be used again. */
interface Kind {
  readonly name: string;
  /** How often, compared with the others. */
  readonly weight: number;
  run(client: Client, path: string, random: () => number): Promise<"kept" | "over">;
}

function expectAnswer(answer: Answer | undefined, status: number, complete = true): Answer {
  if (answer === undefined) throw new Error(`closed in place of ${status}`);
  if (answer.status !== status || answer.complete !== complete) {
    const reason = valueOf(answer.fields, "sallyport-reason") ?? "";
    throw new Error(
      `${answer.status} ${reason}, complete: ${answer.complete}, in place of ${status}, ${complete}`,
    );
  }
  return answer;
}

const auth = [`Authorization: Bearer ${placeholder}`];
const body = "x".repeat(3000);

const kinds: readonly Kind[] = [
  {
    name: "get",
    weight: 40,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/ok${path}`, { fields: auth }), 200);
      return "kept";
    },
  },
  {
    name: "post",
    weight: 20,
    async run(client, path) {
      expectAnswer(await client.request("POST", `/ok${path}`, { fields: auth, body }), 200);
      return "kept";
    },
  },
  {
    name: "chunked both ways, with trailers",
    weight: 8,
    async run(client, path) {
      client.send(client.text("POST", `/chunks${path}`, { fields: ["Transfer-Encoding: chunked"] }));
      client.send(`bb8\r\n${body}\r\n0\r\nX-Check: 1\r\n\r\n`);
      const answer = expectAnswer(await client.answer(), 200);
      if (answer.trailers.length !== 1) throw new Error("no trailer");
      return "kept";
    },
  },
  {
    name: "large answer",
    weight: 2,
    async run(client, path) {
      const answer = expectAnswer(await client.request("GET", `/large${path}`), 200);
      if (answer.body.length !== large.length)
        throw new Error(`${answer.body.length} bytes of a large answer`);
      return "kept";
    },
  },
  {
    name: "refused by policy",
    weight: 4,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/a/..${path}`), 400);
      return "kept";
    },
  },
  {
    name: "malformed",
    weight: 4,
    async run(client, path) {
      const fields = ["Content-Length: 3", "Transfer-Encoding: chunked"];
      client.send(client.text("POST", `/ok${path}`, { fields }));
      expectAnswer(await client.answer(), 400);
      return "over";
    },
  },
  {
    name: "slow client",
    weight: 3,
    async run(client, path, random) {
      const text = client.text("GET", `/ok${path}`, { fields: auth });
      const cut = 1 + Math.floor(random() * (text.length - 2));
      client.send(text.slice(0, cut));
      await pause(random() * 20);
      client.send(text.slice(cut));
      expectAnswer(await client.answer(), 200);
      return "kept";
    },
  },
  {
    name: "slow upstream",
    weight: 3,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/slow${path}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream ends with its connection",
    weight: 3,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/until-close${path}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream resets",
    weight: 3,
    async run(client, path) {
      expectAnswer(await client.request("POST", `/reset${path}`, { body }), 502);
      return "kept";
    },
  },
  {
    name: "upstream sends garbage",
    weight: 2,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/garbage${path}`), 502);
      return "kept";
    },
  },
  {
    name: "upstream sends too much",
    weight: 2,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/extra${path}`), 200);
      return "kept";
    },
  },
  {
    name: "upstream breaks off",
    weight: 2,
    async run(client, path) {
      expectAnswer(await client.request("GET", `/short${path}`), 200, false);
      return "over";
    },
  },
  {
    name: "client leaves in the answer",
    weight: 2,
    async run(client, path) {
      client.send(client.text("GET", `/large${path}`));
      await client.reader.until("\r\n\r\n");
      client.reset();
      return "over";
    },
  },
  {
    name: "client leaves in its upload",
    weight: 2,
    async run(client, path) {
      client.send(`${client.text("POST", `/ok${path}`, { fields: ["Content-Length: 100000"] })}${body}`);
      client.socket.end();
      // 400, or nothing where the proxy met the end before it had anything to say.
      await client.reader.rest();
      return "over";
    },
  },
  {
    name: "client leaves in its head",
    weight: 2,
    async run(client, path) {
      client.send(client.text("GET", `/ok${path}`).slice(0, -2));
      client.socket.end();
      expectAnswer(await client.answer(), 400);
      return "over";
    },
  },
];
const totalWeight = kinds.reduce((sum, { weight }) => sum + weight, 0);
const large = Buffer.alloc(300_000, "large ");

/** What the upstreams do, by the first part of the path. */
const scripts: Readonly<Record<string, Script>> = {
  async ok(request) {
    const received = await request.body();
    if (!received.complete) return;
    const authorization = valueOf(request.fields, "authorization") ?? "";
    if (authorization.includes(placeholder)) throw new Error("a placeholder came through");
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  },
  async chunks(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n");
  },
  async large(request) {
    await request.body();
    request.write(`HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`);
    request.write(large);
  },
  async slow(request) {
    await request.body();
    await pause(15);
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    await pause(5);
    request.write("slow");
  },
  async "until-close"(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\n\r\nall");
    request.end();
  },
  reset: (request) => request.reset(),
  async garbage(request) {
    await request.body();
    request.write("what?\r\n\r\n");
  },
  async extra(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n\r\n");
  },
  async short(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    request.end();
  },
};

/**
 * Runs it and checks what is in {@link SoakResult}.
 * @throws {Error} when an answer was wrong, something hung, memory or descriptors grew, or the audit is not exact
 */
export async function soak({ requests, seed, report }: SoakOptions): Promise<SoakResult> {
  const world = await createWorld({
    remember: false,
    config: () => ({ proxy: { timeouts: { upstream_idle: "1s" } } }),
  });
  let closed = false;
  try {
    for (const upstream of [world.secure, world.plain]) {
      upstream.on("*", (request) => scripts[request.target.split("/")[1] ?? ""]?.(request));
    }
    const result = await run(world, requests, seed, report);
    closed = true;
    await world.close();
    return { ...result, auditRecords: world.proxy.audit.total };
  } finally {
    if (!closed) await world.close().catch(() => {});
  }
}

async function run(
  world: World,
  requests: number,
  seed: number,
  report: SoakOptions["report"],
): Promise<SoakResult> {
  const { pid, audit } = world.proxy;
  const descriptorsBefore = descriptors(pid);
  const counts: Record<string, number> = {};
  const began = performance.now();
  let begun = 0;
  let done = 0;
  let residentWarm = 0;
  let residentPeak = 0;

  /** The number of the next request, until there are enough. */
  const take = (): number | undefined => (begun < requests ? ++begun : undefined);

  const worker = async (number: number): Promise<void> => {
    const random = randomOf(seed * 1000 + number);
    const ways: readonly Way[] = ["connect", "absolute", "redirected"];
    for (let request = take(); request !== undefined; request = take()) {
      const way = ways[Math.floor(random() * ways.length)] as Way;
      const client = await world.open(way);
      let records = way === "connect" ? 1 : 0;
      for (let left = requestsPerConnection; left > 0 && request !== undefined; left--) {
        const kind = pick(random);
        const path = `/${request}`;
        const end = await kind.run(client, path, random).catch((error: Error) => {
          throw new Error(`seed ${seed}, worker ${number}, ${kind.name}, ${way}, ${path}: ${error.message}`);
        });
        counts[kind.name] = (counts[kind.name] ?? 0) + 1;
        records++;
        done++;
        if (end === "over") break;
        if (left > 1) request = take();
      }
      audit.expect(client.remote, records);
      client.close();
    }
  };

  const watch = setInterval(() => {
    const now = resident(pid);
    residentPeak = Math.max(residentPeak, now);
    if (residentWarm === 0 && done >= requests / 5) residentWarm = now;
  }, 100);
  const every = Math.max(1, Math.floor(requests / 20));
  let next = every;
  const tell = setInterval(() => {
    audit.read();
    if (done < next) return;
    next = done + every;
    report(`${done} requests, ${Math.round(resident(pid) / 1e6)} MB, ${descriptors(pid)} descriptors`);
  }, 500);
  try {
    await Promise.all(Array.from({ length: workers }, (_, number) => worker(number)));
  } finally {
    clearInterval(watch);
    clearInterval(tell);
  }
  const seconds = (performance.now() - began) / 1000;

  await eventually(
    "every connection is closed again",
    () => {
      return descriptors(pid) <= descriptorsBefore + descriptorTolerance;
    },
    30_000,
  );
  const residentAfter = resident(pid);
  if (residentWarm > 0 && residentAfter - residentWarm > residentTolerance) {
    throw new Error(`memory grew from ${residentWarm} to ${residentAfter} bytes`);
  }
  return {
    requests: done,
    seconds,
    kinds: counts,
    auditRecords: 0,
    descriptorsBefore,
    descriptorsAfter: descriptors(pid),
    residentWarm,
    residentAfter,
    residentPeak,
  };
}

function pick(random: () => number): Kind {
  let at = random() * totalWeight;
  for (const kind of kinds) {
    at -= kind.weight;
    if (at < 0) return kind;
  }
  return kinds[0] as Kind;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Open descriptors of a process; 0 where the system does not tell. */
function descriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** Resident memory of a process; 0 where the system does not tell. */
function resident(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
  } catch {
    return 0;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { requests: { type: "string", default: "200000" }, seed: { type: "string", default: "1" } },
  });
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  const result = await soak({ requests: Number(values.requests), seed: Number(values.seed), report: say });
  say(JSON.stringify(result, null, 2));
}

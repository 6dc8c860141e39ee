// Two workers of one proxy: what one of them has learnt, the other one knows, and whoever takes its place.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { issueToken } from "../../src/callers/token.ts";
import { basic, keysOf, newKey } from "../callers/support.ts";
import { startHttpCollector } from "../fakes/collector.ts";
import type { Client, RequestOptions } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { answer } from "./harness/upstream.ts";
import { eventually, pause } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const posted: string[] = [];
const receiver = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => {
    posted.push(body);
    response.writeHead(204).end();
  });
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
const collector = await startHttpCollector();
after(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await collector.close();
});

const key = newKey();
const tokenFor = (name: string) =>
  issueToken({ name, tools: undefined, ttl: 600 }, keysOf(key).current.key, Date.now()).token;

const world = await openWorld({
  env: {
    SANDBOX_SIGNING_KEY: key,
    IRON_MANAGEMENT_API_KEY: "management-key-of-the-test",
    E2E_WEBHOOK: "canary-webhook-0123456789abcdef",
    CLIENT_ID: "client",
    CLIENT_SECRET: "canary-client-0123456789abcdef",
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_BLRP_SCHEDULE_DELAY: "50",
  },
  config: ({ plainPort }) => ({
    proxy: { workers: 2 },
    metrics: { listen: "127.0.0.1:0" },
    management: { listen: "127.0.0.1:0" },
    findings: {
      webhook: {
        url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
        secret: { type: "env", var: "E2E_WEBHOOK" },
      },
    },
    transforms: [
      allowlist(["plain.localhost"]),
      secrets([swap("E2E_KEY", placeholder, [`plain.localhost:${plainPort}`])]),
      {
        name: "oauth_token",
        config: {
          tokens: [
            {
              grant: "client_credentials",
              token_endpoint: `http://plain.localhost:${plainPort}/token`,
              client_id: { type: "env", var: "CLIENT_ID" },
              client_secret: { type: "env", var: "CLIENT_SECRET" },
              rules: [{ host: `plain.localhost:${plainPort}`, paths: ["/own"] }],
            },
          ],
        },
      },
    ],
  }),
});
const { plain, proxy, credential } = world;

const urlOf = (name: "metrics" | "management"): string => {
  const line = proxy.log.find(({ msg }) => msg === `${name} server starting`);
  return `http://${String(line?.["addr"])}`;
};

const manage = (path: string, method = "GET") =>
  fetch(`${urlOf("management")}/v1/${path}`, {
    method,
    headers: { authorization: "Bearer management-key-of-the-test" },
  });

interface Status {
  readonly workers: { readonly processes: readonly { readonly pid: number }[] };
}

async function pids(): Promise<number[]> {
  const { workers } = (await (await manage("status")).json()) as Status;
  return workers.processes.map(({ pid }) => pid);
}

async function metric(series: string): Promise<number> {
  const text = await (await fetch(`${urlOf("metrics")}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? 0);
}

/** A workload with a token, on a connection of its own. */
class Workload {
  readonly client: Client;
  readonly #fields: readonly string[];

  constructor(client: Client, token: string) {
    this.client = client;
    this.#fields = [`Proxy-Authorization: ${basic(token)}`];
  }

  send(method: string, path: string, { fields = [], ...more }: RequestOptions = {}) {
    return this.client.request(method, path, { ...more, fields: [...this.#fields, ...fields] });
  }

  /** The part of its request ids that all of one process have. */
  async worker(): Promise<string> {
    const own = () => proxy.audit.read().find(({ audit }) => audit.remote_addr === this.client.remote);
    const { audit } = await eventually("a record", own);
    return audit.request_id.split("-")[0] as string;
  }
}

/** Two connections of one caller, each with another worker. */
async function pairOf(name: string): Promise<[Workload, Workload]> {
  const token = tokenFor(name);
  world.canary.watch(`the token of ${name}`, token);
  const workloads: Workload[] = [];
  const workers = new Set<string>();
  while (workers.size < 2) {
    const workload = new Workload(await world.absolute(), token);
    await workload.send("GET", "/who");
    const worker = await workload.worker();
    if (!workers.has(worker)) workloads.push(workload);
    workers.add(worker);
  }
  return workloads as [Workload, Workload];
}

const authorization = (token: string) => [`Authorization: Bearer ${token}`];
const received = async (path: string, count: number) =>
  valueOf((await plain.request(path, count)).fields, "authorization");

/** What the issuer gave out last. */
let access = "";
let refresh = "";
plain.on("/token", async (request) => {
  await request.body();
  access = world.canary.secret("access");
  refresh = world.canary.secret("refresh");
  const tokens = { access_token: access, refresh_token: refresh, expires_in: 600 };
  await answer(JSON.stringify(tokens), "Content-Type: application/json")(request);
});

const form = { fields: ["Content-Type: application/x-www-form-urlencoded"] };
interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
}

async function logIn(workload: Workload, body: string): Promise<Tokens> {
  const got = await workload.send("POST", "/token", { ...form, body });
  assert.equal(got.status, 200, got.body.toString());
  return JSON.parse(got.body.toString()) as Tokens;
}

plain.on("/leak", async (request) => {
  await request.body();
  await answer(`the key is ${credential}`)(request);
});

test("attack 46: a token that one worker captured works with the other one as soon as the workload has it", async () => {
  const [one, other] = await pairOf("captured");
  const first = await logIn(one, "grant_type=authorization_code&code=abc");
  await other.send("GET", "/own", { fields: authorization(first.access_token) });
  assert.equal(await received("/own", 1), `Bearer ${access}`);
  const sent = refresh;
  const second = await logIn(other, `grant_type=refresh_token&refresh_token=${first.refresh_token}`);
  assert.equal((await plain.request("/token", 2)).body.toString().split("=").at(-1), sent);
  const own = `Bearer ${access}`;
  await one.send("GET", "/own", { fields: authorization(second.access_token) });
  assert.equal(await received("/own", 2), own);
  const [stranger] = await pairOf("stranger");
  await stranger.send("GET", "/own", { fields: authorization(second.access_token) });
  assert.notEqual(await received("/own", 3), own);
});

test("attack 40: what one worker sent to a host is kept out of what the other one gets from there", async () => {
  const [one, other] = await pairOf("exposed");
  assert.equal((await one.send("GET", "/", { fields: authorization(placeholder) })).status, 200);
  await pause(200); // the other worker is told behind the request
  const got = await other.send("GET", "/leak");
  assert.equal(got.body.toString(), `the key is ${placeholder}`);
});

test("a token in use at two places is noticed where each worker sees one of them", async () => {
  const [one, other] = await pairOf("twice");
  await pause(100);
  await one.send("GET", "/");
  const [found] = await proxy.audit.findingsOf(one.client);
  assert.equal(found?.kind, "caller_in_two_places");
  assert.equal(found?.where, other.client.remote.replace(/:\d+$/, ""));
  assert.equal(found?.caller, "twice");
});

const mention = { method: "POST", body: `my key is ${placeholder}` } as const;
const mentions = 'sallyport_findings_total{kind="placeholder_wrong_place",action="reported"}';
const mentioned = (text: string) => text.includes("placeholder_wrong_place") && text.includes("talker");

test("findings of all workers are counted in one place, and told once: in the audit, the webhook and the collector", async () => {
  const [one, other] = await pairOf("talker");
  for (const workload of [one, other, one]) {
    assert.equal((await workload.send("POST", "/chat", { body: mention.body })).status, 200);
  }
  await eventually("three findings in the metrics", async () => (await metric(mentions)) === 3);
  await eventually("a post", () => posted.some(mentioned));
  const inCollector = () =>
    collector.records.filter(({ attributes }) =>
      mentioned(JSON.stringify(Object.entries(attributes), plainly)),
    );
  await eventually("a record in the collector", () => inCollector().length > 0);
  await pause(200); // for those that are too many
  assert.equal(posted.filter(mentioned).length, 1);
  assert.equal(inCollector().length, 1);
  proxy.audit.read();
  const lines = proxy.audit.findings.filter((finding) => mentioned(JSON.stringify(finding)));
  assert.equal(lines.length, 1);
  assert.equal(await metric('sallyport_finding_posts_total{result="sent"}'), posted.length);
});

const plainly = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);

test("nothing of it is lost when all workers die; those that follow know it, and serve by the configuration in force", async () => {
  const [before] = await pairOf("survivor");
  const { access_token: own } = await logIn(before, "grant_type=authorization_code&code=abc");
  const real = access;
  await before.send("GET", "/", { fields: authorization(placeholder) });
  const config = JSON.parse(readFileSync(proxy.configFile, "utf8")) as { transforms: object[] };
  config.transforms[0] = allowlist(["plain.localhost", "new.localhost"]);
  writeFileSync(proxy.configFile, JSON.stringify(config));
  assert.equal((await manage("reload", "POST")).status, 200);
  const counted = await metric(mentions);
  const old = await pids();
  for (const pid of old) process.kill(pid, "SIGKILL");
  const ready = async () => (await fetch(`${urlOf("metrics")}/readyz`)).status;
  await eventually("nobody serves", async () => (await ready()) === 503);
  await eventually("both are replaced", async () => {
    const now = await pids();
    return now.length === 2 && now.every((pid) => !old.includes(pid));
  });
  assert.equal(await ready(), 200);
  assert.equal(await metric(mentions), counted);
  for (const workload of await pairOf("survivor")) {
    const calls = plain.count("/own");
    await workload.send("GET", "/own", { fields: authorization(own) });
    assert.equal(await received("/own", calls + 1), `Bearer ${real}`);
    assert.equal((await workload.send("GET", "/leak")).body.toString(), `the key is ${placeholder}`);
    const elsewhere = new Workload(await world.absolute("new.localhost:1"), tokenFor("survivor"));
    assert.equal((await elsewhere.send("GET", "/")).status, 502, "allowed, and not there");
  }
});

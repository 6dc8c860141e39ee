// Several processes on the same ports: one fetch and one mint for all of them, and what becomes of it when one dies.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { once } from "node:events";
import { fakeConnect } from "../fakes/connect.ts";
import { type Client, openAbsolute, openTunnel } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Address, Sallyport } from "./harness/sallyport.ts";
import { answer } from "./harness/upstream.ts";
import { eventually, pause, within } from "./harness/wait.ts";
import { allowlist, clientCredentials, openWorld, secrets } from "./harness/world.ts";

const password = "shared-credential-of-the-vault";
const store = await fakeConnect([
  {
    id: "vault-1",
    name: "vault",
    items: [{ id: "item-1", title: "item", fields: [{ id: "f", label: "field", value: password }] }],
  },
]);
after(() => store.close());

const world = await openWorld({
  config: ({ plainPort }) => ({
    proxy: { workers: 2, shutdown_timeout: "5s" },
    metrics: { listen: "127.0.0.1:0" },
    management: { listen: "127.0.0.1:0" },
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost"]),
      secrets([
        {
          source: { type: "1password_connect", secret_ref: "op://vault/item/field" },
          replace: { proxy_value: "placeholder-of-the-vault", match_headers: ["X-Api-Key"] },
          rules: [{ host: `plain.localhost:${plainPort}` }],
        },
      ]),
      clientCredentials(
        `http://127.0.0.1:${plainPort}/token`,
        ["CLIENT_ID", "CLIENT_SECRET"],
        [{ host: `plain.localhost:${plainPort}`, paths: ["/minted/*"] }],
      ),
    ],
  }),
  env: {
    IRON_MANAGEMENT_API_KEY: "management-key-of-the-test",
    OP_CONNECT_HOST: store.url,
    OP_CONNECT_TOKEN: store.token,
    CLIENT_ID: "client",
    CLIENT_SECRET: "secret-of-the-client",
  },
});

world.plain.on("/token", async (request) => {
  await pause(50); // so that every worker asks before there is an answer
  await answer(
    '{"access_token":"minted-token","expires_in":3600}',
    "Content-Type: application/json",
  )(request);
});

const urlOf = (name: "metrics" | "management"): string => {
  const line = world.proxy.log.find(({ msg }) => msg === `${name} server starting`);
  return `http://${String(line?.["addr"])}`;
};

interface Status {
  readonly workers: { readonly died: number; readonly processes: readonly { readonly pid: number }[] };
  readonly connections: { readonly open: number; readonly accepted: number; readonly limit: number };
}

async function statusOf(): Promise<Status> {
  const headers = { authorization: "Bearer management-key-of-the-test" };
  return (await (await fetch(`${urlOf("management")}/v1/status`, { headers })).json()) as Status;
}

const pids = async () => (await statusOf()).workers.processes.map(({ pid }) => pid);

function clientOf(proxy: Sallyport = world.proxy, authority = world.plainAuthority): Promise<Client> {
  return openAbsolute(world.context, proxy.addresses.http as Address, authority);
}

const several = <T>(count: number, make: () => Promise<T>) =>
  Promise.all(Array.from({ length: count }, make));

/** The process that served a client; its request ids have a part of their own. */
async function workerOf(client: Client): Promise<string> {
  const [first] = await world.proxy.audit.of(client, 1);
  return String(first?.audit.request_id).split("-")[0] as string;
}

test("connections are spread over all workers, which are other processes than the one that was started", async () => {
  const clients = await several(6, () => clientOf());
  for (const client of clients) assert.equal((await client.request("GET", "/spread")).status, 200);
  const served = await Promise.all(clients.map(workerOf));
  assert.equal(new Set(served).size, 2);
  const running = await pids();
  assert.equal(running.length, 2);
  assert.ok(!running.includes(world.proxy.pid));
  for (const client of clients) client.close();
});

test("all workers together read a secret once and mint a token once", async () => {
  const clients = await several(6, () => clientOf());
  const fields = ["X-Api-Key: placeholder-of-the-vault"];
  const answers = await Promise.all(
    clients.map((client) => client.request("GET", "/minted/once", { fields })),
  );
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  const received = world.plain.received.filter(({ target }) => target === "/minted/once");
  assert.equal(received.length, 6);
  for (const { fields: sent } of received) {
    assert.equal(valueOf(sent, "x-api-key"), password);
    assert.equal(valueOf(sent, "authorization"), "Bearer minted-token");
  }
  assert.equal(new Set(await Promise.all(clients.map(workerOf))).size, 2);
  assert.equal(world.plain.count("/token"), 1);
  assert.equal(store.requests.filter((path) => path.includes("/items/")).length, 1);
  for (const client of clients) client.close();
});

test("TLS sessions are resumed in other workers than the one that began them", async () => {
  let session: Buffer | undefined;
  const resumed: boolean[] = [];
  for (let count = 0; count < 6; count++) {
    const tunnel = await openTunnel(
      world.context,
      world.proxy.addresses.tunnel as Address,
      world.secureAuthority,
    );
    const secure: TLSSocket = connectTls({
      socket: tunnel.socket,
      ca: world.context.ca,
      servername: "api.e2e.test",
      maxVersion: "TLSv1.2", // which has its ticket by the end of the handshake
      ...(session === undefined ? {} : { session }),
    });
    secure.on("session", (ticket: Buffer) => {
      session = ticket;
    });
    await within("a TLS handshake", once(secure, "secureConnect"));
    resumed.push(secure.isSessionReused());
    secure.destroy();
    tunnel.close();
  }
  assert.deepEqual(resumed, [false, true, true, true, true, true]);
});

test("a reload is in force in every worker when the management API has answered", async () => {
  const clients = await several(6, () => clientOf(world.proxy, "new.localhost:1"));
  for (const client of clients) assert.equal((await client.request("GET", "/")).status, 403);
  const before = readFileSync(world.proxy.configFile, "utf8");
  const config = JSON.parse(before) as { transforms: object[] };
  config.transforms[0] = allowlist(["*.e2e.test:*", "*.localhost"]);
  writeFileSync(world.proxy.configFile, JSON.stringify(config));
  const headers = { authorization: "Bearer management-key-of-the-test" };
  const reply = await fetch(`${urlOf("management")}/v1/reload`, { method: "POST", headers });
  assert.equal(reply.status, 200);
  for (const client of clients) {
    assert.equal((await client.request("GET", "/")).status, 502);
    client.close();
  }
  const fields = ["X-Api-Key: placeholder-of-the-vault"];
  const client = await clientOf();
  assert.equal((await client.request("GET", "/after-reload", { fields })).status, 200);
  assert.equal(valueOf((await world.plain.request("/after-reload")).fields, "x-api-key"), password);
  client.close();
});

test("metrics and status speak for all workers", async () => {
  const before = await statusOf();
  const clients = await several(4, () => clientOf());
  for (const client of clients) await client.request("GET", "/counted");
  const { connections } = await statusOf();
  assert.equal(connections.accepted, before.connections.accepted + 4);
  assert.ok(connections.open >= 4);
  assert.equal(connections.limit, 10_000);
  const text = await (await fetch(`${urlOf("metrics")}/metrics`)).text();
  assert.match(text, /^sallyport_workers 2$/m);
  assert.match(text, /^sallyport_source_reads_total\{source="op:\/\/vault\/item\/field"\} \d+$/m);
  const [, allowed] =
    /^sallyport_requests_total\{host="plain.localhost",verdict="allow",reason=""\} (\d+)$/m.exec(text) ?? [];
  assert.ok(Number(allowed) >= 4, text.slice(0, 400));
  assert.equal((await fetch(`${urlOf("metrics")}/readyz`)).status, 200);
  for (const client of clients) client.close();
});

test("I13: a worker that is killed takes only its own connections along, and its exchanges have records", async () => {
  const clients = await several(8, () => clientOf());
  for (const client of clients) await client.request("GET", "/before");
  const groups = new Map<string, Client[]>();
  for (const client of clients) {
    const served = await workerOf(client);
    groups.set(served, [...(groups.get(served) ?? []), client]);
  }
  assert.equal(groups.size, 2);
  // One exchange of each worker is under way when one of them dies.
  const goOn: (() => void)[] = [];
  world.plain.on("/under-way", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    await new Promise<void>((resolve) => goOn.push(resolve));
    request.write("lf");
  });
  const busy = [...groups.values()].map(([first]) => first as Client);
  for (const client of busy) client.send(client.text("GET", "/under-way"));
  await world.plain.request("/under-way", 2);
  await pause(100);
  const [victim = 0, other = 0] = await pids();
  process.kill(victim, "SIGKILL");
  const death = await world.proxy.line("a worker died; another takes its place");
  assert.deepEqual([death["worker"], death["how"], death["exchanges"]], [victim, "SIGKILL", 1]);
  for (const resume of goOn) resume();
  const ended = await Promise.all(
    [...groups.values()].map(async ([first, ...others]) => {
      const whole = await (first as Client).answer().catch(() => undefined);
      const rest = await Promise.all(
        others.map((client) =>
          client.request("GET", "/later").then(
            ({ status }) => status,
            () => 0,
          ),
        ),
      );
      return { whole: whole?.body.toString() === "half", rest };
    }),
  );
  const survivors = ended.filter(({ whole }) => whole);
  assert.equal(survivors.length, 1, "one exchange was finished");
  assert.ok(
    survivors[0]?.rest.every((status) => status === 200),
    "and its neighbours go on",
  );
  const [lost] = ended.filter(({ whole }) => !whole);
  assert.ok(
    lost?.rest.every((status) => status === 0),
    "connections of the other one are gone",
  );
  // The record of the exchange that was lost.
  const records = await eventually("the record of the exchange that was lost", () => {
    const died = world.proxy.audit.read().filter(({ audit }) => audit.reason === "worker_died");
    return died.length > 0 && died;
  });
  assert.equal(records.length, 1);
  const { audit } = records[0] as (typeof records)[number];
  assert.deepEqual([audit.action, audit.path, audit.host], ["error", "/under-way", world.plainAuthority]);
  assert.deepEqual(death["request_ids"], [audit.request_id]);
  // Those that were idle in the worker that died were not asked for anything by then.
  for (const [index, [first, ...rest]] of [...groups.values()].entries()) {
    world.proxy.audit.expect((first as Client).remote, 2);
    for (const { remote } of rest) world.proxy.audit.expect(remote, ended[index]?.whole === true ? 2 : 1);
  }
  let now = await pids();
  for (const until = Date.now() + 10_000; now.length < 2 && Date.now() < until; now = await pids())
    await pause(50);
  assert.ok(now.includes(other) && !now.includes(victim));
  const fields = ["X-Api-Key: placeholder-of-the-vault"];
  const fresh = await several(4, () => clientOf());
  for (const client of fresh) assert.equal((await client.request("GET", "/fresh", { fields })).status, 200);
  assert.equal(new Set(await Promise.all(fresh.map(workerOf))).size, 2);
  assert.equal(
    store.requests.filter((path) => path.includes("/items/")).length,
    2,
    "none but start and reload",
  );
  for (const client of [...clients, ...fresh]) client.close();
});

test("a stop lets every worker finish, and no record is lost", async () => {
  const other = await world.another("drained", {
    config: () => ({ proxy: { workers: 2, shutdown_timeout: "10s" } }),
  });
  const clients = await several(4, () => clientOf(other));
  const goOn: (() => void)[] = [];
  world.plain.on("/slow", async (request) => {
    await request.body();
    await new Promise<void>((resolve) => goOn.push(resolve));
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  });
  for (const client of clients) client.send(client.text("GET", "/slow"));
  await world.plain.request("/slow", 4);
  other.signal("SIGTERM");
  await other.line("received signal, shutting down");
  await pause(100);
  for (const resume of goOn) resume();
  for (const client of clients) assert.equal((await client.answer())?.body.toString(), "done");
  assert.equal(await within("the end", other.exited), 0);
  for (const client of clients) assert.equal((await other.audit.of(client, 1)).length, 1);
  for (const client of clients) client.close();
});

test("workers that cannot live stop the process, which says so", async () => {
  const hopeless = await world.another("hopeless", {
    config: () => ({ proxy: { workers: 2, shutdown_timeout: "1s" }, metrics: { listen: "127.0.0.1:0" } }),
  });
  const killing = setInterval(() => {
    for (const pid of childrenOf(hopeless.pid)) process.kill(pid, "SIGKILL");
  }, 20);
  const code = await within("the end", hopeless.exited, 20_000);
  clearInterval(killing);
  assert.equal(code, 1);
  const last = hopeless.log.at(-1);
  assert.match(String(last?.msg), /workers die as soon as they are made, the last one by SIGKILL/);
});

test("I12: out of descriptors, one connection too many is refused in words and those that are open live", async () => {
  const scarce = await world.another("scarce", { under: ["sh", "-c", `ulimit -n 128 && exec "$0" "$@"`] });
  const line = scarce.log.find(({ msg }) => msg.startsWith("fewer connections than configured"));
  const limit = Number(line?.["connections"]);
  assert.ok(limit > 4 && limit < 64, String(limit));
  const clients = await several(limit, () => clientOf(scarce));
  for (const client of clients) assert.equal((await client.request("GET", "/scarce")).status, 200);
  const surplus = await several(8, () => clientOf(scarce));
  for (const client of surplus) {
    const refused = await client.answer();
    assert.equal(refused?.status, 503);
    assert.equal(valueOf(refused?.fields ?? [], "sallyport-reason"), "overloaded");
  }
  // All at once: each needs a connection to the upstream besides its own.
  const answers = await Promise.all(clients.map((client) => client.request("GET", "/scarce")));
  assert.ok(answers.every(({ status }) => status === 200));
  for (const client of [...clients, ...surplus]) client.close();
  await pause(200); // until they are closed
  const next = await clientOf(scarce);
  assert.equal((await next.request("GET", "/scarce")).status, 200, "there is room again");
  next.close();
  await scarce.stop();
});

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

// Running it: reload, rotation, drain, second signals, and what stops a start.
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { AuditLog } from "./harness/audit-log.ts";
import { type Client, openAbsolute, openRaw } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Ran } from "./harness/programs.ts";
import { type Address, runSallyport, type Sallyport } from "./harness/sallyport.ts";
import { eventually, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, standardConfig } from "./harness/world.ts";

const world = await openWorld();
/** A key that others can read, which is worth a warning and stops nothing. */
const looseKey = join(world.folder, "loose.key");
writeFileSync(looseKey, world.proxyCa.keyPem);
chmodSync(looseKey, 0o644);
/** The proxy whose configuration is changed again and again. */
const reloaded = await world.another("reload", { config: () => ({ tls: { ca_key: looseKey } }) });
const facts = { securePort: world.secure.port, plainPort: world.plain.port, folder: world.folder };

/** A client of another proxy than the world's. */
function clientOf(proxy: Sallyport, authority = world.plainAuthority): Promise<Client> {
  return openAbsolute(world.context, proxy.addresses.http as Address, authority);
}

/** Changes the configuration file of a running proxy. */
function rewrite(proxy: Sallyport, change: (config: { transforms: object[] }) => void): void {
  const config = JSON.parse(readFileSync(proxy.configFile, "utf8")) as { transforms: object[] };
  change(config);
  writeFileSync(proxy.configFile, JSON.stringify(config));
}

test("the ports that were bound are logged, never the 0 that was asked for", () => {
  const lines = world.proxy.log.filter(({ msg }) => msg.endsWith("proxy starting"));
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ["http proxy starting", "https proxy starting", "tunnel proxy starting"],
  );
  for (const { addr } of lines) assert.match(String(addr), /^127\.0\.0\.1:[1-9]\d*$/);
});

test("I14: neither the command line nor anything else that other users can list shows a credential", () => {
  if (process.platform !== "linux") return;
  const shown = ["cmdline", "status", "comm"].map((name) => readFileSync(`/proc/${world.proxy.pid}/${name}`));
  for (const text of shown) assert.ok(!text.includes(world.credential));
});

test("attack 53: a CA key that everybody may read is warned of", () => {
  assert.ok(reloaded.log.some(({ level, msg }) => level === "WARN" && msg.includes("loose.key")));
});

test("SIGHUP puts a new rule in force, for connections that are open too", async () => {
  const client = await clientOf(reloaded, "new.localhost:1");
  assert.equal((await client.request("GET", "/")).status, 403);
  rewrite(reloaded, (config) => {
    config.transforms[0] = allowlist(["*.localhost"]);
  });
  reloaded.signal("SIGHUP");
  await reloaded.line("pipeline reloaded");
  // Port 1: policy lets it pass now, and nobody listens there.
  assert.equal((await client.request("GET", "/")).status, 502);
  client.close();
});

test("attack 52: a bad file changes nothing on SIGHUP, and the log says what is wrong with it", async () => {
  const client = await clientOf(reloaded);
  const good = readFileSync(reloaded.configFile);
  const before = reloaded.log.length;
  rewrite(reloaded, (config) => config.transforms.push({ name: "allowlst", config: {} }));
  reloaded.signal("SIGHUP");
  const line = await reloaded.line("reload rejected, the configuration in force stays", before);
  assert.equal(line.level, "WARN");
  assert.match(String(line["error"]), /unknown transform "allowlst"; did you mean "allowlist"/);
  const fields = [`Authorization: Bearer ${placeholder}`];
  assert.equal((await client.request("GET", "/kept", { fields })).status, 200);
  assert.equal(
    valueOf((await world.plain.request("/kept")).fields, "authorization"),
    `Bearer ${world.credential}`,
  );
  writeFileSync(reloaded.configFile, "{{{");
  reloaded.signal("SIGHUP");
  await reloaded.line("reload rejected, the configuration in force stays", reloaded.log.indexOf(line) + 1);
  assert.equal((await client.request("GET", "/kept")).status, 200);
  writeFileSync(reloaded.configFile, good);
  client.close();
});

test("a request under way keeps the policy that it began with", async () => {
  const client = await clientOf(reloaded);
  let goOn = () => {};
  world.plain.on("/under-way", async (request) => {
    await request.body();
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  });
  client.send(client.text("GET", "/under-way"));
  await world.plain.request("/under-way");
  rewrite(reloaded, (config) => {
    config.transforms[0] = allowlist(["other.e2e.test"]);
  });
  const before = reloaded.log.length;
  reloaded.signal("SIGHUP");
  await reloaded.line("pipeline reloaded", before);
  goOn();
  assert.equal((await client.answer())?.body.toString(), "done");
  assert.equal((await client.request("GET", "/under-way-no-more")).status, 403);
  client.close();
  await reloaded.stop();
});

test("I13 attack 50: HUP, USR1 and USR2 go on in a new audit file, lose nothing, and open no inspector", async () => {
  const proxy = await world.another("rotate", {});
  const client = await clientOf(proxy);
  const { file } = proxy.audit;
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2"] as const) {
    const old = `${file}.${signal}`;
    await client.request("GET", `/before-${signal}`);
    await eventually(
      "the first record",
      () => existsSync(file) && readFileSync(file, "utf8").includes("/before-"),
    );
    renameSync(file, old);
    await client.request("GET", `/between-${signal}`);
    await eventually("the record of the old file", () =>
      readFileSync(old, "utf8").includes(`/between-${signal}`),
    );
    proxy.signal(signal);
    await eventually("the new file", () => existsSync(file));
    await client.request("GET", `/after-${signal}`);
    const fresh = new AuditLog(file, world.canary);
    await eventually("the record in the new file", () => fresh.read().length === 1);
    assert.equal(fresh.lines[0]?.audit.path, `/after-${signal}`);
    assert.ok(!readFileSync(old, "utf8").includes(`/after-${signal}`));
  }
  client.close();
  // The inspector would say "Debugger listening on" where only lines of the log may stand.
  await proxy.stop();
});

test("SIGTERM lets a slow answer finish, takes no new connection, and ends with 0", async () => {
  const proxy = await world.another("drain", { config: () => ({ proxy: { shutdown_timeout: "10s" } }) });
  const [client, idle] = [await clientOf(proxy), await clientOf(proxy)];
  await idle.request("GET", "/idle");
  let goOn = () => {};
  world.plain.on("/slow", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nslow");
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    request.write("done");
  });
  client.send(client.text("GET", "/slow"));
  assert.match((await client.reader.until("slow")) ?? "", /slow$/);
  proxy.signal("SIGTERM");
  await proxy.line("received signal, shutting down");
  assert.equal(await idle.ended(), "end", "idle connections are closed at once");
  idle.close();
  const refused = await openRaw(world.context, proxy.addresses.http as Address).catch(
    (error: Error) => error,
  );
  assert.ok(refused instanceof Error && /ECONNREFUSED/.test(refused.message));
  goOn();
  assert.equal((await client.reader.take(4)).toString(), "done");
  client.close();
  assert.equal(await within("the end", proxy.exited), 0);
  const records = proxy.audit.read().filter(({ audit }) => audit.path === "/slow");
  assert.deepEqual(
    records.map(({ audit }) => [audit.action, audit.status_code]),
    [["allow", 200]],
  );
  await proxy.line("sallyport stopped");
});

test("what is still open at the end of the drain is cut, counted and recorded", async () => {
  const proxy = await world.another("cut", { config: () => ({ proxy: { shutdown_timeout: "200ms" } }) });
  world.plain.on("/never-done", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nslow");
    await request.reader.rest();
    request.end();
  });
  const client = await clientOf(proxy);
  client.send(client.text("GET", "/never-done"));
  await client.reader.until("slow");
  proxy.signal("SIGTERM");
  assert.equal(await within("the end", proxy.exited), 0);
  const line = await proxy.line("connections cut at the end of the drain");
  assert.equal(line["connections"], 1);
  await client.ended();
  assert.equal(proxy.audit.read().filter(({ audit }) => audit.path === "/never-done").length, 1);
});

test("a second signal ends it at once, with every record written", async () => {
  const proxy = await world.another("second", { config: () => ({ proxy: { shutdown_timeout: "60s" } }) });
  const client = await clientOf(proxy);
  await client.request("GET", "/first");
  world.plain.on("/stuck", () => new Promise(() => {}));
  client.send(client.text("GET", "/stuck"));
  await eventually("the stuck request", () => world.plain.count("/stuck") === 1);
  proxy.signal("SIGTERM");
  await proxy.line("received signal, shutting down");
  const since = performance.now();
  proxy.signal("SIGINT");
  assert.equal(await within("the end", proxy.exited), 1);
  assert.ok(performance.now() - since < 3000);
  await proxy.line("stopped at once by a second signal");
  assert.ok(proxy.audit.read().some(({ audit }) => audit.path === "/first"));
});

test("I13: audit.on_failure: deny stops traffic while records cannot be written", async (t) => {
  if (!existsSync("/dev/full")) {
    t.skip("no /dev/full here");
    return;
  }
  const proxy = await world.another("deny", {
    config: () => ({ audit: { file: "/dev/full", on_failure: "deny" } }),
  });
  t.after(() => proxy.kill());
  const client = await clientOf(proxy);
  assert.equal((await client.request("GET", "/seen")).status, 200);
  await eventually("the outage is reported", () =>
    proxy.log.some(({ msg }) => /cannot be written/.test(msg)),
  );
  const answer = await client.request("GET", "/unseen");
  assert.equal(answer.status, 503);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "audit_unavailable");
  assert.equal(world.plain.count("/unseen"), 0);
  client.close();
});

// --- What stops a start: exit code 1, and a line for each thing to mend

type Config = Record<string, Record<string, unknown>>;

const occupied = createServer().listen(0, "127.0.0.1");
await new Promise((resolve) => occupied.once("listening", resolve));
occupied.unref();
const taken = (occupied.address() as { port: number }).port;
writeFileSync(join(world.folder, "other.key"), world.upstreamCa.keyPem, { mode: 0o600 });
writeFileSync(join(world.folder, "no.pem"), "this is no PEM\n", { mode: 0o600 });

const starts: readonly (readonly [what: string, change: (config: Config) => void, says: RegExp])[] = [
  [
    "a port in use",
    (config) => Object.assign(config["proxy"] as object, { tunnel_listen: `127.0.0.1:${taken}` }),
    /^error: proxy\.tunnel_listen: cannot listen on 127\.0\.0\.1:\d+: another program has this port/,
  ],
  [
    "an address that this machine does not have",
    (config) => Object.assign(config["proxy"] as object, { tunnel_listen: "192.0.2.1:0" }),
    /^error: proxy\.tunnel_listen: cannot listen on 192\.0\.2\.1:0: this machine does not have that address/,
  ],
  [
    "attack 53: a CA certificate that is not there",
    (config) => Object.assign(config["tls"] as object, { ca_cert: join(world.folder, "gone.crt") }),
    /gone\.crt/,
  ],
  [
    "a CA key that is not there",
    (config) => Object.assign(config["tls"] as object, { ca_key: join(world.folder, "gone.key") }),
    /gone\.key/,
  ],
  [
    "a CA key that belongs to another certificate",
    (config) => Object.assign(config["tls"] as object, { ca_key: join(world.folder, "other.key") }),
    /other\.key/,
  ],
  [
    "a CA certificate that is none",
    (config) => Object.assign(config["tls"] as object, { ca_cert: join(world.folder, "no.pem") }),
    /no\.pem/,
  ],
  [
    "roots that are not there",
    (config) => Object.assign(config["tls"] as object, { upstream_ca: join(world.folder, "gone.pem") }),
    /tls\.upstream_ca: .*gone\.pem cannot be read \(ENOENT\)/,
  ],
  [
    "an audit file that cannot be opened",
    (config) =>
      Object.assign(config["audit"] as object, { file: join(world.folder, "no/such/folder/a.log") }),
    /audit\.file: cannot open/,
  ],
  [
    "a key that is not known",
    (config) => Object.assign(config["proxy"] as object, { tunel_listen: "off" }),
    /proxy\.yaml:\d+:\d+: .*tunel_listen.*tunnel_listen/,
  ],
  [
    "sources.require_at_start and a secret that cannot be read",
    (config) => Object.assign(config, { sources: { require_at_start: true } }),
    /sources\.require_at_start: E2E_KEY/,
  ],
];
// One after the other, beside the tests above.
let turn: Promise<unknown> = Promise.resolve();
const runs = starts.map(([, change], index) => {
  const config = standardConfig(facts, `start-${index}`, world.dns.address) as Config;
  change(config);
  const file = join(world.folder, `start-${index}-proxy.yaml`);
  writeFileSync(file, JSON.stringify(config));
  const ran = turn.then(() => runSallyport(["start", "--config", file]));
  turn = ran.catch(() => {});
  return ran;
});
for (const [index, [what, , says]] of starts.entries()) {
  test(`start: ${what}: exit code 1 and a line that says so`, async () => {
    const ran = await (runs[index] as Promise<Ran>);
    assert.equal(ran.code, 1, ran.stderr);
    assert.equal(ran.stdout, "");
    const lines = ran.stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
    assert.equal(lines.length, 1, ran.stderr);
    assert.match(lines[0] as string, says);
    assert.ok(!/\n\s+at /.test(ran.stderr), "no stack");
  });
}

test("start: a file that is not there: exit code 1 and one line", async () => {
  const ran = await runSallyport(["start", "--config", join(world.folder, "gone.yaml")]);
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /gone\.yaml/);
  assert.equal(ran.stderr.trim().split("\n").length, 1);
});

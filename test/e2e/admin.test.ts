// What operators have: health, readiness, metrics, the management API, and reloads by every way there is.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { type Client, openAbsolute, openTunnel } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { type Address, runSallyport, type Sallyport } from "./harness/sallyport.ts";
import { eventually, pause, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, standardConfig, swap } from "./harness/world.ts";

const world = await openWorld();
const key = world.canary.secret("management-key");
const env = { IRON_MANAGEMENT_API_KEY: key };
const operated = { metrics: { listen: "127.0.0.1:0" }, management: { listen: "127.0.0.1:0" } };
const proxy = await world.another("operated", { config: () => operated, env });
const facts = { securePort: world.secure.port, plainPort: world.plain.port, folder: world.folder };

/** The URL of an operator's port, as the log names it. */
function urlOf(of: Sallyport, name: "metrics" | "management"): string {
  const line = of.log.find(({ msg }) => msg === `${name} server starting`);
  return `http://${String(line?.["addr"])}`;
}

async function ask(
  url: string,
  method = "GET",
  authorization?: string,
): Promise<{ status: number; headers: Headers; text: string }> {
  const headers = authorization === undefined ? {} : { authorization };
  const response = await fetch(url, { method, headers });
  const text = await response.text();
  world.canary.listen(`the answer of ${url}`)(Buffer.from(text));
  return { status: response.status, headers: response.headers, text };
}

const reloadOf = (of: Sallyport) => ask(`${urlOf(of, "management")}/v1/reload`, "POST", `Bearer ${key}`);

async function statusOf(of: Sallyport): Promise<Record<string, unknown>> {
  const { status, text } = await ask(`${urlOf(of, "management")}/v1/status`, "GET", `Bearer ${key}`);
  assert.equal(status, 200);
  return JSON.parse(text) as Record<string, unknown>;
}

function rewrite(
  of: Sallyport,
  change: (config: Record<string, object> & { transforms: object[] }) => void,
): void {
  const config = JSON.parse(readFileSync(of.configFile, "utf8")) as Parameters<typeof change>[0];
  change(config);
  writeFileSync(of.configFile, JSON.stringify(config));
}

function clientOf(of: Sallyport, authority = world.plainAuthority): Promise<Client> {
  return openAbsolute(world.context, of.addresses.http as Address, authority);
}

/** Values of one family: labels as they are written, and the number. */
async function series(of: Sallyport, name: string): Promise<Map<string, number>> {
  const { text } = await ask(`${urlOf(of, "metrics")}/metrics`);
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(name.length, at), Number(line.slice(at + 1))];
    }),
  );
}

test("health and readiness need no key, on both ports", async () => {
  for (const port of ["metrics", "management"] as const) {
    const health = await ask(`${urlOf(proxy, port)}/healthz`);
    assert.deepEqual([health.status, health.text], [200, "OK"]);
    await eventually("readiness", () => proxy.log.length > 0);
    const ready = await ask(`${urlOf(proxy, port)}/readyz`);
    assert.equal(ready.status, 200);
    assert.deepEqual(JSON.parse(ready.text), { status: "ready", reasons: [], failing_sources: [] });
  }
});

test("H1: without the key there is no reload and no status, whatever the method", async () => {
  const url = urlOf(proxy, "management");
  for (const authorization of [undefined, "Bearer wrong", `Basic ${key}`, key]) {
    for (const [path, method] of [
      ["/v1/reload", "POST"],
      ["/v1/reload", "GET"],
      ["/v1/status", "GET"],
    ] as const) {
      const answer = await ask(url + path, method, authorization);
      assert.equal(answer.status, 401, `${method} ${path} ${authorization}`);
      assert.deepEqual(JSON.parse(answer.text), { error: "unauthorized" });
      assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer /);
    }
  }
  await proxy.line("management request without the right key");
});

test("H1: a wrong method is 405 and says which is right", async () => {
  const url = urlOf(proxy, "management");
  const reload = await ask(`${url}/v1/reload`, "GET", `Bearer ${key}`);
  assert.deepEqual([reload.status, reload.headers.get("allow")], [405, "POST"]);
  const status = await ask(`${url}/v1/status`, "POST", `Bearer ${key}`);
  assert.deepEqual([status.status, status.headers.get("allow")], [405, "GET"]);
});

test("the management API is on its own port only", async () => {
  const { status } = await ask(`${urlOf(proxy, "metrics")}/v1/reload`, "POST", `Bearer ${key}`);
  assert.equal(status, 404);
  assert.equal((await ask(`${urlOf(proxy, "management")}/metrics`, "GET", `Bearer ${key}`)).status, 404);
});

test("H1 H2: a reload puts new rules, sources and texts in force on connections that are open", async () => {
  const client = await clientOf(proxy, "new.localhost:1");
  assert.equal((await client.request("GET", "/")).status, 403);
  rewrite(proxy, (config) => {
    config.transforms[0] = allowlist(["*.localhost:*", "*.e2e.test:*"]);
    Object.assign(config["proxy"] as object, { denial_message: "Ask in the channel egress." });
  });
  const { status, text } = await reloadOf(proxy);
  assert.equal(status, 200, text);
  const { status: word, restart_required: restart } = JSON.parse(text) as Record<string, unknown>;
  assert.deepEqual([word, restart], ["ok", []]);
  // Port 1: policy lets it pass now, and nobody listens there.
  assert.equal((await client.request("GET", "/")).status, 502);
  client.close();
  const refused = await clientOf(proxy, "elsewhere.test");
  const answer = await refused.request("GET", "/");
  assert.match(answer.body.toString(), /Ask in the channel egress\./);
  refused.close();
});

test("H1 attack 52: a bad file is 422 with every error's place, and the old rules stay", async () => {
  const good = readFileSync(proxy.configFile);
  rewrite(proxy, (config) => {
    config.transforms.push({ name: "allowlst", config: {} });
    Object.assign(config["proxy"] as object, { tunel_listen: "off" });
  });
  const { status, text } = await reloadOf(proxy);
  assert.equal(status, 422);
  const { error, issues } = JSON.parse(text) as {
    error: string;
    issues: { line: number; message: string }[];
  };
  assert.match(error, /proxy\.yaml:1:\d+: .*tunel_listen/);
  assert.ok(issues.length > 0 && issues.every(({ line }) => line === 1));
  const client = await clientOf(proxy);
  const fields = [`Authorization: Bearer ${placeholder}`];
  assert.equal((await client.request("GET", "/kept", { fields })).status, 200);
  const sent = await world.plain.request("/kept");
  assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${world.credential}`);
  client.close();
  const now = await statusOf(proxy);
  assert.equal((now["reloads"] as { last: { result: string } }).last.result, "rejected");
  writeFileSync(proxy.configFile, good);
  assert.equal((await reloadOf(proxy)).status, 200);
});

test("what a reload cannot change is named in the answer and in the log", async () => {
  rewrite(proxy, (config) => {
    Object.assign(config["tls"] as object, { cert_cache_size: 7 });
    Object.assign(config["proxy"] as object, { upstream_deny_cidrs: ["127.0.0.67/32"] });
  });
  const before = proxy.log.length;
  const { status, text } = await reloadOf(proxy);
  assert.equal(status, 200);
  const keys = ["proxy.upstream_deny_cidrs", "tls.cert_cache_size"];
  assert.deepEqual((JSON.parse(text) as { restart_required: string[] }).restart_required, keys);
  assert.deepEqual((await proxy.line("changes that wait for a restart", before))["keys"], keys);
});

test("a request under way ends as it began, and a client that hangs up does not cut the reload", async () => {
  const client = await clientOf(proxy);
  let goOn = () => {};
  world.plain.on("/under-reload", async (request) => {
    await request.body();
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  });
  client.send(client.text("GET", "/under-reload"));
  await world.plain.request("/under-reload");
  rewrite(proxy, (config) => {
    config.transforms[0] = allowlist(["*.e2e.test:*"]);
  });
  const before = proxy.log.length;
  const gone = new AbortController();
  const answer = fetch(`${urlOf(proxy, "management")}/v1/reload`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    signal: gone.signal,
  }).catch(() => undefined);
  setTimeout(() => gone.abort(), 1);
  await answer;
  await proxy.line("pipeline reloaded", before).catch(async () => {
    // It may have gone before the request was out; then there was nothing to cut.
    await reloadOf(proxy);
  });
  goOn();
  assert.equal((await client.answer())?.body.toString(), "done");
  assert.equal((await client.request("GET", "/")).status, 403);
  client.close();
  rewrite(proxy, (config) => {
    config.transforms[0] = allowlist(["*.e2e.test:*", "plain.localhost"]);
  });
  assert.equal((await reloadOf(proxy)).status, 200);
});

test("reloads that come at once are all answered, one after the other", async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => reloadOf(proxy)));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
});

test("the status tells what is in force, and no value of a credential", async () => {
  const status = await statusOf(proxy);
  assert.equal(status["ready"], true);
  assert.deepEqual(status["transforms"], ["allowlist", "secrets"]);
  const { file, hash } = status["config"] as { file: string; hash: string };
  assert.equal(file, proxy.configFile);
  assert.match(hash, /^[0-9a-f]{16}$/);
  const names = Object.keys(status["listeners"] as object);
  assert.deepEqual(names, ["http", "https", "tunnel", "metrics", "management"]);
  const [source] = status["sources"] as { name: string; state: string; reads: number }[];
  assert.deepEqual([source?.name, source?.state], ["E2E_KEY", "ok"]);
  assert.ok((source?.reads ?? 0) > 1, "every reload reads it anew");
});

test("metrics count requests by host of the rules, verdict and reason, and never by a name a workload made up", async () => {
  const of = (host: string, verdict: string, reason: string) =>
    `{host="${host}",verdict="${verdict}",reason="${reason}"}`;
  const before = await series(proxy, "sallyport_requests_total");
  const since = (now: ReadonlyMap<string, number>, labels: string) =>
    (now.get(labels) ?? 0) - (before.get(labels) ?? 0);
  const client = await clientOf(proxy);
  await client.request("GET", "/");
  await client.request("GET", "/");
  client.close();
  const stranger = await clientOf(proxy, "made-up.test");
  await stranger.request("GET", "/");
  stranger.close();
  const now = await series(proxy, "sallyport_requests_total");
  assert.equal(since(now, of("plain.localhost", "allow", "")), 2);
  assert.equal(since(now, of("other", "reject", "host_not_allowed")), 1);
  assert.ok(![...now.keys()].some((labels) => labels.includes("made-up")));
  const tunnel = await openTunnel(world.context, proxy.addresses.tunnel as Address, world.secureAuthority);
  tunnel.close();
  const tunnels = await series(proxy, "sallyport_tunnels_total");
  assert.equal(tunnels.get(of("api.e2e.test", "allow", "")), 1);
  const legs = await series(proxy, "sallyport_request_duration_seconds_count");
  assert.ok((legs.get('{leg="total"}') ?? 0) > (legs.get('{leg="upstream"}') ?? 0));
  assert.equal((await series(proxy, "sallyport_source_healthy")).get('{source="E2E_KEY"}'), 1);
  assert.ok(((await series(proxy, "sallyport_config_reloads_total")).get('{result="succeeded"}') ?? 0) >= 8);
  assert.equal((await series(proxy, "sallyport_ready")).get(""), 1);
});

test("I11: the operator's ports are never an upstream, even where policy lets them pass", async () => {
  rewrite(proxy, (config) => {
    config.transforms[0] = allowlist(["127.0.0.1", "plain.localhost", "*.e2e.test:*"]);
  });
  assert.equal((await reloadOf(proxy)).status, 200);
  for (const port of ["metrics", "management"] as const) {
    const client = await clientOf(proxy, new URL(urlOf(proxy, port)).host);
    const answer = await client.request("GET", "/healthz");
    assert.equal(valueOf(answer.fields, "sallyport-reason"), "proxy_loop");
    client.close();
  }
});

test("a credential that cannot be read anew at a reload keeps serving, and is reported", async () => {
  const file = join(world.folder, "key-file");
  writeFileSync(file, world.credential, { mode: 0o600 });
  const entry = {
    source: { type: "file", path: file },
    replace: { proxy_value: placeholder, match_headers: ["Authorization"] },
    rules: [{ host: `plain.localhost:${world.plain.port}` }],
  };
  const other = await world.another("stale", {
    config: () => ({ ...operated, transforms: [allowlist(["plain.localhost"]), secrets([entry])] }),
    env,
  });
  // The file is read once it is ready.
  while ((await ask(`${urlOf(other, "metrics")}/readyz`)).status !== 200) await pause(20);
  rmSync(file);
  assert.equal((await reloadOf(other)).status, 200);
  await other.line("a secret source failed");
  const ready = await ask(`${urlOf(other, "metrics")}/readyz`);
  assert.equal(ready.status, 200);
  assert.deepEqual((JSON.parse(ready.text) as { failing_sources: string[] }).failing_sources, [file]);
  assert.equal((await series(other, "sallyport_source_healthy")).get(`{source="${file}"}`), 0);
  const client = await clientOf(other);
  const fields = [`Authorization: Bearer ${placeholder}`];
  assert.equal((await client.request("GET", "/stale", { fields })).status, 200);
  const sent = await world.plain.request("/stale");
  assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${world.credential}`);
  client.close();
  await other.stop();
});

test("H3: it is not ready while it drains, and says so until the end", async () => {
  const other = await world.another("drains", {
    config: () => ({ ...operated, proxy: { shutdown_timeout: "20s" } }),
    env,
  });
  const client = await clientOf(other);
  let goOn = () => {};
  world.plain.on("/while-draining", async (request) => {
    await request.body();
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
  });
  client.send(client.text("GET", "/while-draining"));
  await world.plain.request("/while-draining");
  other.signal("SIGTERM");
  await other.line("received signal, shutting down");
  const ready = await ask(`${urlOf(other, "metrics")}/readyz`);
  assert.equal(ready.status, 503);
  assert.deepEqual((JSON.parse(ready.text) as { reasons: string[] }).reasons, ["draining"]);
  assert.equal((await ask(`${urlOf(other, "metrics")}/healthz`)).status, 200, "alive all the same");
  assert.equal((await reloadOf(other)).status, 503);
  assert.equal((await series(other, "sallyport_draining")).get(""), 1);
  goOn();
  assert.equal((await client.answer())?.body.toString(), "done");
  client.close();
  assert.equal(await within("the end", other.exited), 0);
});

test("H3: it is not ready before every source was asked once, and ready when one cannot be had", async (t) => {
  // Takes connections and says nothing, as a store that hangs.
  const store = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
  await new Promise((resolve) => store.once("listening", resolve));
  t.after(() => store.close());
  const entry = {
    source: { type: "1password_connect", secret_ref: "op://vault/item/field", timeout: "1500ms" },
    replace: { proxy_value: "hanging", match_headers: ["Authorization"] },
    rules: [{ host: "api.e2e.test" }],
  };
  const other = await world.another("hanging-store", {
    config: () => ({ ...operated, transforms: [allowlist(["plain.localhost"]), secrets([entry])] }),
    env: {
      ...env,
      OP_CONNECT_HOST: `http://127.0.0.1:${(store.address() as { port: number }).port}`,
      OP_CONNECT_TOKEN: world.canary.secret("connect-token"),
    },
  });
  const readyz = async () => {
    const { status, text } = await ask(`${urlOf(other, "metrics")}/readyz`);
    return { code: status, ...(JSON.parse(text) as { reasons: string[]; failing_sources: string[] }) };
  };
  const early = await readyz();
  assert.deepEqual([early.code, early.reasons], [503, ["sources_not_checked"]]);
  const client = await clientOf(other);
  assert.equal(
    (await client.request("GET", "/")).status,
    200,
    "what needs no credential is served all the while",
  );
  client.close();
  await other.line("a secret source failed");
  const late = await readyz();
  assert.deepEqual([late.code, late.reasons, late.failing_sources.length], [200, [], 1]);
  assert.match(late.failing_sources.join(), /op:\/\/vault\/item\/field/);
  await other.stop();
});

test("H2: a changed declaration takes effect on a connection that is open, by a reload and by --watch", async () => {
  const tools = join(world.folder, "declared");
  const declare = (name: string, text: string) => {
    mkdirSync(join(tools, name), { recursive: true });
    writeFileSync(join(tools, name, "pyproject.toml"), text);
  };
  const block = (variable: string, host: string) =>
    `[project]\nname = "t"\n[tool.centaur]\nsecrets = [{ type = "http", name = "${variable}", match_headers = ["Authorization"], hosts = ["${host}"] }]\n`;
  declare("first", block("E2E_KEY", "elsewhere.test"));
  const second = world.canary.secret("second-key");
  const other = await world.another("declarations", {
    args: ["--watch"],
    config: () => ({
      ...operated,
      proxy: { rule_ports: "any" },
      tools: { directories: [tools], source: "env" },
      transforms: [allowlist(["plain.localhost:*"])],
    }),
    env: { ...env, SECOND_KEY: second },
  });
  const client = await clientOf(other);
  const sent = async (path: string, name: string) => {
    const answer = await client.request("GET", path, { fields: [`Authorization: Bearer ${name}`] });
    assert.equal(answer.status, 200);
    return valueOf((await world.plain.request(path)).fields, "authorization");
  };
  assert.equal(
    await sent("/not-declared", "E2E_KEY"),
    "Bearer E2E_KEY",
    "a placeholder of no host stays one",
  );
  const before = other.log.length;
  declare("first", block("E2E_KEY", "plain.localhost"));
  await other.line("pipeline reloaded", before);
  assert.equal(await sent("/declared", "E2E_KEY"), `Bearer ${world.credential}`);
  declare("second", block("SECOND_KEY", "plain.localhost"));
  assert.equal((await reloadOf(other)).status, 200);
  assert.equal(await sent("/second", "SECOND_KEY"), `Bearer ${second}`);
  client.close();
  await other.stop();
});

test("--watch: a swapped ConfigMap is put in force, a broken one is reported and changes nothing", async () => {
  const folder = join(world.folder, "configmap");
  const write = (version: string, text: string) => {
    mkdirSync(join(folder, version), { recursive: true });
    writeFileSync(join(folder, version, "proxy.yaml"), text);
    symlinkSync(version, join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  };
  const config = (host: string) =>
    JSON.stringify({
      ...standardConfig(facts, "watched", world.dns.address),
      transforms: [
        allowlist([host]),
        secrets([swap("E2E_KEY", placeholder, [`plain.localhost:${facts.plainPort}`])]),
      ],
    });
  write("..v1", config("other.localhost"));
  symlinkSync("..data/proxy.yaml", join(folder, "proxy.yaml"));
  const watched = await world.another("watched", {
    args: ["--watch"],
    file: join(folder, "proxy.yaml"),
  });
  const client = await clientOf(watched);
  assert.equal((await client.request("GET", "/")).status, 403);
  write("..v2", config("plain.localhost"));
  await watched.line("pipeline reloaded");
  assert.equal((await client.request("GET", "/")).status, 200);
  write("..v3", "{{{");
  await watched.line("reload rejected, the configuration in force stays");
  assert.equal((await client.request("GET", "/")).status, 200);
  client.close();
  await watched.stop();
});

for (const [what, change, variables, says] of [
  [
    "the management key's variable is not set",
    { management: { listen: "127.0.0.1:0" } },
    {},
    /proxy\.yaml:1:\d+: management\.api_key_env "IRON_MANAGEMENT_API_KEY" is not set/,
  ],
  [
    "the management key is empty",
    { management: { listen: "127.0.0.1:0", api_key_env: "OTHER_KEY" } },
    { OTHER_KEY: "" },
    /management\.api_key_env "OTHER_KEY" is not set/,
  ],
  [
    "OTLP is asked for over a protocol that there is not",
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL: "thrift" },
    /error: unsupported OTEL_EXPORTER_OTLP_PROTOCOL: "thrift"; it can be http\/protobuf, http\/json, grpc/,
  ],
] as const) {
  test(`H3: start: ${what}: exit code 1 and a line that says so`, async () => {
    const file = join(world.folder, `refused-${what.length}-proxy.yaml`);
    writeFileSync(
      file,
      JSON.stringify({ ...standardConfig(facts, "refused", world.dns.address), ...change }),
    );
    const ran = await runSallyport(["start", "--config", file], { E2E_KEY: "x", ...variables });
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(ran.stderr, says);
  });
}

test("start --watch without a file is wrong usage", async () => {
  const ran = await runSallyport(["start", "--watch"]);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /--watch needs --config/);
});

test("the proxy ends well after all of that", () => proxy.stop());

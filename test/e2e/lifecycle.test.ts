// A proxy from its start to its end: starts that are refused, readiness, and files that change under it.
import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { valueOf } from "./harness/message.ts";
import { runSallyport } from "./harness/sallyport.ts";
import { pause, within } from "./harness/wait.ts";
import { allowlist, placeholder, secrets, standardConfig, swap } from "./harness/world.ts";
import { ask, clientOf, env, operated, reloadOf, series, urlOf, world } from "./operator.ts";

const facts = { securePort: world.secure.port, plainPort: world.plain.port, folder: world.folder };

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

// What operators have: health, readiness, metrics, the management API, and the reloads that it makes.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { openTunnel } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Address } from "./harness/sallyport.ts";
import { eventually } from "./harness/wait.ts";
import { allowlist, placeholder } from "./harness/world.ts";
import {
  ask,
  clientOf,
  env,
  key,
  operated,
  reloadOf,
  rewrite,
  series,
  statusOf,
  urlOf,
  world,
} from "./operator.ts";

const proxy = await world.another("operated", { config: () => operated, env });

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

test("the proxy ends well after all of that", () => proxy.stop());

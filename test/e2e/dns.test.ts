// The DNS server of the real executable, asked by node's own resolver.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCheck } from "../helpers/cli.ts";
import { runSallyport } from "./harness/sallyport.ts";
import { eventually } from "./harness/wait.ts";
import { openWorld, standardConfig } from "./harness/world.ts";

const section = {
  enabled: true,
  listen: "127.0.0.1:0",
  proxy_ip: "127.0.0.1",
  proxy_ip6: "::1",
  refuse_denied: true,
  passthrough: ["real.e2e.test"],
};
const world = await openWorld({ config: () => ({ dns: section }) });
world.dns.set("real.e2e.test", ["203.0.113.9"]);
const line = await world.proxy.line("dns server starting");
const resolver = new Resolver({ timeout: 3000, tries: 1 });
resolver.setServers([String(line["addr"])]);

test("the port that was bound is logged", () => {
  assert.match(String(line["addr"]), /^127\.0\.0\.1:[1-9]\d*$/);
});

test("names that policy admits have the proxy's addresses", async () => {
  assert.deepEqual(await resolver.resolve4("api.e2e.test"), ["127.0.0.1"]);
  assert.deepEqual(await resolver.resolve6("api.e2e.test"), ["::1"]);
});

test("I8: nothing is resolved for them", () => {
  assert.deepEqual(world.dns.queries, []);
});

test("a name that is let through is resolved by dns.upstream_resolver", async () => {
  assert.deepEqual(await resolver.resolve4("real.e2e.test"), ["203.0.113.9"]);
});

test("I13: a refused name does not exist, and has a record", async () => {
  await assert.rejects(resolver.resolve4("secret-data.evil.test"), { code: "ENOTFOUND" });
  const record = await eventually("the record", () =>
    world.proxy.audit.read().find(({ audit }) => audit.method === "DNS"),
  );
  assert.equal(record.audit.host, "secret-data.evil.test");
  assert.equal(record.audit.reason, "host_not_allowed");
  assert.equal(record.rejected_by, "allowlist");
});

test("a reload puts records in place, and asks for a restart for the rest", async () => {
  const { proxy } = world;
  const config = JSON.parse(readFileSync(proxy.configFile, "utf8")) as { dns: Record<string, unknown> };
  config.dns = {
    ...config.dns,
    records: [{ name: "db.e2e.test", type: "A", value: "192.0.2.7" }],
    upstream_resolver: "127.0.0.1:9",
  };
  writeFileSync(proxy.configFile, JSON.stringify(config));
  const before = proxy.log.length;
  proxy.signal("SIGHUP");
  const waits = await proxy.line("changes that wait for a restart", before);
  assert.deepEqual(waits["keys"], ["dns.upstream_resolver"]);
  assert.deepEqual(await resolver.resolve4("db.e2e.test"), ["192.0.2.7"]);
  assert.deepEqual(await resolver.resolve4("real.e2e.test"), ["203.0.113.9"], "by the resolver of the start");
});

/** What a start says that cannot succeed. */
async function refusal(name: string, dns: Record<string, unknown>): Promise<string> {
  const facts = { securePort: 1, plainPort: 1, folder: world.folder };
  const base = standardConfig(facts, name, world.dns.address);
  const file = join(world.folder, `${name}.json`);
  writeFileSync(file, JSON.stringify({ ...base, dns: { ...section, ...dns } }));
  const { code, stderr } = await runSallyport(["start", "--config", file], { E2E_KEY: "x" });
  assert.equal(code, 1);
  return stderr;
}

test("a port that is taken, for either protocol, stops the start by name", async () => {
  const taken = createSocket("udp4").bind(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address();
  assert.match(
    await refusal("taken", { listen: `127.0.0.1:${port}` }),
    new RegExp(
      `dns\\.listen \\(UDP\\): cannot listen on 127\\.0\\.0\\.1:${port}: another program has this port`,
    ),
  );
  taken.close();
});

test("a resolver that is the server itself stops the start", async () => {
  const probe = createSocket("udp4").bind(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  // Every address of the machine, so that only the bound port tells.
  const own = { listen: `0.0.0.0:${port}`, upstream_resolver: `127.0.0.1:${port}` };
  assert.match(await refusal("itself", own), /dns\.upstream_resolver: .* is this proxy's own DNS server/);
});

test("patterns that cannot be used are errors of the file", async () => {
  const dns = JSON.stringify({ ...section, passthrough: ["*.cluster.local:53", "10.0.0.1", "a b"] });
  const { issues } = await runCheck(`dns: ${dns}\ntls: {ca_cert: ca.crt, ca_key: ca.key}\n`);
  const text = JSON.stringify(issues);
  assert.match(text, /dns\.passthrough: a name has no port/);
  assert.match(text, /dns\.passthrough: nobody asks for the address of an address/);
  assert.match(text, /dns\.passthrough: host .*a b/);
});

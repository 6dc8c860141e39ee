// Declarations in a running proxy: what a tool declares is served, and nothing beside it (E1 to E3), and a reload reads
// the directories again (H2).
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { directoryOf } from "../tools/support.ts";
import { openTunnel, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Address } from "./harness/sallyport.ts";
import { openWorld } from "./harness/world.ts";

const world = await openWorld();
const { secureAuthority, secure } = world;

/** A declaration for one host of the upstream; rules without a port are for the usual ports. */
function declaration(host: string, more = ""): string {
  return `[tool.centaur]\nsecrets = [{ name = "E2E_KEY", match_headers = ["Authorization"], hosts = ["${host}:${secure.port}"] }${more}]\n`;
}

const tools = directoryOf({
  "warehouse/pyproject.toml": declaration("api.e2e.test"),
  "bad/pyproject.toml": declaration("api.e2e.test", ", 3"),
});
const proxy = await world.another("tools", {
  config: () => ({ tools: { directories: [tools] }, transforms: [] }),
});
const otherAuthority = secureAuthority.replace("api.", "other.");

async function open(authority: string) {
  const tunnel = await openTunnel(world.context, proxy.addresses.tunnel as Address, authority);
  return startTls(world.context, tunnel);
}

test("E1, E3: the header that is declared gets the credential; other headers and the query keep the placeholder", async () => {
  const client = await open(secureAuthority);
  const fields = ["Authorization: Bearer E2E_KEY", "X-Other: E2E_KEY"];
  assert.equal((await client.request("GET", "/declared?key=E2E_KEY", { fields })).status, 200);
  const seen = await secure.request("/declared");
  assert.equal(seen.target, "/declared?key=E2E_KEY");
  assert.equal(valueOf(seen.fields, "authorization"), `Bearer ${world.credential}`);
  assert.equal(valueOf(seen.fields, "x-other"), "E2E_KEY");
  client.close();
});

test("a tool with a mistake is told of at the start, with its file and line", () => {
  const line = proxy.log.find(({ msg }) => msg.includes("tool bad is left out"));
  assert.equal(line?.level, "WARN");
  assert.match(String(line?.["at"]), /bad\/pyproject\.toml:2:\d+$/);
});

test("E2: a host that no tool declares cannot be reached", async () => {
  await assert.rejects(open(otherAuthority), /403/);
});

test("H2: a reload reads the directories again, and connections that are open stay", async () => {
  const client = await open(secureAuthority);
  const fields = ["Authorization: Bearer E2E_KEY"];
  assert.equal((await client.request("GET", "/before", { fields })).status, 200);
  mkdirSync(join(tools, "search"));
  writeFileSync(join(tools, "search/pyproject.toml"), declaration("other.e2e.test"));
  proxy.signal("SIGHUP");
  await proxy.line("pipeline reloaded");
  assert.equal((await client.request("GET", "/after", { fields })).status, 200);
  client.close();
  const added = await open(otherAuthority);
  assert.equal((await added.request("GET", "/added", { fields })).status, 200);
  assert.equal(
    valueOf((await secure.request("/added")).fields, "authorization"),
    `Bearer ${world.credential}`,
  );
  added.close();
  await proxy.stop();
});

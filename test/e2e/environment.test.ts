// Credentials that came in variables: what a library inside the proxy, or a program it starts, finds of them (I14).
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type Answer, valueOf } from "./harness/message.ts";
import { openWorld, secrets, swap } from "./harness/world.ts";

const second = "canary-second-0123456789abcdef";
/** Inside the proxy, before its own code: names the variables that are there, whenever it is asked by a signal. */
const probe = `process.on("SIGUSR2", () => {
  process.stderr.write(JSON.stringify({ msg: "variables", names: Object.keys(process.env) }) + "\\n");
});`;
const world = await openWorld({
  env: {
    E2E_SECOND: second,
    UNRELATED: "kept",
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(probe)}`,
  },
});
world.canary.watch("second", second);
const { proxy, plain } = world;

async function variables(): Promise<readonly string[]> {
  const seen = proxy.log.length;
  proxy.signal("SIGUSR2");
  return (await proxy.line("variables", seen))["names"] as readonly string[];
}

async function send(path: string, value: string): Promise<Answer> {
  const client = await world.absolute();
  const answer = await client.request("GET", path, { fields: [`X-Api-Key: ${value}`] });
  client.close();
  return answer;
}

async function reload(): Promise<void> {
  const seen = proxy.log.length;
  proxy.signal("SIGHUP");
  await proxy.line("pipeline reloaded", seen);
}

test("I14: a variable is out of process.env once its source was read, and others are not", async () => {
  const names = await variables();
  for (const kept of ["UNRELATED", "PATH", "E2E_SECOND"]) assert.ok(names.includes(kept), kept);
  assert.ok(!names.includes("E2E_KEY"));
  assert.equal((await send("/first", "placeholder-of-the-api-key")).status, 200);
  assert.equal(valueOf((await plain.request("/first")).fields, "x-api-key"), world.credential);
});

test("a reload reads a variable that is named anew, and again one that is gone from process.env", async () => {
  const config = JSON.parse(readFileSync(proxy.configFile, "utf8")) as { transforms: object[] };
  config.transforms.push(secrets([swap("E2E_SECOND", "placeholder-of-the-second", [world.plainAuthority])]));
  writeFileSync(proxy.configFile, JSON.stringify(config));
  for (const path of ["/named", "/again"]) {
    await reload();
    const names = await variables();
    assert.ok(names.includes("UNRELATED"));
    assert.deepEqual(
      names.filter((name) => name === "E2E_KEY" || name === "E2E_SECOND"),
      [],
    );
    assert.equal((await send(path, "placeholder-of-the-second")).status, 200);
    assert.equal(valueOf((await plain.request(path)).fields, "x-api-key"), second);
  }
});

test("I14: /proc shows nothing of the environment it was started with", {
  skip: process.platform === "linux" ? false : "this is Linux's",
}, () => {
  const shown = readFileSync(`/proc/${proxy.pid}/environ`);
  assert.ok(shown.length > 0);
  assert.ok(shown.every((byte) => byte === 0));
});

// HTTP/2 with what nghttp2's authors and h2spec's made: their clients, their server, and their list of rules.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { missing, run } from "../e2e/harness/programs.ts";
import type { Address } from "../e2e/harness/sallyport.ts";
import { pause } from "../e2e/harness/wait.ts";
import { allowlist, openWorld } from "../e2e/harness/world.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { folder, noGo } from "./peers.ts";

const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";
const world = await openWorld({
  config: () => ({ transforms: [allowlist(["*.e2e.test:*", "localhost:*"])] }),
});
const { host, port } = world.proxy.addresses.https as Address;

test("h2spec: every one of its cases", { skip: noGo, timeout: 280_000 }, async (t) => {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => name.startsWith("GO") && value !== undefined),
  ) as Record<string, string>;
  const built = await run("go", ["install", h2spec], { env: { ...env, GOBIN: folder }, timeoutMs: 200_000 });
  if (built.code !== 0) return t.skip(`go install failed: ${built.stderr.trim().split("\n").at(-1)}`);
  // The upstream it asks for is the proxy itself. That shows only after policy, so requests are read before they are refused.
  const args = ["-h", "localhost", "-p", String(port), "-t", "-k", "-o", "3"];
  const { stdout } = await run(join(folder, "h2spec"), args, { timeoutMs: 60_000 });
  assert.match(stdout, /(\d+) tests, \1 passed, 0 skipped, 0 failed/, stdout.slice(-4000));
});

test("h2load: many streams on many connections", { skip: missing("h2load") }, async () => {
  const { stdout } = await run("h2load", load(2000, `https://${world.secureAuthority}/load`));
  assert.match(stdout, /2000 succeeded, 0 failed/);
  assert.match(stdout, /Application protocol: h2/);
});

test("nghttp reads a refusal", { skip: missing("nghttp") }, async () => {
  const { stdout } = await run("nghttp", ["-nv", `https://localhost:${port}/`]);
  assert.match(stdout, /:status: (?:403|502)/);
  assert.match(stdout, /sallyport-reason: (?:proxy_loop|upstream_connect_failed)/);
});

test("nghttpd as the upstream", { skip: missing("nghttpd") || missing("h2load") }, async () => {
  const root = join(world.folder, "htdocs");
  mkdirSync(root);
  writeFileSync(join(root, "file"), Buffer.alloc(300_000, "n"));
  const leaf = makeLeaf(world.upstreamCa, ["other.e2e.test"]);
  writeFileSync(join(root, "key"), leaf.keyPem);
  writeFileSync(join(root, "crt"), leaf.certPem);
  const upstream = 20_000 + (process.pid % 10_000);
  const server = spawn("nghttpd", [
    "-a",
    "127.0.0.1",
    "-d",
    root,
    String(upstream),
    join(root, "key"),
    join(root, "crt"),
  ]);
  after(() => server.kill());
  for (let tries = 0; tries < 200 && !(await listens(upstream)); tries++) await pause(20);
  const { stdout } = await run("h2load", load(500, `https://other.e2e.test:${upstream}/file`));
  assert.match(stdout, /500 succeeded, 0 failed/);
  assert.match(stdout, /status codes: 500 2xx/);
});

function load(requests: number, url: string): string[] {
  return ["-n", String(requests), "-c", "4", "-m", "50", `--connect-to=${host}:${port}`, url];
}

function listens(at: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
  });
}

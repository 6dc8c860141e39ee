// WebSocket with websockets for Python on both sides, by CONNECT and by SOCKS5; SOCKS5 with clients that others wrote.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../e2e/harness/programs.ts";
import type { Address } from "../e2e/harness/sallyport.ts";
import { eventually } from "../e2e/harness/wait.ts";
import { openWorld } from "../e2e/harness/world.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { noPython, pythonProgram, startServer } from "./peers.ts";

const world = await openWorld();
const { host, port } = world.proxy.addresses.tunnel as Address;
const client = (name: string): string => fileURLToPath(new URL(`clients/${name}`, import.meta.url));

for (const scheme of ["http", "socks5h"] as const) {
  test(`websockets for Python, by way of ${scheme}://`, { skip: noPython }, async () => {
    const leaf = makeLeaf(world.upstreamCa, ["other.e2e.test"]);
    const [cert, key] = [join(world.folder, "ws.crt"), join(world.folder, "ws.key")];
    writeFileSync(cert, leaf.certPem);
    writeFileSync(key, leaf.keyPem);
    let upstream = "";
    await startServer(
      pythonProgram("python"),
      [client("websocket_server.py"), cert, key],
      /listens on \d+/,
      (said) => {
        upstream = /listens on (\d+)/.exec(said)?.[1] ?? "";
      },
    );
    const url = `wss://other.e2e.test:${upstream}/`;
    const args = [client("websocket_client.py"), url, `${scheme}://${host}:${port}`, world.proxyCaFile];
    const ran = await run(pythonProgram("python"), args, { timeoutMs: 60_000 });
    assert.equal(ran.stdout, "1000 permessage", ran.stderr);
  });
}

test("httpx for Python, by way of socks5h://", { skip: noPython }, async () => {
  const script = `
import httpx, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3])
with httpx.Client(proxy=sys.argv[2], verify=context, trust_env=False) as client:
    answer = client.get(sys.argv[1])
    print(answer.status_code, answer.text, end="")
`;
  const url = `https://${world.secureAuthority}/httpx`;
  const args = ["-c", script, url, `socks5h://${host}:${port}`, world.proxyCaFile];
  const ran = await run(pythonProgram("python"), args);
  assert.equal(ran.stdout, "200 ok", ran.stderr);
});

const noDante =
  spawnSync("which", ["socksify"]).status === 0
    ? false
    : "this machine has no socksify (Debian: dante-client)";

test("Dante's socksify leads a program here that knows nothing of proxies", { skip: noDante }, async () => {
  const config = join(world.folder, "socks.conf");
  writeFileSync(
    config,
    [
      "resolveprotocol: fake",
      `route { from: 0.0.0.0/0 to: 0.0.0.0/0 via: ${host} port = ${port}`,
      "protocol: tcp",
      "proxyprotocol: socks_v5",
      "method: none",
      "}",
      "",
    ].join("\n"),
  );
  const url = `https://${world.secureAuthority}/dante`;
  const args = ["curl", "-sS", "-4", "--max-time", "10", "--cacert", world.proxyCaFile, url];
  const ran = await run("socksify", args, { env: { SOCKS_CONF: config, LANG: "C" } });
  assert.equal(ran.stdout, "ok", ran.stderr);
  // The name arrived here, which Dante could not resolve.
  const line = await eventually("its record", () =>
    world.proxy.audit.read().find(({ audit }) => audit.path === "/dante"),
  );
  assert.equal(line.tunnel?.target, world.secureAuthority);
});

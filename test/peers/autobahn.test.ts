// Autobahn's cases for WebSocket, as client and as server, through the proxy and without it: what it finds has to be the
// same, for a relay neither mends what a peer does wrong nor breaks what it does right.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type ClientOptions, WebSocket, WebSocketServer } from "ws";
import { run } from "../e2e/harness/programs.ts";
import type { Address } from "../e2e/harness/sallyport.ts";
import { within } from "../e2e/harness/wait.ts";
import { allowlist, openWorld } from "../e2e/harness/world.ts";
import { autobahn, noAutobahn, startServer } from "./peers.ts";

/** All but most of those about size (9) and compression (12, 13), which take many minutes. */
const cases = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.1", "9.2.1", "10.*"];
const compressed = ["12.1.1", "12.2.1", "13.1.1"];

/** Where the proxy attaches a credential, it looks into what the upstream sends, and nothing may be compressed. */
const ways = { direct: "127.0.0.1", relayed: "other.e2e.test", scrubbed: "api.e2e.test" } as const;
type Way = keyof typeof ways;

const world = await openWorld({
  config: () => ({
    proxy: { plaintext_credentials: "allow" },
    transforms: [
      allowlist(["*.e2e.test:*"]),
      {
        name: "secrets",
        config: {
          secrets: [
            {
              source: { type: "env", var: "E2E_KEY" },
              inject: { header: "X-Key" },
              rules: [{ host: `${ways.scrubbed}:*` }],
            },
          ],
        },
      },
    ],
  }),
});
const { host, port } = world.proxy.addresses.tunnel as Address;
const driver = fileURLToPath(new URL("clients/wstest.py", import.meta.url));

interface Verdict {
  readonly behavior: string;
  readonly behaviorClose: string;
  readonly remoteCloseCode: number | null;
}
type Verdicts = Readonly<Record<string, Verdict>>;

/** What Autobahn wrote about each way. */
function read(folder: string): Record<Way, Verdicts> {
  return JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as Record<Way, Verdicts>;
}

/** Cases that ended otherwise than without the proxy, and what they were. */
function differing(verdicts: Record<Way, Verdicts>, way: Way): Map<string, [direct: Verdict, here: Verdict]> {
  const text = (one: Verdict) => [one.behavior, one.behaviorClose, one.remoteCloseCode].join();
  const found = new Map<string, [Verdict, Verdict]>();
  for (const [id, direct] of Object.entries(verdicts.direct)) {
    const here = verdicts[way][id];
    assert.ok(here, `case ${id} was not run ${way}`);
    if (text(direct) !== text(here)) found.set(id, [direct, here]);
  }
  return found;
}

/** Nothing differs where bytes are relayed; and compression is not agreed on where a credential is looked for. */
function check(verdicts: Record<Way, Verdicts>): Map<string, [direct: Verdict, here: Verdict]> {
  assert.ok(Object.keys(verdicts.direct).length > 240, "the cases were run");
  assert.deepEqual([...differing(verdicts, "relayed")], []);
  const scrubbed = differing(verdicts, "scrubbed");
  for (const id of compressed) {
    assert.equal(verdicts.direct[id]?.behavior, "OK");
    assert.equal(verdicts.scrubbed[id]?.behavior, "UNIMPLEMENTED");
    scrubbed.delete(id);
  }
  return scrubbed;
}

function specification(name: string, content: object): { file: string; reports: string } {
  const reports = join(world.folder, name);
  mkdirSync(reports);
  const file = join(reports, "spec.json");
  writeFileSync(file, JSON.stringify({ outdir: reports, cases: [...cases, ...compressed], ...content }));
  return { file, reports };
}

test("its client, with ws as the server", { skip: noAutobahn, timeout: 280_000 }, async () => {
  const server = createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: true, maxPayload: 64 * 1024 * 1024 });
  sockets.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const upstream = await listen(server);
  const servers = Object.entries(ways).map(([way, name]) => ({
    agent: way,
    url: `ws://${name}:${upstream}`,
    ...(way === "direct" ? {} : { proxy: { host, port } }),
  }));
  const { file, reports } = specification("client", { servers });
  const [python, folder] = autobahn();
  const ran = await run(python, [driver, folder, "-m", "fuzzingclient", "-s", file], { timeoutMs: 270_000 });
  assert.equal(ran.code, 0, ran.stderr.slice(-2000));
  assert.deepEqual([...check(read(reports))], []);
});

test("its server, with ws as the client", { skip: noAutobahn, timeout: 280_000 }, async () => {
  const at = 30_000 + (process.pid % 10_000);
  const { file, reports } = specification("server", { url: `ws://127.0.0.1:${at}` });
  const [python, folder] = autobahn();
  const args = [driver, folder, "-m", "fuzzingserver", "-s", file, "-u", "0"];
  await startServer(python, ["-u", ...args], /Cases = /);
  const count = Number(await talk("direct", at, "/getCaseCount"));
  for (const way of Object.keys(ways) as Way[]) {
    for (let number = 1; number <= count; number++)
      await talk(way, at, `/runCase?case=${number}&agent=${way}`);
  }
  await talk("direct", at, "/updateReports?agent=direct");
  // Frames that break the protocol cannot be searched: the upstream is cut then, before its client could say 1002.
  for (const [id, [direct, here]] of check(read(reports))) {
    assert.deepEqual([direct.remoteCloseCode, here.remoteCloseCode], [1002, null], id);
    assert.match(`${here.behavior} ${here.behaviorClose}`, /^(?:OK|NON-STRICT) OK$/, id);
  }
});

/** Echoes until the server ends, and gives its last message. */
async function talk(way: Way, at: number, path: string): Promise<string> {
  const socket = way === "direct" ? undefined : await tunnel(`${ways[way]}:${at}`);
  const options: ClientOptions = { perMessageDeflate: true, maxPayload: 64 * 1024 * 1024 };
  // ws gives its own options to it, and takes a net.Socket back.
  if (socket !== undefined) options.createConnection = () => socket;
  const client = new WebSocket(`ws://${ways[way]}:${at}${path}`, options);
  let last = "";
  client.on("error", () => {});
  client.on("message", (data: Buffer, isBinary) => {
    last = data.subarray(0, 100).toString();
    client.send(data, { binary: isBinary });
  });
  // Errors are what many cases are about.
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  client.on("close", () => resolve());
  await within(`the end of ${path}`, closed, 60_000);
  return last;
}

async function tunnel(authority: string): Promise<Socket> {
  const socket = connect(port, host);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
  return socket;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => void server.close());
  return (server.address() as AddressInfo).port;
}

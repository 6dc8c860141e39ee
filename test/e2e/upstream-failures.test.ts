// What a workload gets when an upstream cannot be reached: which leg failed, in words, and never an address or a
// credential.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import * as x509 from "../../src/tls/x509.ts";
import { freePort } from "../helpers/free-port.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { startUpstream, type Upstream, type UpstreamOptions } from "./harness/upstream.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const patience = "700ms";
const world = await openWorld({
  config: () => ({
    proxy: { timeouts: { upstream_connect: patience } },
    transforms: [allowlist(["*.e2e.test:*"]), secrets([swap("E2E_KEY", placeholder, ["*.e2e.test:*"])])],
  }),
});
const { proxy } = world;
const fields = [`Authorization: Bearer ${placeholder}`];
const reasonOf = (answer: Answer) => valueOf(answer.fields, "sallyport-reason");

async function started(options: UpstreamOptions): Promise<Upstream> {
  const upstream = await startUpstream(options);
  after(() => upstream.close());
  return upstream;
}

const ok = (names: string | readonly string[], options = {}, ca = world.upstreamCa) => {
  const leaf = makeLeaf(ca, names, options);
  return { cert: leaf.certPem, key: leaf.keyPem };
};
const hour = 3_600_000;
const past = { notBefore: new Date(Date.now() - 48 * hour), notAfter: new Date(Date.now() - hour) };
const future = { notBefore: new Date(Date.now() + 24 * hour), notAfter: new Date(Date.now() + 48 * hour) };
const stranger = makeCa();
const selfSigned = makeCa({
  name: "api.e2e.test",
  extensions: [
    x509.basicConstraints(false),
    x509.keyUsage(x509.keyUsageBit.digitalSignature),
    x509.serverAuth(),
    x509.subjectAltName(["api.e2e.test"], false),
  ],
});

interface Failure {
  readonly what: string;
  readonly authority: string;
  readonly status: number;
  readonly reason: string;
  /** In the message for the workload. */
  readonly says: RegExp;
}

const plainAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
const at = (upstream: { port: number }, host = "api.e2e.test") => `${host}:${upstream.port}`;
world.dns.set("nowhere.e2e.test", "nxdomain");
world.dns.set("silent.e2e.test", "silent");
world.dns.set("empty.e2e.test", []);
const closedPort = await freePort();
const crowded = await fullBacklog();

const legs: readonly Failure[] = [
  {
    what: "a name that does not resolve",
    authority: "nowhere.e2e.test:443",
    status: 502,
    reason: "upstream_resolve_failed",
    says: /nowhere\.e2e\.test could not be resolved: no such name/,
  },
  {
    what: "a name without an address",
    authority: "empty.e2e.test:443",
    status: 502,
    reason: "upstream_resolve_failed",
    says: /could not be resolved/,
  },
  {
    what: "a resolver that does not answer",
    authority: "silent.e2e.test:443",
    status: 502,
    reason: "upstream_resolve_failed",
    says: /could not be resolved: the resolver did not answer/,
  },
  {
    what: "a port where nobody listens",
    authority: `api.e2e.test:${closedPort}`,
    status: 502,
    reason: "upstream_connect_failed",
    says: /No connection to api\.e2e\.test:\d+: nothing listens there/,
  },
  ...(crowded === undefined
    ? []
    : [
        {
          what: "a host that does not accept the connection",
          authority: `api.e2e.test:${crowded}`,
          status: 504,
          reason: "upstream_connect_timeout",
          says: /did not accept a connection in time/,
        },
      ]),
  {
    what: "a self-signed certificate",
    authority: at(await started({ tls: { cert: selfSigned.certPem, key: selfSigned.keyPem } })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /certificate of api\.e2e\.test is not trusted/,
  },
  {
    what: "a certificate of an unknown CA",
    authority: at(await started({ tls: ok("api.e2e.test", {}, stranger) })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /is not trusted.*tls\.upstream_ca/,
  },
  {
    what: "an expired certificate",
    authority: at(await started({ tls: ok("api.e2e.test", past) })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /certificate of api\.e2e\.test has expired/,
  },
  {
    what: "a certificate that is not valid yet",
    authority: at(await started({ tls: ok("api.e2e.test", future) })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /is not valid yet/,
  },
  {
    what: "a certificate for another name",
    authority: at(await started({ tls: ok("other.e2e.test") })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /certificate of api\.e2e\.test is for other names/,
  },
  {
    what: "a certificate for the proxy's CA, which upstreams have no use for",
    authority: at(await started({ tls: ok("api.e2e.test", {}, world.proxyCa) })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /is not trusted/,
  },
  {
    what: "an upstream that wants a client certificate",
    authority: at(
      await started({
        tls: { ...ok("api.e2e.test"), requestCert: true, rejectUnauthorized: true, maxVersion: "TLSv1.2" },
      }),
    ),
    status: 502,
    reason: "upstream_tls_failed",
    says: /TLS with api\.e2e\.test:\d+ failed/,
  },
  {
    what: "plain HTTP where TLS is expected",
    authority: at(
      await started({ raw: (socket) => void socket.once("data", () => socket.end(plainAnswer)) }),
    ),
    status: 502,
    reason: "upstream_tls_failed",
    says: /does not speak TLS on this port/,
  },
  {
    what: "a TLS handshake that stalls",
    authority: at(await started({ raw: () => {} })),
    status: 504,
    reason: "upstream_tls_failed",
    says: /did not finish the TLS handshake in time/,
  },
  {
    what: "an upstream that closes in the TLS handshake",
    authority: at(await started({ raw: (socket) => void socket.once("data", () => socket.destroy()) })),
    status: 502,
    reason: "upstream_tls_failed",
    says: /closed the connection in the handshake/,
  },
];

// Together: much of it is waiting for the proxy's patience to end.
describe("legs", { concurrency: true }, () => {
  for (const { what, authority, status, reason, says } of legs) {
    test(`I14: ${what}: ${status} ${reason}`, async () => {
      const client = await world.connect(authority);
      const answer = await client.request("GET", "/leg", { fields });
      checkFailure(answer, { status, reason, says });
      const line = await proxy.audit.last(client, 2);
      assert.equal(line.audit.action, "error");
      assert.equal(line.audit.status_code, status);
      assert.equal(line.audit.reason, reason);
      assert.notEqual(line.error ?? "", "");
      // The client's connection is not to blame and stays.
      assert.equal((await client.request("OPTIONS", "/leg", { fields })).status, status);
      await proxy.audit.of(client, 3);
    });
  }
});

function checkFailure(
  answer: Answer,
  { status, reason, says }: Pick<Failure, "status" | "reason" | "says">,
): void {
  assert.equal(answer.status, status);
  assert.equal(reasonOf(answer), reason);
  const { error } = JSON.parse(answer.body.toString()) as {
    error: { type: string; reason: string; message: string };
  };
  assert.equal(error.type, "sallyport_failed");
  assert.equal(error.reason, reason);
  assert.match(error.message, says);
  assert.ok(!/127\.0\.0\.1|::1/.test(answer.body.toString()), "no internal address");
}

/**
 * A port whose queue of connections is full: a process that listens and never accepts. `undefined` where the system
 * does not drop what is too much (only Linux is known to).
 */
async function fullBacklog(): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined;
  const script = `
    const server = require("node:net").createServer().listen(0, "127.0.0.1", 1, () => {
      process.stdout.write(String(server.address().port), () =>
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
  const sockets: Socket[] = [];
  after(() => {
    for (const socket of sockets) socket.destroy();
    child.kill("SIGKILL");
  });
  const port = await new Promise<number>((resolve) => {
    child.stdout.once("data", (text: Buffer) => resolve(Number(text.toString())));
  });
  // The queue is full when a connection is not accepted at once.
  for (let count = 0; count < 16; count++) {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    sockets.push(socket);
    const accepted = await Promise.race([
      new Promise((resolve) => socket.once("connect", () => resolve(true))),
      new Promise((resolve) => setTimeout(() => resolve(false), 200)),
    ]);
    if (accepted === false) return port;
  }
  return undefined;
}

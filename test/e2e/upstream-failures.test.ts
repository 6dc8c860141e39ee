// What a workload gets when the other side fails: which leg, in words, and never an address or a credential; and when
// an upstream lies about its answer, never a body that looks complete.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import * as x509 from "../../src/tls/x509.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { type Script, startUpstream, type Upstream, type UpstreamOptions } from "./harness/upstream.ts";
import { eventually } from "./harness/wait.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const patience = "700ms";
const world = await openWorld({
  config: () => ({
    proxy: {
      upstream_response_header_timeout: patience,
      timeouts: { upstream_connect: patience, upstream_body: patience },
      limits: { max_header_bytes: 16_384 },
    },
  }),
});
const { secure, plain, proxy } = world;
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

const answers: readonly (readonly [what: string, script: Script, status: number, reason: string])[] = [
  ["no answer at all", () => new Promise(() => {}), 504, "upstream_response_timeout"],
  ["a connection closed before the answer", (request) => request.end(), 502, "upstream_closed"],
  ["a connection reset before the answer", (request) => request.reset(), 502, "upstream_closed"],
  ["half a head", (request) => half(request, "HTTP/1.1 200 OK\r\nX-A:"), 502, "upstream_closed"],
  [
    "something that is no HTTP",
    (request) => request.write("SSH-2.0-x\r\n\r\n"),
    502,
    "upstream_response_invalid",
  ],
  [
    "both Content-Length and Transfer-Encoding (attack 20)",
    (request) => request.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
    502,
    "upstream_response_invalid",
  ],
  [
    "two Content-Lengths (attack 20)",
    (request) => request.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"),
    502,
    "upstream_response_invalid",
  ],
  [
    "a folded line (attack 21)",
    (request) => request.write("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    502,
    "upstream_response_invalid",
  ],
  [
    "a status that is none",
    (request) => request.write("HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"),
    502,
    "upstream_response_invalid",
  ],
  [
    "a head that is too large (attack 60)",
    (request) => request.write(`HTTP/1.1 200 OK\r\nX-A: ${"x".repeat(20_000)}\r\n\r\n`),
    502,
    "upstream_response_invalid",
  ],
  [
    "one interim response after the other (attack 60)",
    (request) => request.write("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)),
    502,
    "upstream_response_invalid",
  ],
];

function half(request: Parameters<Script>[0], text: string): void {
  request.write(text);
  request.end();
}

for (const [index, [what, script, status, reason]] of answers.entries()) {
  test(`${what}: ${status} ${reason}`, async () => {
    const path = `/answer-${index}`;
    secure.on(path, script);
    const client = await world.open("connect");
    // POST is not repeated on another connection.
    const answer = await client.request("POST", path, { fields, body: "x" });
    checkFailure(answer, { status, reason, says: /api\.e2e\.test/ });
    assert.equal((await client.request("GET", "/fine")).status, 200, "the next request is not affected");
    const [, failed] = await proxy.audit.of(client, 3);
    assert.equal(failed?.audit.reason, reason);
    assert.equal(failed?.audit.action, "error");
  });
}

const lies: readonly (readonly [what: string, script: Script])[] = [
  [
    "fewer bytes than announced",
    (request) => half(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
  ],
  [
    "a reset in a body with a length",
    (request) => cutAfter(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
  ],
  [
    "an end between two chunks",
    (request) => half(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
  ],
  [
    "an end inside a chunk",
    (request) => half(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort"),
  ],
  [
    "an end inside the trailers",
    (request) =>
      half(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nX-A: b\r\n"),
  ],
  [
    "a chunk that is none",
    (request) => request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n"),
  ],
  [
    "a reset in a body that ends with the connection",
    (request) => cutAfter(request, "HTTP/1.1 200 OK\r\n\r\nshort"),
  ],
  [
    "silence in the middle of a body (attack 60)",
    (request) => request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
  ],
];

/** Lets the bytes get through, then resets. */
function cutAfter(request: Parameters<Script>[0], text: string): void {
  request.write(text);
  setTimeout(() => request.reset(), 50);
}

for (const [index, [what, script]] of lies.entries()) {
  test(`${what}: the client's connection is cut, and the body never looks complete`, async () => {
    const path = `/lie-${index}`;
    secure.on(path, script);
    const client = await world.open("redirected");
    const answer = await client.request("GET", path);
    assert.equal(answer.status, 200);
    assert.equal(answer.complete, false);
    assert.equal(answer.body.toString(), "short");
    await client.ended();
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.action, "error");
    assert.equal(line.audit.status_code, 200);
    assert.notEqual(line.error ?? "", "");
  });
}

test("a client of HTTP/1.0 sees a reset where a body that ends with its connection was cut", async () => {
  plain.on("/cut10", (request) => cutAfter(request, "HTTP/1.1 200 OK\r\n\r\nshort"));
  const client = await world.open("absolute");
  client.send(`GET http://${client.authority}/cut10 HTTP/1.0\r\nHost: ${client.authority}\r\n\r\n`);
  const answer = await client.answer();
  assert.equal(answer?.complete, false);
  assert.equal(await client.ended(), "cut");
});

test("I10 attack 32: bytes beyond the announced length are dropped, with the connection they came on", async () => {
  secure.on("/extra", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyEXTRA");
  });
  const client = await world.open("connect");
  const before = secure.connections;
  const answer = await client.request("GET", "/extra");
  assert.equal(answer.body.toString(), "body");
  const next = await client.request("GET", "/next");
  assert.equal(next.body.toString(), "ok");
  assert.equal(client.reader.unread.length, 0);
  assert.ok(secure.connections > before, "the next request has a connection of its own");
});

test("an answer before the request is complete ends the upload and reaches the client", async () => {
  secure.on("/early", (request) => {
    request.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    request.end();
  });
  const client = await world.open("connect");
  client.send(`${client.text("POST", "/early", { fields: ["Content-Length: 1000000"] })}begin`);
  const answer = await client.answer();
  assert.equal(answer?.status, 403);
  assert.equal(answer?.body.toString(), "no");
  await client.ended();
  await eventually("the upstream's connection is closed", () => secure.open <= secure.connections);
  await proxy.audit.of(client, 2);
});

/** A port on loopback where nobody listens. */
async function freePort(): Promise<number> {
  const upstream = await startUpstream();
  await upstream.close();
  return upstream.port;
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

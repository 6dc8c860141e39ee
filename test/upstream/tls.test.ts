import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test, type TestContext } from "node:test";
import { createSecureContext, type TlsOptions } from "node:tls";
import { fileURLToPath } from "node:url";
import * as x509 from "../../src/tls/x509.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { answering, ca, eventually, leaf, listen, makeUpstream, ok, send, serve, target } from "./kit.ts";

const day = 24 * 3_600_000;

async function errorOf(t: TestContext, tls: TlsOptions, host = "localhost") {
  const server = await answering(t, ok, tls);
  const { error, head } = await send(makeUpstream(t), target(`${host}:${server.port}`, "https"));
  assert.equal(head, undefined, "an answer came over a connection that must not exist");
  assert.deepEqual([error?.reason, error?.leg, error?.status], ["upstream_tls_failed", "tls", 502]);
  assert.equal(server.peers[0]?.received() ?? "", "", "the request was sent to an unverified upstream");
  return error?.message ?? "";
}

const pem = (made: { certPem: string; keyPem: string }): TlsOptions => ({
  cert: made.certPem,
  key: made.keyPem,
});

test("verifies the upstream by name and speaks TLS 1.3", async (t) => {
  const server = await answering(t, ok, true);
  const outcome = await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.equal(outcome.body, "ok");
  assert.equal(outcome.info?.tls, "TLSv1.3");
});

test("speaks TLS 1.2 where the upstream has nothing newer", async (t) => {
  const server = await answering(t, ok, { ...pem(leaf), maxVersion: "TLSv1.2" });
  const outcome = await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.equal(outcome.info?.tls, "TLSv1.2");
});

test("sends the name as server_name, and offers http/1.1 only", async (t) => {
  let seen: unknown;
  const server = await answering(t, ok, {
    ...pem(leaf),
    ALPNCallback: ({ servername, protocols }) => {
      seen = { servername, protocols };
      return "http/1.1";
    },
  });
  await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.deepEqual(seen, { servername: "localhost", protocols: ["http/1.1"] });
});

test("an upstream named by its address needs a certificate with that address", async (t) => {
  const server = await answering(t, ok, true);
  const outcome = await send(makeUpstream(t), target(`127.0.0.1:${server.port}`, "https"));
  assert.equal(outcome.body, "ok");
  assert.match(
    await errorOf(t, pem(makeLeaf(ca, "localhost")), "127.0.0.1"),
    /127\.0\.0\.1 is for other names\./,
  );
});

test("refuses a self-signed certificate and says how to trust it", async (t) => {
  const message = await errorOf(t, pem(makeCa({ name: "localhost", extensions: [x509.serverAuth()] })));
  assert.match(
    message,
    /^The certificate of localhost is not trusted \(self-signed\); .*tls\.upstream_ca\.$/,
  );
});

test("refuses a certificate of an unknown issuer", async (t) => {
  assert.match(await errorOf(t, pem(makeLeaf(makeCa(), "localhost"))), /is not trusted \(unknown issuer/);
});

test("refuses a chain that ends in an unknown root", async (t) => {
  const root = makeCa();
  const made = makeLeaf(root, "localhost");
  const message = await errorOf(t, { cert: made.certPem + root.certPem, key: made.keyPem });
  assert.match(message, /its root is not among the trusted ones/);
});

test("trusts an intermediate's chain, and refuses it when the server leaves the intermediate out", async (t) => {
  const made = makeLeaf(makeCa({ issuer: ca }), "localhost");
  const server = await answering(t, ok, pem(made));
  assert.equal((await send(makeUpstream(t), target(`localhost:${server.port}`, "https"))).body, "ok");
  const alone = made.certificate.toString();
  assert.match(
    await errorOf(t, { cert: alone, key: made.keyPem }),
    /leaves out an intermediate|unknown issuer/,
  );
});

test("refuses an expired certificate", async (t) => {
  const expired = { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) };
  assert.match(await errorOf(t, pem(makeLeaf(ca, "localhost", expired))), /has expired\.$/);
});

test("refuses a certificate that is not valid yet", async (t) => {
  const future = { notBefore: new Date(Date.now() + day), notAfter: new Date(Date.now() + 2 * day) };
  assert.match(await errorOf(t, pem(makeLeaf(ca, "localhost", future))), /is not valid yet/);
});

test("refuses a certificate for other names", async (t) => {
  assert.match(await errorOf(t, pem(makeLeaf(ca, "other.example"))), /localhost is for other names\.$/);
});

test("verifies also where NODE_TLS_REJECT_UNAUTHORIZED=0 is set", async (t) => {
  const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    await errorOf(t, pem(makeLeaf(makeCa(), "localhost")));
  } finally {
    if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
  }
});

test("refuses an upstream that speaks only TLS 1.1", async (t) => {
  const message = await errorOf(t, {
    ...pem(leaf),
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  assert.match(message, /does not speak TLS 1\.2 or 1\.3/);
});

test("says so when there is no TLS on the port", async (t) => {
  const server = await serve(t, ({ send }) => send("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const { error } = await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.equal(error?.reason, "upstream_tls_failed");
  assert.match(error?.message ?? "", /does not speak TLS on this port/);
});

test("says so when the upstream closes in the handshake", async (t) => {
  const server = await serve(t, ({ socket }) => socket.once("data", () => socket.destroy()));
  const { error } = await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.equal(error?.reason, "upstream_tls_failed");
  assert.match(error?.message ?? "", /closed the connection in the handshake/);
});

test("says so when the upstream wants a client certificate", async (t) => {
  const server = await answering(t, ok, {
    ...pem(leaf),
    requestCert: true,
    rejectUnauthorized: true,
    ca: ca.certPem,
  });
  const { error } = await send(makeUpstream(t), target(`localhost:${server.port}`, "https"));
  assert.equal(error?.reason, "upstream_tls_failed");
  assert.match(error?.message ?? "", /client certificate/);
});

test("a handshake that does not end in time is a 504", async (t) => {
  const server = await serve(t, () => {});
  const upstream = makeUpstream(t, { timeouts: { connectMs: 50 } });
  const { error } = await send(upstream, target(`localhost:${server.port}`, "https"));
  assert.deepEqual([error?.reason, error?.status], ["upstream_tls_failed", 504]);
  await eventually(() => server.peers[0]?.socket.readableEnded === true, "the connection is closed");
});

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`resumes ${maxVersion} sessions with the same authority only`, async (t) => {
    const server = await answering(t, ok, { ...pem(leaf), maxVersion });
    const upstream = makeUpstream(t, { limits: { idlePerHost: 0 } });
    await send(upstream, target(`localhost:${server.port}`, "https"));
    assert.equal(upstream.stats().resumed, 0);
    await send(upstream, target(`localhost:${server.port}`, "https"));
    assert.equal(upstream.stats().resumed, 1);
    await send(upstream, target(`127.0.0.1:${server.port}`, "https"));
    assert.equal(upstream.stats().resumed, 1);
  });
}

test("a session never stands in for the check of another name's certificate", async (t) => {
  const server = await answering(t, ok, pem(makeLeaf(ca, "localhost")));
  const upstream = makeUpstream(t);
  await send(upstream, target(`localhost:${server.port}`, "https"));
  const { error } = await send(upstream, target(`127.0.0.1:${server.port}`, "https"));
  assert.equal(error?.reason, "upstream_tls_failed");
});

test("an upstream reset in the middle of a TLS body aborts it", async (t) => {
  const server = await answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", true);
  const relay = createServer((client) => {
    const upstream = connect(server.port, "127.0.0.1");
    client.on("error", () => {});
    upstream.on("error", () => {});
    client.pipe(upstream);
    upstream.on("data", (bytes: Buffer) => client.write(bytes));
    setTimeout(() => client.resetAndDestroy(), 150);
  });
  const port = await listen(relay);
  t.after(() => relay.close());
  const outcome = await send(makeUpstream(t), target(`localhost:${port}`, "https"));
  assert.equal(outcome.body, "short");
  assert.equal(outcome.aborted?.reason, "upstream_closed");
});

test("connect gives a verified TLS connection, or the bare one for a splice", async (t) => {
  const server = await answering(t, ok, true);
  const upstream = makeUpstream(t);
  const to = target(`localhost:${server.port}`, "https");
  const verified = await upstream.connect(to);
  assert.equal(verified.info.tls, "TLSv1.3");
  verified.socket.destroy();

  const plain = await serve(t, ({ socket }) => socket.on("data", (bytes: Buffer) => socket.write(bytes)));
  const raw = await upstream.connect(target(`localhost:${plain.port}`, "https"), { raw: true });
  assert.equal(raw.info.tls, undefined);
  raw.socket.write("\x16\x03\x01");
  const [echo] = (await once(raw.socket, "data")) as [Buffer];
  assert.equal(echo.toString("latin1"), "\x16\x03\x01");
  raw.socket.destroy();
});

test("connect offers the protocols it is told to", async (t) => {
  const server = await serve(t, () => {}, { ...pem(leaf), ALPNProtocols: ["h2"] });
  const { socket } = await makeUpstream(t).connect(target(`localhost:${server.port}`, "https"), {
    alpn: ["h2"],
  });
  assert.equal((socket as { alpnProtocol?: unknown }).alpnProtocol, "h2");
  socket.destroy();
});

test("without a context of one's own, node's roots decide", async (t) => {
  const server = await answering(t, ok, true);
  const { error } = await send(
    makeUpstream(t, { secureContext: undefined }),
    target(`localhost:${server.port}`, "https"),
  );
  assert.equal(error?.reason, "upstream_tls_failed");
  const context = createSecureContext({ ca: ca.certPem });
  const trusting = makeUpstream(t, { secureContext: context });
  assert.equal((await send(trusting, target(`localhost:${server.port}`, "https"))).body, "ok");
});

test("a connection may be reset as soon as it is made", async () => {
  const program = fileURLToPath(new URL("reset-at-handshake.ts", import.meta.url));
  const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  assert.deepEqual([code, signal, said], [0, null, "survived 400\n"]);
});

// Attacks 14 to 19 and 60: what may be inside a tunnel, what a ClientHello may look like, and that nothing is done for
// hosts that policy refuses.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type Answer, valueOf } from "./harness/message.ts";
import { eventually } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const world = await openWorld({
  config: ({ securePort, plainPort }) => ({
    transforms: [
      allowlist([
        "api.e2e.test:*",
        "scheme.e2e.test",
        "*.localhost",
        { host: "methods.e2e.test:*", methods: ["GET"], paths: ["/ok/*"] },
      ]),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`, `plain.localhost:${plainPort}`])]),
    ],
  }),
});
const { secure, proxy } = world;
const auth = [`Authorization: Bearer ${placeholder}`];

function reasonOf(answer: Answer | undefined): string | undefined {
  return valueOf(answer?.fields ?? [], "sallyport-reason");
}

// --- What may be inside a tunnel

for (const [what, bytes] of [
  ["SSH, from the client's side of it", "\x00\x00\x01\x2c"],
  ["SOCKS4", "\x04\x01\x00\x50"],
  ["lower-case letters", "hello\r\n"],
  ["a TLS alert", "\x15\x03\x01\x00\x02"],
] as const) {
  test(`attack 14: ${what} inside a tunnel ends it`, async () => {
    const client = await world.tunnel(world.secureAuthority);
    client.send(bytes);
    await client.ended();
    const line = await proxy.audit.last(client, 2);
    assert.equal(line.audit.reason, "protocol_not_supported");
  });
}

test("attack 14: SSH that begins with its banner is no HTTP", async () => {
  const client = await world.tunnel(world.secureAuthority);
  client.send("SSH-2.0-OpenSSH_9.6\r\n");
  assert.equal((await client.answer())?.status, 400);
  await proxy.audit.of(client, 2);
});

test("attack 14: a rule without a port admits 443 and 80, not SSH's port", async () => {
  const client = await world.raw();
  client.send("CONNECT scheme.e2e.test:22 HTTP/1.1\r\nHost: scheme.e2e.test:22\r\n\r\n");
  const answer = await client.answer();
  assert.equal(reasonOf(answer), "host_not_allowed");
  (await world.tunnel("scheme.e2e.test:443")).close();
});

// --- ClientHello

test("attack 16: redirected TLS without a server name is refused", async () => {
  const client = await world.raw("https");
  const secureSocket = connectTls({ socket: client.socket, rejectUnauthorized: false });
  await once(secureSocket, "error");
  assert.equal((await proxy.audit.last(client, 1)).audit.reason, "tls_name_missing");
});

test("attack 16: a tunnel without a server name uses the tunnel's", async () => {
  const client = await world.connect(world.secureAuthority, { servername: "" });
  assert.equal((await client.request("GET", "/nosni", { fields: auth })).status, 200);
  assert.equal(
    valueOf((await secure.request("/nosni")).fields, "authorization"),
    `Bearer ${world.credential}`,
  );
});

for (const [what, size] of [
  ["one byte a record", 1],
  ["records of 100 bytes", 100],
] as const) {
  test(`attack 16: a ClientHello of more than 4 kB cut into ${what} still shows its name`, async () => {
    const client = await world.raw("https");
    const many = Array.from({ length: 40 }, (_, number) => `${"x".repeat(100)}${number}`);
    const socket = connectTls({
      socket: cutFirstRecord(client.socket, size),
      servername: "denied.test",
      ca: world.proxyCa.certPem,
      ALPNProtocols: ["http/1.1", ...many],
    });
    await once(socket, "secureConnect");
    socket.write("GET / HTTP/1.1\r\nHost: denied.test\r\n\r\n");
    const [chunk] = (await once(socket, "data")) as [Buffer];
    assert.match(chunk.toString("latin1"), /^HTTP\/1\.1 403 /);
    assert.equal((await proxy.audit.last(client, 1)).audit.sni, "denied.test");
    socket.destroy();
  });
}

/** Cuts the first TLS record that is written into records of `size` bytes (RFC 8446 section 5.1 allows it). */
function cutFirstRecord(socket: Socket, size: number): Duplex {
  let first = true;
  const duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      let bytes = chunk;
      if (first) {
        first = false;
        const handshake = chunk.subarray(5);
        const records = [];
        for (let at = 0; at < handshake.length; at += size) {
          const part = handshake.subarray(at, at + size);
          records.push(Buffer.of(22, 3, 1, part.length >> 8, part.length & 0xff), part);
        }
        bytes = Buffer.concat(records);
      }
      socket.write(bytes, done);
    },
    final: (done) => void socket.end(done),
  });
  socket.removeAllListeners("data");
  socket.on("data", (chunk: Buffer) => duplex.push(chunk));
  socket.on("end", () => duplex.push(null));
  socket.resume();
  return duplex;
}

test("attack 16: a ClientHello that is none is refused with an alert", async () => {
  const client = await world.raw("https");
  client.send("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00");
  const alert = await client.reader.rest();
  assert.equal(alert[0], 21);
  assert.equal((await proxy.audit.last(client, 1)).audit.reason, "tls_client_hello_invalid");
});

// --- Trust that is inherited

test("attack 19: CONNECT inside a tunnel is refused", async () => {
  const client = await world.tunnel(world.plainAuthority);
  client.send("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n");
  const answer = await client.answer();
  assert.equal(answer?.status, 405);
  assert.equal((await proxy.audit.last(client, 2)).audit.reason, "method_not_allowed");
});

test("attack 19: CONNECT on a port that opens no tunnels is refused", async () => {
  const client = await world.raw("http");
  client.send(`CONNECT ${world.secureAuthority} HTTP/1.1\r\nHost: ${world.secureAuthority}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 405);
  await proxy.audit.of(client, 1);
});

test("I2 attack 19: every request of a tunnel is decided by itself", async () => {
  const client = await world.connect(`methods.e2e.test:${secure.port}`);
  const refused = await client.request("POST", "/ok/1", { body: "x" });
  assert.equal(reasonOf(refused), "request_not_allowed");
  const elsewhere = await client.request("GET", "/no");
  assert.equal(reasonOf(elsewhere), "request_not_allowed");
  // The certificate of the upstream is not for this name: policy let the request pass.
  assert.equal(reasonOf(await client.request("GET", "/ok/1")), "upstream_tls_failed");
  await proxy.audit.of(client, 4);
});

// --- I8: no work before policy

test("I8: a refused host gets no look-up, no connection, and an answer that says why", async () => {
  const queries = world.dns.queries.length;
  const client = await world.redirected("refused.e2e.test");
  const answer = await client.request("GET", "/why");
  assert.equal(answer.status, 403);
  const { error } = JSON.parse(answer.body.toString()) as {
    error: { type: string; message: string; request_id: string };
  };
  assert.equal(error.type, "sallyport_denied");
  assert.match(error.message, /refused\.e2e\.test/);
  const line = await proxy.audit.last(client, 1);
  assert.equal(line.audit.request_id, error.request_id);
  assert.equal(world.dns.queries.length, queries);
});

test("I8 attack 60: names invented one after the other soon get an alert in place of a certificate", async () => {
  let alerts = 0;
  for (let number = 0; number < 40 && alerts === 0; number++) {
    const client = await world.raw("https");
    const socket = connectTls({
      socket: client.socket,
      servername: `invented-${number}.test`,
      ca: world.proxyCa.certPem,
    });
    const outcome = await Promise.race([
      once(socket, "secureConnect").then(() => "made"),
      once(socket, "error"),
    ]);
    if (outcome !== "made") alerts++;
    socket.destroy();
  }
  assert.equal(alerts, 1, "tls.explain_denials is 20 a second");
  // Admitted names are not affected.
  const client = await world.redirected(`api.e2e.test:${secure.port}`);
  assert.equal((await client.request("GET", "/still")).status, 200);
  await eventually("the refusal is audited", () =>
    proxy.audit.read().some(({ audit }) => audit.sni.startsWith("invented-") && audit.action === "reject"),
  );
});

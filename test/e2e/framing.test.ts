// Attacks 20 to 38: bytes that two readers could take for different messages, replayed against a recording upstream.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { Client, Way } from "./harness/client.ts";
import { ambiguousFields, ambiguousPaths, badChunks, badRequestLines } from "./harness/hostile.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { eventually } from "./harness/wait.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const world = await openWorld();
const { secure, plain, proxy } = world;

function reasonOf(answer: Answer | undefined): string | undefined {
  return valueOf(answer?.fields ?? [], "sallyport-reason");
}

/** A head whose lines are given, but for the request line and Host. */
function head(client: Client, ...lines: string[]): string {
  const target =
    client.authority === world.plainAuthority ? `http://${client.authority}/framing` : "/framing";
  return `POST ${target} HTTP/1.1\r\nHost: ${client.authority}\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** What stands behind the head in all of these: a request to smuggle. */
const smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: plain.localhost\r\n\r\n";

for (const [attack, what, lines] of ambiguousFields) {
  test(`I9 ${attack}: ${what} is refused with 400, and nothing reaches the upstream`, async () => {
    await refused(await world.open("absolute"), (client) => head(client, ...lines) + smuggled, 1);
  });
}

for (const way of ["connect", "redirected"] as const satisfies readonly Way[]) {
  test(`I9 attack 20: inside TLS too: ${way}`, async () => {
    const lines = ["Content-Length: 5", "Transfer-Encoding: chunked"];
    await refused(
      await world.open(way),
      (client) => head(client, ...lines) + smuggled,
      way === "connect" ? 2 : 1,
    );
  });
}

for (const [what, line, status] of badRequestLines) {
  test(`I9 attack 21: a request line with ${what} is refused with ${status}`, async () => {
    const client = await world.open("connect");
    client.send(`${line}\r\nHost: ${client.authority}\r\n\r\n`);
    const answer = await client.answer();
    assert.equal(answer?.status, status);
    assert.equal(secure.count("/framing"), 0);
    await proxy.audit.of(client, 2);
  });
}

for (const [what, body] of badChunks) {
  test(`I9 attack 21: a chunked body with ${what} never reaches the upstream complete`, async () => {
    const client = await world.open("absolute");
    const before = plain.count("/framing");
    client.send(head(client, "Transfer-Encoding: chunked"));
    await eventually("its head at the upstream", () => plain.count("/framing") > before);
    client.send(body);
    const answer = await client.answer();
    assert.equal(answer?.status, 400);
    assert.equal(await client.ended(), "end");
    assert.equal(plain.received.findLast(({ target }) => target === "/framing")?.complete, false);
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.reason, "malformed_request");
  });
}

test("attack 21: chunk extensions are dropped and the chunks made anew", async () => {
  const client = await world.open("absolute");
  client.send(client.text("POST", "/rechunked", { fields: ["Transfer-Encoding: chunked"] }));
  client.send('005;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n');
  assert.equal((await client.answer())?.status, 200);
  const received = await plain.request("/rechunked");
  assert.equal(received.body.toString(), "hello");
  assert.deepEqual(received.chunks, [5]);
});

test("attack 22: a request is the same when every byte comes by itself", async () => {
  const client = await world.open("connect");
  const fields = [`Authorization: Bearer ${placeholder}`];
  const text = client.text("POST", "/slowly", { fields, body: "body" });
  for (const byte of Buffer.from(text, "latin1")) {
    client.send(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await client.answer())?.status, 200);
  const received = await secure.request("/slowly");
  assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`);
  assert.equal(received.body.toString(), "body");
});

test("I3 attack 23: what looks like a request inside a body gets no decision and no credential of its own", async () => {
  const client = await world.open("absolute");
  const inner = `GET http://plain.localhost/inner HTTP/1.1\r\nHost: plain.localhost\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`;
  const answer = await client.request("POST", "/outer", { body: inner });
  assert.equal(answer.status, 200);
  const received = await plain.request("/outer");
  assert.equal(received.body.toString(), inner, "the placeholder in the body is not swapped");
  assert.equal(plain.count("/inner"), 0);
  await proxy.audit.of(client, 1);
});

test("attack 26: the preface of HTTP/2 is refused", async () => {
  const client = await world.open("connect");
  client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const answer = await client.answer();
  assert.equal(answer?.status, 505);
  await proxy.audit.of(client, 2);
});

test("attack 26: an upgrade to h2c is not passed on: the request goes as HTTP/1.1", async () => {
  const client = await world.open("connect");
  const fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
  const answer = await client.request("GET", "/h2c", { fields });
  assert.equal(answer.status, 200);
  const received = await secure.request("/h2c");
  assert.equal(received.head, `GET /h2c HTTP/1.1\r\nHost: ${client.authority}\r\n\r\n`);
});

test("attack 27: ALPN offers what is inspected: http/1.1 is chosen from a longer list", async () => {
  const client = await world.connect(world.secureAuthority, { ALPNProtocols: ["h3", "http/1.1"] });
  assert.equal((await client.request("GET", "/alpn")).status, 200);
});

test("attack 27: a client whose ALPN has nothing that is inspected is refused, not relayed", async () => {
  const tunnel = await world.tunnel(world.secureAuthority);
  const socket = connectTls({
    socket: tunnel.socket,
    servername: "api.e2e.test",
    ca: world.proxyCa.certPem,
    ALPNProtocols: ["acme-tls/1"],
  });
  await once(socket, "error");
  const line = await proxy.audit.last(tunnel, 2);
  assert.equal(line.audit.reason, "tls_handshake_failed");
});

test("I9 attack 29: a 101 that nobody asked for is no way around HTTP", async () => {
  secure.on("/fake101", async (request) => {
    await request.body();
    request.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw bytes");
  });
  const client = await world.open("connect");
  const answer = await client.request("GET", "/fake101");
  assert.equal(answer.status, 502);
  assert.equal(reasonOf(answer), "upstream_response_invalid");
  assert.equal((await client.request("GET", "/after101")).body.toString(), "ok");
});

test("I10 attack 32: an answer that nobody asked for is not the next request's", async () => {
  secure.on("/poison", async (request) => {
    await request.body();
    const one = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    request.write(one("mine") + one("poison"));
  });
  secure.on("/poison-later", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
    setTimeout(() => request.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), 5);
  });
  const [one, other] = [await world.open("connect"), await world.open("redirected")];
  for (const path of ["/poison", "/poison-later"]) {
    assert.equal((await one.request("GET", path)).body.toString(), "mine");
    if (path === "/poison-later") await new Promise((resolve) => setTimeout(resolve, 40));
    assert.equal((await other.request("GET", "/innocent")).body.toString(), "ok");
  }
});

for (const path of ambiguousPaths) {
  test(`I3 attack 34: the path ${path} is refused`, async () => {
    const client = await world.open("redirected");
    const before = secure.received.length;
    const answer = await client.request("GET", path);
    assert.equal(answer.status, 400);
    assert.equal(reasonOf(answer), "ambiguous_path");
    assert.equal(secure.received.length, before);
    assert.equal((await proxy.audit.last(client, 1)).audit.reason, "ambiguous_path");
  });
}

for (const method of ["TRACE", "trace"]) {
  test(`attack 36: ${method} ${method === "TRACE" ? "is refused" : "is another method, and goes as it is"}`, async () => {
    const client = await world.open("connect");
    const answer = await client.request(method, "/echo", { fields: ["Max-Forwards: 0"] });
    assert.equal(answer.status, method === "TRACE" ? 405 : 200);
    if (method === "TRACE") assert.equal(secure.count("/echo"), 0);
  });
}

async function refused(client: Client, text: (client: Client) => string, records: number): Promise<void> {
  const before = [secure.received.length, plain.received.length];
  client.send(text(client));
  const answer = await client.answer();
  assert.equal(answer?.status, 400);
  assert.equal(valueOf(answer?.fields ?? [], "connection"), "close");
  assert.equal(await client.ended(), "end");
  assert.equal(client.reader.unread.length, 0, "one answer only");
  assert.deepEqual([secure.received.length, plain.received.length], before);
  const line = await proxy.audit.last(client, records);
  assert.equal(line.audit.action, "reject");
  assert.equal(line.audit.status_code, 400);
}

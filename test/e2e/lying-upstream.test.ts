// What a workload gets when an upstream answers badly or lies about its answer: a failure that says so, or a connection
// that is cut, and never a body that looks complete.
import assert from "node:assert/strict";
import { test } from "node:test";
import { valueOf } from "./harness/message.ts";
import type { Script } from "./harness/upstream.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const patience = "700ms";
const world = await openWorld({
  config: () => ({
    proxy: {
      upstream_response_header_timeout: patience,
      timeouts: { upstream_body: patience },
      limits: { max_header_bytes: 16_384 },
    },
  }),
});
const { secure, plain, proxy } = world;
const fields = [`Authorization: Bearer ${placeholder}`];

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
    assert.equal(answer.status, status);
    assert.equal(valueOf(answer.fields, "sallyport-reason"), reason);
    assert.match(answer.body.toString(), /api\.e2e\.test/);
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
    (request) => {
      request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n");
      // In the read that brings the head it would make the answer none at all.
      setTimeout(() => request.write("zz\r\n"), 50);
    },
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
  await proxy.audit.of(client, 2);
});

// Bodies of every framing, connections that are reused, and bodies larger than anything that may be held.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Client, Way } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { answer } from "./harness/upstream.ts";
import { eventually, within } from "./harness/wait.ts";
import { openWorld, placeholder } from "./harness/world.ts";

const world = await openWorld();
const ways: readonly Way[] = ["connect", "absolute", "redirected"];

for (const way of ways) {
  test(`${way}: a body that ends with the upstream's connection becomes chunked, so that a cut would show`, async () => {
    world.upstream(way).on("/until-close", async (request) => {
      await request.body();
      request.write("HTTP/1.1 200 OK\r\n\r\nall of it");
      request.end();
    });
    const client = await world.open(way);
    const got = await client.request("GET", "/until-close");
    assert.equal(valueOf(got.fields, "transfer-encoding"), "chunked");
    assert.equal(got.body.toString(), "all of it");
    assert.equal(got.complete, true);
    assert.equal((await client.request("GET", "/again")).status, 200, "the client's connection stays open");
  });
}

test("an upstream of HTTP/1.0 is understood", async () => {
  world.secure.on("/old", async (request) => {
    await request.body();
    request.write("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nold body");
    request.end();
  });
  const client = await world.open("connect");
  const got = await client.request("GET", "/old");
  assert.equal(got.startLine, "HTTP/1.1 200 OK");
  assert.equal(got.body.toString(), "old body");
});

test("a client of HTTP/1.0 gets no chunks: a body of unknown length ends with its connection", async () => {
  world.plain.on("/to-old", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
  });
  const client = await world.open("absolute");
  client.send(`GET http://${client.authority}/to-old HTTP/1.0\r\nHost: ${client.authority}\r\n\r\n`);
  const got = await client.answer();
  assert.equal(valueOf(got?.fields ?? [], "transfer-encoding"), undefined);
  assert.equal(valueOf(got?.fields ?? [], "connection"), "close");
  assert.equal(got?.body.toString(), "abcdef");
  assert.equal(got?.complete, true);
  assert.equal(await client.ended(), "end");
});

test("a client of HTTP/1.0 that asks for keep-alive keeps its connection", async () => {
  const client = await world.open("absolute");
  for (let round = 0; round < 2; round++) {
    client.send(
      `GET http://${client.authority}/keep HTTP/1.0\r\nHost: ${client.authority}\r\nConnection: keep-alive\r\n\r\n`,
    );
    const got = await client.answer();
    assert.equal(valueOf(got?.fields ?? [], "connection"), "keep-alive");
    assert.equal(got?.body.toString(), "ok");
  }
});

test("Connection: close of the client is honoured", async () => {
  const client = await world.open("connect");
  const got = await client.request("GET", "/last", { fields: ["Connection: close"] });
  assert.equal(valueOf(got.fields, "connection"), "close");
  assert.equal(await client.ended(), "end");
});

test("HEAD, 204 and 304 have no body, keep their Content-Length where they may have one, and the connection", async () => {
  world.secure.on("/head", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n");
  });
  world.secure.on("/head-chunked", async (request) => {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  });
  world.secure.on("/none", async (request) => {
    await request.body();
    request.write("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
  });
  world.secure.on("/same", async (request) => {
    await request.body();
    request.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n");
  });
  const client = await world.open("connect");
  const head = await client.request("HEAD", "/head");
  assert.equal(valueOf(head.fields, "content-length"), "1234");
  assert.equal((await client.request("HEAD", "/head-chunked")).status, 200);
  const none = await client.request("GET", "/none");
  assert.equal(none.head, "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
  const same = await client.request("GET", "/same");
  assert.equal(valueOf(same.fields, "content-length"), "99");
  assert.equal((await client.request("GET", "/after")).body.toString(), "ok");
  assert.equal(client.reader.unread.length, 0, "not a byte too many");
});

test("a refusal of HEAD has no body either", async () => {
  const client = await world.redirected("denied.test");
  const got = await client.request("HEAD", "/x");
  assert.equal(got.status, 403);
  assert.equal(valueOf((await client.request("GET", "/x")).fields, "sallyport-reason"), "host_not_allowed");
  assert.equal(client.reader.unread.length, 0);
});

test("ranges pass untouched", async () => {
  world.secure.on("/range", async (request) => {
    await request.body();
    assert.equal(valueOf(request.fields, "range"), "bytes=2-4");
    request.write(
      "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\ncde",
    );
  });
  const client = await world.open("connect");
  const got = await client.request("GET", "/range", { fields: ["Range: bytes=2-4", 'If-Range: "x"'] });
  assert.equal(got.status, 206);
  assert.equal(got.body.toString(), "cde");
});

for (const way of ways) {
  test(`attack 22: ${way}: pipelined requests are answered in order, each with its own decision`, async () => {
    const upstream = world.upstream(way);
    upstream.on("/slow-first", async (request) => {
      await request.body();
      await new Promise((resolve) => setTimeout(resolve, 30));
      request.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    });
    const client = await world.open(way);
    const fields = [`Authorization: Bearer ${placeholder}`];
    client.send(
      client.text("GET", "/slow-first", { fields }) +
        client.text("POST", "/piped", { fields, body: "GET /hidden HTTP/1.1\r\n\r\n" }) +
        client.text("GET", "/a/../b") +
        client.text("GET", "/piped-last", { fields }),
    );
    const bodies = [];
    for (let count = 0; count < 4; count++) {
      const got = await client.answer();
      bodies.push(got?.status === 200 ? got.body.toString() : got?.status);
    }
    assert.deepEqual(bodies, ["first", "ok", 400, "ok"]);
    for (const path of ["/slow-first", "/piped", "/piped-last"]) {
      const received = await upstream.request(path);
      assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`, path);
    }
    assert.equal((await upstream.request("/piped")).body.toString(), "GET /hidden HTTP/1.1\r\n\r\n");
    assert.equal(upstream.count("/hidden"), 0);
    await world.proxy.audit.of(client, way === "connect" ? 5 : 4);
  });
}

test("I10: a pooled connection that the upstream closed meanwhile is not the client's problem", async () => {
  // The upstream keeps the connection, and closes it only when the next request is on its way.
  let closeOn = 0;
  world.secure.on("/stale", async (request) => {
    await request.body();
    if (request.connection === closeOn) {
      request.reset();
      return;
    }
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${String(request.connection).padStart(2, "0")}`,
    );
  });
  const client = await world.open("connect");
  const first = await client.request("GET", "/stale");
  closeOn = Number(first.body);
  const second = await client.request("GET", "/stale");
  assert.equal(second.status, 200);
  assert.notEqual(Number(second.body), closeOn);
});

test("I10: a request that is not safe to repeat is not sent twice", async () => {
  let closeOn = 0;
  world.secure.on("/once", async (request) => {
    await request.body();
    if (request.connection === closeOn) {
      request.reset();
      return;
    }
    closeOn = request.connection;
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  const client = await world.open("connect");
  assert.equal((await client.request("POST", "/once", { body: "pay" })).status, 200);
  const got = await client.request("POST", "/once", { body: "pay" });
  assert.equal(got.status, 502);
  assert.equal(valueOf(got.fields, "sallyport-reason"), "upstream_closed");
  assert.equal(world.secure.count("/once"), 2);
});

test("I10: upstream connections are reused across client connections", async () => {
  world.secure.on("/reuse", answer("x"));
  const before = world.secure.connections;
  for (let round = 0; round < 5; round++) {
    const client = await world.open("redirected");
    await client.request("GET", "/reuse");
    client.close();
  }
  assert.ok(world.secure.connections - before <= 1, `${world.secure.connections - before} new connections`);
});

const big = 128 * 1024 * 1024;
/** What the process may grow by while such a body passes: mostly garbage that nobody has collected yet. */
const growth = 96 * 1024 * 1024;

test("I12: a large download passes with flat memory, at the client's pace", { timeout: 30_000 }, async () => {
  const piece = Buffer.alloc(256 * 1024, "d");
  let sent = 0;
  world.secure.on("/big", async (request) => {
    await request.body();
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${big}\r\n\r\n`,
    );
    for (sent = 0; sent < big; sent += piece.length) {
      if (!request.socket.write(piece)) await new Promise((resolve) => request.socket.once("drain", resolve));
    }
  });
  const client = await world.open("connect");
  client.send(client.text("GET", "/big"));
  await client.reader.until("\r\n\r\n");
  const already = client.reader.release();
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.ok(sent < 24 * 1024 * 1024, `a client that does not read holds ${sent} bytes back`);
  const before = residentBytes();
  let received = already.length;
  let peak = 0;
  client.socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received % 16 === 0) peak = Math.max(peak, residentBytes());
  });
  client.socket.resume();
  await eventually("the whole download", () => received === big, 25_000);
  peak = Math.max(peak, residentBytes());
  assert.ok(peak - before < growth, `grew by ${peak - before} bytes`);
});

test("I12: a large upload passes with flat memory, at the upstream's pace", { timeout: 30_000 }, async () => {
  let uploaded = 0;
  let goOn = () => {};
  world.secure.on("/upload", async (request) => {
    uploaded = request.reader.release().length;
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await new Promise<void>((resolve) => {
      request.socket.on("data", (chunk: Buffer) => {
        uploaded += chunk.length;
        if (uploaded >= big) resolve();
      });
      request.socket.resume();
    });
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    request.end();
  });
  const client = await world.open("connect");
  const piece = Buffer.alloc(256 * 1024, "u");
  let sent = 0;
  const upload = async () => {
    client.send(client.text("PUT", "/upload", { fields: [`Content-Length: ${big}`] }));
    for (sent = 0; sent < big; sent += piece.length) {
      if (!client.socket.write(piece)) await drained(client);
    }
  };
  const done = upload();
  await eventually("the upload begins", () => world.secure.count("/upload") === 1);
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.ok(sent < 24 * 1024 * 1024, `an upstream that does not read holds ${sent} bytes back`);
  const before = residentBytes();
  goOn();
  await within("the upload", done, 25_000);
  assert.equal((await client.answer())?.status, 200);
  assert.equal(uploaded, big);
  const after = residentBytes();
  assert.ok(after - before < growth, `grew by ${after - before} bytes`);
});

function drained(client: Client): Promise<unknown> {
  return new Promise((resolve) => client.socket.once("drain", resolve));
}

/** Resident memory of the proxy, in bytes; 0 where the system does not tell. */
function residentBytes(): number {
  try {
    const [, pages = "0"] = readFileSync(`/proc/${world.proxy.pid}/statm`, "utf8").split(" ");
    return Number(pages) * 4096;
  } catch {
    return 0;
  }
}

// A client that leaves, in every phase: nothing goes on working for it, and the audit says when it left (I13).
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "./harness/client.ts";
import { eventually, pause } from "./harness/wait.ts";
import { openWorld } from "./harness/world.ts";

const world = await openWorld();
const { secure, plain, proxy } = world;

/** How a client leaves. */
const exits: readonly (readonly [how: string, leave: (client: Client) => void])[] = [
  ["a reset", (client) => client.reset()],
  ["an orderly close", (client) => void client.socket.destroy()],
];

for (const [how, leave] of exits) {
  test(`I13: ${how} before any byte leaves no record`, async () => {
    for (const port of ["http", "https", "tunnel"] as const) {
      const client = await world.raw(port);
      leave(client);
      await proxy.audit.of(client, 0);
    }
  });

  test(`I13: ${how} inside a head is recorded`, async () => {
    const client = await world.raw("http");
    client.send("GET http://plain.localhost/x HTTP/1.1\r\nHost: pl");
    await pause(30);
    leave(client);
    const { audit } = await proxy.audit.last(client, 1);
    assert.equal(audit.reason, how === "a reset" ? "client_disconnected" : "malformed_request");
    assert.ok(audit.bytes_in > 0);
  });

  test(`I13: ${how} between two requests is no event`, async () => {
    const client = await world.open("connect");
    await client.request("GET", "/one");
    leave(client);
    await proxy.audit.of(client, 2);
  });

  test(`I13: ${how} in a ClientHello is recorded`, async () => {
    const client = await world.raw("https");
    client.send("\x16\x03\x01\x02\x00\x01\x00");
    await pause(30);
    leave(client);
    assert.equal((await proxy.audit.last(client, 1)).audit.reason, "tls_client_hello_invalid");
  });

  test(`I13: ${how} in a tunnel that was never used is no second event`, async () => {
    const client = await world.tunnel(world.secureAuthority);
    leave(client);
    await proxy.audit.of(client, 1);
  });

  for (const way of ["connect", "absolute", "redirected"] as const) {
    test(`I13: ${way}: ${how} while the upstream is thinking takes the request back`, async () => {
      const upstream = world.upstream(way);
      const path = `/thinking-${way}-${exits.findIndex(([one]) => one === how)}`;
      let gone = false;
      upstream.on(path, async (request) => {
        await request.body();
        await request.reader.rest();
        gone = true;
        request.end();
      });
      const client = await world.open(way);
      client.send(client.text("POST", path, { body: "x" }));
      await upstream.request(path);
      leave(client);
      await eventually("the upstream's connection is closed", () => gone);
      const { audit } = await proxy.audit.last(client, way === "connect" ? 2 : 1);
      assert.equal(audit.action, "client_cancel");
      assert.equal(audit.reason, "client_disconnected");
      assert.equal(audit.status_code, 0);
    });
  }

  test(`I13: ${how} in the middle of an answer stops the upstream`, async () => {
    let gone = false;
    const path = `/endless-${exits.findIndex(([one]) => one === how)}`;
    secure.on(path, async (request) => {
      await request.body();
      request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      while (!request.socket.destroyed) {
        request.write("4\r\nmore\r\n");
        await pause(5);
      }
      gone = true;
    });
    const client = await world.open("connect");
    client.send(client.text("GET", path));
    await client.reader.until("more");
    leave(client);
    await eventually("the upstream's connection is closed", () => gone);
    const { audit } = await proxy.audit.last(client, 2);
    assert.equal(audit.action, "client_cancel");
    assert.equal(audit.status_code, 200);
    assert.ok(audit.bytes_out > 0);
  });

  test(`I13: ${how} in the middle of an upload never completes it`, async () => {
    const path = `/upload-${exits.findIndex(([one]) => one === how)}`;
    plain.on(path, async (request) => {
      await request.body();
    });
    const client = await world.open("absolute");
    client.send(`${client.text("POST", path, { fields: ["Content-Length: 100"] })}part`);
    await eventually("the upload begins", () => plain.count(path) === 1);
    leave(client);
    const { audit } = await proxy.audit.last(client, 1);
    assert.equal(audit.reason, how === "a reset" ? "client_disconnected" : "body_incomplete");
    await pause(50);
    const received = plain.received.findLast(({ target }) => target === path);
    assert.equal(received?.complete, false);
  });
}

test("I13: a client that leaves while its name is looked up takes the request back", async () => {
  world.dns.set("slow.e2e.test", "silent");
  const client = await world.connect("slow.e2e.test:443");
  client.send(client.text("GET", "/never"));
  await eventually("the name is looked up", () => world.dns.queries.includes("slow.e2e.test"));
  client.reset();
  const { audit } = await proxy.audit.last(client, 2);
  assert.equal(audit.action, "client_cancel");
});

test("I13: requests behind the one that is answered when the client leaves are not begun", async () => {
  let gone = false;
  secure.on("/first-of-many", async (request) => {
    await request.body();
    await new Promise<void>((resolve) => request.socket.once("close", () => resolve()));
    gone = true;
  });
  const client = await world.open("connect");
  client.send(client.text("GET", "/first-of-many") + client.text("GET", "/second-of-many"));
  await secure.request("/first-of-many");
  client.reset();
  await eventually("the first is taken back", () => gone);
  assert.equal(secure.count("/second-of-many"), 0);
  await proxy.audit.of(client, 2);
});

test("I12: after all of this nothing is left open towards upstreams but idle connections", async () => {
  // Those of the pool can be used again; those of requests that were taken back are gone.
  const client = await world.open("connect");
  const before = secure.connections;
  for (let round = 0; round < 3; round++) assert.equal((await client.request("GET", "/alive")).status, 200);
  assert.ok(secure.connections - before <= 1);
  assert.ok(secure.open <= 4, `${secure.open} connections to the upstream`);
});

// WebSocket: a handshake is decided on and given its credential like any request; frames pass as they are.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { makeLeaf } from "../helpers/pki.ts";
import { type Client, openTunnel, startTls, type Way } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Address } from "./harness/sallyport.ts";
import type { Scripted } from "./harness/upstream.ts";
import { eventually, pause, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";
import { accept, acceptOf, echo, fields, handshake, key, reasonOf, upgraded } from "./websocket-support.ts";

const world = await openWorld({
  halfOpen: true,
  config: () => ({
    proxy: { timeouts: { websocket_idle: "1s" } },
    transforms: [
      allowlist([
        "api.e2e.test:*",
        "other.e2e.test:*",
        "free.localhost",
        { host: "deep.api.e2e.test:*", methods: ["GET"], paths: ["/allowed"] },
      ]),
      secrets([swap("E2E_KEY", placeholder, ["api.e2e.test:*"])]),
    ],
  }),
});
const { proxy, secure } = world;
const ways: readonly Way[] = ["connect", "absolute", "redirected"];

/** A client of a host that no credential is for, so that bytes of any kind may pass. */
function open(way: Way): Promise<Client> {
  const free = `other.e2e.test:${secure.port}`;
  if (way === "absolute") return world.absolute(`free.localhost:${world.plain.port}`);
  return way === "connect" ? world.connect(free) : world.redirected(free);
}

for (const way of ways) {
  test(`attack 28: ${way}: bytes pass both ways until both have ended`, async () => {
    const upstream = world.upstream(way);
    upstream.on("/echo", echo);
    const client = await open(way);
    const head = await upgraded(client, "/echo", ["X-Own: 1"]);
    assert.match(head, /\r\nUpgrade: websocket\r\n/);
    assert.match(head, /\r\nConnection: Upgrade\r\n/);
    const sent = upstream.received.findLast((one) => one.target === "/echo");
    assert.equal(valueOf(sent?.fields ?? [], "sec-websocket-key"), key);
    client.send("ping");
    assert.equal((await client.reader.take(4)).toString(), "ping");
    client.send(placeholder);
    const back = await client.reader.take(placeholder.length);
    assert.equal(back.toString(), placeholder, "attack 31: frames are not searched");
    client.socket.end();
    assert.equal((await client.reader.rest()).toString(), "bye", "a half-close goes on as one");
    assert.equal(await client.ended(), "end");
    const line = await proxy.audit.last(client, way === "connect" ? 2 : 1);
    const bytes = "ping".length + placeholder.length;
    const { audit } = line;
    assert.deepEqual([audit.action, audit.status_code, audit.method], ["allow", 101, "GET"]);
    assert.equal(audit.path, "/echo");
    const request = client.text("GET", "/echo", { fields: [...fields, "X-Own: 1"] });
    assert.equal(audit.bytes_in, request.length + bytes);
    assert.equal(audit.bytes_out, head.length + bytes + "bye".length);
  });
}

test("bytes right behind the handshake wait for its answer, those right behind the answer are not lost", async () => {
  let early = "";
  secure.on("/early", async (request) => {
    await pause(30);
    early = request.reader.unread.toString();
    accept(request, "first words");
    request.write((await request.reader.take(5)).toString().toUpperCase());
  });
  const client = await open("connect");
  client.send(`${client.text("GET", "/early", { fields })}hello`);
  assert.match((await client.reader.until("\r\n\r\n")) ?? "", /^HTTP\/1\.1 101 /);
  assert.equal((await client.reader.take(16)).toString(), "first wordsHELLO");
  assert.equal(early, "", "attack 29: nothing goes on before the 101");
});

test("attack 28: policy decides on the handshake, and nothing is dialled for a refused one", async () => {
  const client = await world.connect(`deep.api.e2e.test:${secure.port}`);
  const before = secure.connections;
  const refused = await client.request("GET", "/not-allowed", { fields });
  assert.equal(refused.status, 403);
  assert.equal(reasonOf(refused), "request_not_allowed");
  assert.equal(secure.connections, before);
  secure.on("/allowed", echo);
  await upgraded(client, "/allowed");
  client.close();
  await proxy.audit.of(client, 3);
});

const invalid: readonly (readonly [
  what: string,
  method: string,
  fields: readonly string[],
  body?: string,
])[] = [
  ["another method", "POST", fields],
  ["a body", "GET", fields, "frames?"],
  ["no key", "GET", handshake],
  ["a short key", "GET", [...handshake, "Sec-WebSocket-Key: eA=="]],
  ["two keys", "GET", [...fields, `Sec-WebSocket-Key: ${key}`]],
  ["another version", "GET", [...fields.filter((one) => !one.includes("13")), "Sec-WebSocket-Version: 8"]],
  ["no version", "GET", fields.filter((one) => !one.includes("13"))],
  ["no Connection: Upgrade", "GET", fields.slice(1)],
];

for (const [what, method, lines, body] of invalid) {
  test(`attack 28: a handshake with ${what} is refused`, async () => {
    const client = await open("absolute");
    const before = world.plain.received.length;
    const answer = await client.request(method, "/bad", {
      fields: lines,
      ...(body === undefined ? {} : { body }),
    });
    assert.equal(answer.status, 400);
    assert.equal(reasonOf(answer), "bad_websocket_handshake");
    assert.equal(world.plain.received.length, before);
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.reason, "bad_websocket_handshake");
  });
}

test("an Upgrade in HTTP/1.0 does not count: the request goes on as any other", async () => {
  const client = await open("absolute");
  const lines = [`Host: ${client.authority}`, ...fields].map((one) => `${one}\r\n`).join("");
  client.send(`GET http://${client.authority}/old-upgrade HTTP/1.0\r\n${lines}\r\n`);
  assert.equal((await client.answer())?.status, 200);
  const sent = await world.plain.request("/old-upgrade");
  assert.equal(valueOf(sent.fields, "upgrade"), undefined);
});

test("a refused upgrade stays HTTP: its answer has its body, and the connection goes on", async () => {
  secure.on("/teapot", async (request) => {
    await request.body();
    request.write("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5\r\nX-Why: tea\r\n\r\nshort");
  });
  const client = await open("connect");
  const answer = await client.request("GET", "/teapot", { fields });
  assert.equal(answer.status, 418);
  assert.equal(answer.body.toString(), "short");
  assert.equal((await client.request("GET", "/after-teapot")).body.toString(), "ok");
  const lines = await proxy.audit.of(client, 3);
  assert.equal(lines[1]?.audit.status_code, 418);
});

const lies: readonly (readonly [
  what: string,
  asked: readonly string[],
  answer: (request: Scripted) => string[],
])[] = [
  ["no Accept", [], () => []],
  ["a wrong Accept", [], () => [`Sec-WebSocket-Accept: ${key}`]],
  [
    "two Accepts",
    [],
    (request) => [`Sec-WebSocket-Accept: ${acceptOf(request.fields)}`, `Sec-WebSocket-Accept: ${key}`],
  ],
  [
    "a subprotocol nobody offered",
    ["Sec-WebSocket-Protocol: chat, superchat"],
    (request) => [`Sec-WebSocket-Accept: ${acceptOf(request.fields)}`, "Sec-WebSocket-Protocol: Chat"],
  ],
  [
    "an extension nobody offered",
    ['Sec-WebSocket-Extensions: permessage-deflate; x="a,x-other"'],
    (request) => [`Sec-WebSocket-Accept: ${acceptOf(request.fields)}`, "Sec-WebSocket-Extensions: x-other"],
  ],
];

for (const [what, asked, answer] of lies) {
  test(`I9 attack 29: a 101 with ${what} is no way around HTTP`, async () => {
    let cut = false;
    secure.on("/lie", async (request) => {
      const lines = ["Upgrade: websocket", "Connection: Upgrade", ...answer(request)];
      request.write(
        `HTTP/1.1 101 Switching Protocols\r\n${lines.map((one) => `${one}\r\n`).join("")}\r\nraw`,
      );
      await request.reader.rest();
      cut = true;
    });
    const client = await open("connect");
    const got = await client.request("GET", "/lie", { fields: [...fields, ...asked] });
    assert.equal(got.status, 502);
    assert.equal(reasonOf(got), "upstream_response_invalid");
    assert.doesNotMatch(got.body.toString(), /raw/);
    await eventually("the upstream is cut", () => cut);
    assert.equal((await client.request("GET", "/after-lie")).body.toString(), "ok");
    await proxy.audit.of(client, 3);
  });
}

for (const [what, line] of [
  ["another protocol", "Upgrade: h2c\r\nConnection: Upgrade"],
  ["no Upgrade", "Connection: Upgrade"],
  ["no Connection", "Upgrade: websocket"],
] as const) {
  test(`I9 attack 29: a 101 with ${what} is no way around HTTP`, async () => {
    secure.on("/other101", (request) => {
      request.write(
        `HTTP/1.1 101 Switching Protocols\r\n${line}\r\nSec-WebSocket-Accept: ${acceptOf(request.fields)}\r\n\r\n`,
      );
    });
    const client = await open("connect");
    assert.equal((await client.request("GET", "/other101", { fields })).status, 502);
    await proxy.audit.of(client, 2);
  });
}

test("a subprotocol and an extension that were offered pass", async () => {
  secure.on("/chosen", (request) => {
    accept(request, "", "Sec-WebSocket-Protocol: superchat", "Sec-WebSocket-Extensions: permessage-deflate");
  });
  const client = await open("connect");
  const head = await upgraded(client, "/chosen", [
    "Sec-WebSocket-Protocol: chat",
    "Sec-WebSocket-Protocol: superchat",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
  ]);
  assert.match(head, /\r\nSec-WebSocket-Protocol: superchat\r\n/);
  client.close();
  await proxy.audit.of(client, 2);
});

test("I12: a WebSocket on which nothing is said ends; a byte now and then keeps it", async () => {
  secure.on("/quiet", (request) => accept(request));
  const client = await open("connect");
  await upgraded(client, "/quiet");
  for (let round = 0; round < 4; round++) {
    await pause(400);
    client.send(".");
  }
  assert.equal(client.reader.ended, undefined);
  await client.ended();
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["allow", "idle_timeout"]);
  assert.ok(line.audit.duration_ms > 2000, `${line.audit.duration_ms} ms`);
});

test("I13: a client that is cut cuts the upstream, and is on record", async () => {
  let ended = false;
  secure.on("/cut-me", async (request) => {
    accept(request);
    await request.reader.rest();
    ended = true;
  });
  const client = await open("connect");
  await upgraded(client, "/cut-me");
  client.reset();
  await eventually("the upstream learns of it", () => ended);
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
  assert.equal(line.audit.status_code, 101);
});

test("I13: an upstream that is cut cuts the client, and is on record", async () => {
  secure.on("/cut-you", async (request) => {
    accept(request);
    await request.reader.take(1);
    request.reset();
  });
  const client = await open("redirected");
  await upgraded(client, "/cut-you");
  client.send("x");
  assert.equal(await client.ended(), "cut");
  const line = await proxy.audit.last(client, 1);
  assert.deepEqual([line.audit.action, line.audit.reason], ["error", "upstream_closed"]);
});

test("I12: a peer that does not read holds the other back", async () => {
  let sent = 0;
  secure.on("/flood", async (request) => {
    accept(request);
    const piece = Buffer.alloc(256 * 1024, "f");
    let ready = true;
    const pump = () => {
      for (ready = true; ready && sent < 64 * 1024 * 1024; sent += piece.length)
        ready = request.socket.write(piece);
    };
    request.socket.on("drain", pump);
    pump();
    await new Promise((resolve) => request.socket.once("close", resolve));
  });
  const client = await open("connect");
  await upgraded(client, "/flood");
  client.reader.release();
  await pause(300);
  const held = sent;
  assert.ok(held < 24 * 1024 * 1024, `${held} bytes on their way to a client that does not read`);
  client.close();
  await proxy.audit.of(client, 2);
});

// --- a client and a server that others wrote

const leaf = makeLeaf(world.upstreamCa, ["api.e2e.test", "other.e2e.test"]);
const server = createServer({ cert: leaf.certPem, key: leaf.keyPem });
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => (offered.has("second") ? "second" : false),
});
let authorization: string | undefined;
sockets.on("connection", (socket, request) => {
  ({ authorization } = request.headers);
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => {
  for (const socket of sockets.clients) socket.terminate();
  server.close();
});
const wsPort = (server.address() as AddressInfo).port;

for (const [what, host, sent] of [
  ["with a credential", "api.e2e.test", `Bearer ${world.credential}`],
  ["without", "other.e2e.test", undefined],
] as const) {
  test(`attack 28: ws on both sides, ${what}: messages of every size, a subprotocol, pings, a close code`, async () => {
    const tunnel = await world.connect(`${host}:${wsPort}`);
    const socket = new WebSocket(`wss://${host}:${wsPort}/ws`, ["first", "second"], {
      createConnection: () => tunnel.socket,
      headers: sent === undefined ? {} : { Authorization: `Bearer ${placeholder}` },
    });
    await within("open", once(socket, "open"));
    assert.equal(authorization, sent, "the handshake has what a request would have");
    assert.equal(socket.protocol, "second");
    if (host === "other.e2e.test") assert.match(socket.extensions, /permessage-deflate/);
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
      const back = once(socket, "message");
      socket.send(Buffer.alloc(size, "m"));
      const [data] = (await within(`a message of ${size} bytes`, back)) as [Buffer];
      assert.equal(data.length, size);
    }
    const pong = once(socket, "pong");
    socket.ping("still there?");
    assert.equal(String((await within("a pong", pong))[0]), "still there?");
    socket.close(4321, "enough");
    const [code, reason] = (await within("close", once(socket, "close"))) as [number, Buffer];
    assert.deepEqual([code, reason.toString()], [4321, "enough"]);
    const line = await proxy.audit.last(tunnel, 2);
    assert.deepEqual([line.audit.action, line.audit.status_code], ["allow", 101]);
  });
}

test("64 WebSockets at a time keep their words apart", async () => {
  secure.on("/many", echo);
  const clients = await Promise.all(Array.from({ length: 64 }, () => open("redirected")));
  await Promise.all(
    clients.map(async (client, index) => {
      await upgraded(client, "/many");
      for (let round = 0; round < 5; round++) {
        const text = `${index}:${round};`;
        client.send(text);
        assert.equal((await client.reader.take(text.length)).toString(), text);
      }
      client.socket.end();
      assert.equal((await client.reader.rest()).toString(), "bye");
      await proxy.audit.of(client, 1);
    }),
  );
});

test("I13: a WebSocket that is open at a stop has its time, is cut then, and is on record", async () => {
  const short = await world.another("stopping", { config: () => ({ proxy: { shutdown_timeout: "500ms" } }) });
  secure.on("/at-stop", echo);
  const free = `other.e2e.test:${secure.port}`;
  const tunnel = await openTunnel(world.context, short.addresses.tunnel as Address, free);
  const client = await startTls(world.context, tunnel);
  await upgraded(client, "/at-stop");
  short.signal("SIGTERM");
  client.send("still here");
  assert.equal((await client.reader.take(10)).toString(), "still here");
  await client.ended();
  assert.equal(await within("the end", short.exited), 0);
  const line = await short.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.status_code], ["client_cancel", 101]);
  assert.ok(line.audit.bytes_in > 10);
});

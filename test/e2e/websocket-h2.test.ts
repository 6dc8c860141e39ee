// WebSocket over HTTP/2 (RFC 8441): each on a stream of its own, to upstreams that speak HTTP/1.1.
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from "node:http2";
import { after, test } from "node:test";
import { type Client, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { eventually, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";
import { accept, echo, textOf } from "./websocket-support.ts";

const world = await openWorld({
  halfOpen: true,
  config: ({ securePort }) => ({
    transforms: [
      allowlist([
        "api.e2e.test:*",
        { host: "other.e2e.test:*", methods: ["GET"] },
        { host: "deep.api.e2e.test:*", methods: ["POST"] },
      ]),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`])]),
    ],
  }),
});
const { proxy, secure } = world;

interface Session {
  readonly client: Client;
  readonly session: ClientHttp2Session;
}

async function openSession(host = "other.e2e.test"): Promise<Session> {
  const authority = `${host}:${secure.port}`;
  const client = await startTls(world.context, await world.tunnel(authority), { ALPNProtocols: ["h2"] });
  client.reader.release();
  const session = connect(`https://${authority}`, { createConnection: () => client.socket });
  session.on("error", () => {});
  after(() => session.destroy());
  await within("settings", once(session, "remoteSettings"));
  assert.equal(session.remoteSettings.enableConnectProtocol, true);
  return { client, session };
}

function handshake(
  session: ClientHttp2Session,
  path: string,
  more: Record<string, string> = {},
): ClientHttp2Stream {
  return session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": "13", ...more },
    { endStream: false },
  );
}

async function answerTo(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders & { ":status"?: number }> {
  const [headers] = (await within("an answer", once(stream, "response"))) as [IncomingHttpHeaders];
  return headers;
}

test("a stream becomes a WebSocket: one key, policy of a GET, bytes both ways, half-close, one record", async () => {
  secure.on("/echo", echo);
  const { client, session } = await openSession();
  const stream = handshake(session, "/echo", { "sec-websocket-protocol": "chat" });
  const headers = await answerTo(stream);
  assert.equal(headers[":status"], 200);
  assert.equal(headers["sec-websocket-protocol"], "chat");
  for (const name of ["sec-websocket-accept", "upgrade", "connection"])
    assert.equal(headers[name], undefined, name);
  const sent = secure.received.findLast((one) => one.target === "/echo");
  assert.equal(sent?.method, "GET");
  assert.equal(valueOf(sent?.fields ?? [], "upgrade"), "websocket");
  assert.match(valueOf(sent?.fields ?? [], "sec-websocket-key") ?? "", /^[A-Za-z0-9+/]{22}==$/);
  stream.write("over h2");
  assert.equal(await textOf(stream, 7), "over h2");
  stream.end();
  assert.equal(await textOf(stream, 3), "bye");
  await within("the end of the stream", once(stream, "close"));
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.status_code, line.audit.method], ["allow", 101, "GET"]);
  assert.ok(line.audit.bytes_in > 7 && line.audit.bytes_out > 10);
});

test("attack 28: the handshake has its credential", async () => {
  secure.on("/authorized", (request) => accept(request));
  const { client, session } = await openSession("api.e2e.test");
  const stream = handshake(session, "/authorized", { authorization: `Bearer ${placeholder}` });
  assert.equal((await answerTo(stream))[":status"], 200);
  const sent = secure.received.findLast((one) => one.target === "/authorized");
  assert.equal(valueOf(sent?.fields ?? [], "authorization"), `Bearer ${world.credential}`);
  stream.close();
  await proxy.audit.of(client, 2);
});

test("attack 28: policy decides as on a GET; what is refused has an answer and the session goes on", async () => {
  const { client, session } = await openSession("deep.api.e2e.test");
  const stream = handshake(session, "/no");
  const headers = await answerTo(stream);
  assert.deepEqual([headers[":status"], headers["sallyport-reason"]], [403, "request_not_allowed"]);
  stream.close();
  const other = session.request({ ":method": "CONNECT", ":protocol": "connect-ip", ":path": "/" });
  const refused = await answerTo(other);
  assert.deepEqual([refused[":status"], refused["sallyport-reason"]], [501, "upgrade_not_supported"]);
  await proxy.audit.of(client, 3);
});

for (const [what, more] of [
  ["no version", { "sec-websocket-version": "" }],
  ["another version", { "sec-websocket-version": "8" }],
] as const) {
  test(`attack 28: a handshake with ${what} is refused, and the session goes on`, async () => {
    const { client, session } = await openSession();
    const before = secure.received.length;
    const stream = handshake(session, "/bad", more);
    const headers = await answerTo(stream);
    assert.deepEqual([headers[":status"], headers["sallyport-reason"]], [400, "bad_websocket_handshake"]);
    stream.close();
    assert.equal(secure.received.length, before);
    const line = await proxy.audit.last(client, 2);
    assert.deepEqual([line.audit.action, line.audit.reason], ["reject", "bad_websocket_handshake"]);
    assert.equal(session.destroyed, false);
  });
}

test("I9: a handshake that ends its stream is malformed, and the session goes on", async () => {
  const { client, session } = await openSession();
  const fields = {
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/",
    "sec-websocket-version": "13",
  };
  const stream = session.request(fields, { endStream: true });
  const [error] = (await within("the reset", once(stream, "error"))) as [Error];
  assert.match(error.message, /PROTOCOL_ERROR/);
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.status_code, line.audit.reason], [0, "malformed_request"]);
  assert.equal(session.destroyed, false);
});

test("a refused upgrade stays HTTP, and a wrong 101 is a 502", async () => {
  secure.on("/teapot", async (request) => {
    await request.body();
    request.write("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5\r\n\r\nshort");
  });
  secure.on("/lie", (request) => {
    request.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  });
  const { client, session } = await openSession();
  const stream = handshake(session, "/teapot");
  assert.equal((await answerTo(stream))[":status"], 418);
  assert.equal(await textOf(stream, 5), "short");
  stream.close();
  assert.equal((await answerTo(handshake(session, "/lie")))[":status"], 502);
  await proxy.audit.of(client, 3);
});

test("I13: a stream that is reset cuts its upstream, an upstream that is cut resets its stream", async () => {
  let ended = false;
  secure.on("/reset-me", async (request) => {
    accept(request);
    await request.reader.rest();
    ended = true;
  });
  secure.on("/reset-you", async (request) => {
    accept(request);
    await request.reader.take(1);
    request.reset();
  });
  const { client, session } = await openSession();
  const stream = handshake(session, "/reset-me");
  await answerTo(stream);
  stream.close(8);
  await eventually("the upstream learns of it", () => ended);
  const other = handshake(session, "/reset-you");
  await answerTo(other);
  other.on("error", () => {});
  other.write("x");
  await within(
    "the reset",
    once(other, "close").catch(() => {}),
  );
  assert.notEqual(other.rstCode, 0);
  const lines = await proxy.audit.of(client, 3);
  assert.deepEqual(
    lines.slice(1).map(({ audit }) => [audit.action, audit.reason]),
    [
      ["client_cancel", "client_disconnected"],
      ["error", "upstream_closed"],
    ],
  );
});

test("several WebSockets and requests share a session", async () => {
  secure.on("/many", echo);
  const { client, session } = await openSession();
  const streams = Array.from({ length: 8 }, () => handshake(session, "/many"));
  await Promise.all(
    streams.map(async (stream, index) => {
      await answerTo(stream);
      for (let round = 0; round < 3; round++) {
        const text = `${index}:${round};`;
        stream.write(text);
        assert.equal(await textOf(stream, text.length), text);
      }
      stream.close();
    }),
  );
  const plain = session.request({ ":path": "/plain" });
  assert.equal((await answerTo(plain))[":status"], 200);
  await proxy.audit.of(client, 10);
});

// WebSocket to upstreams that are reached over HTTP/2 (RFC 8441): node's server, clients of both versions.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { after, test } from "node:test";
import { WebSocket } from "ws";
import { makeLeaf } from "../helpers/pki.ts";
import { type Client, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { eventually, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, secureHosts, swap } from "./harness/world.ts";
import { acceptOf, fields, key, textOf } from "./websocket-support.ts";

const world = await openWorld({
  config: () => ({
    transforms: [
      allowlist(["api.e2e.test:*", "other.e2e.test:*"]),
      secrets([swap("E2E_KEY", placeholder, ["api.e2e.test:*"])]),
    ],
  }),
});
const { proxy } = world;
const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);

interface Server {
  readonly port: number;
  /** Heads of the streams, as they came. */
  readonly heads: string[][];
  /** Handshakes over HTTP/1.1. */
  readonly handshakes: IncomingMessage[];
  readonly resets: number[];
}

interface Choices {
  readonly tunnels: boolean;
  readonly http1?: boolean;
}

/** What `ws` does with a connection once its handshake is over. */
interface Accepted {
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}

/** Echoes what it is told, in capitals; a path says what else it may do. */
async function startServer({ tunnels, http1 = false }: Choices): Promise<Server> {
  const server: Http2SecureServer = createSecureServer({
    cert: leaf.certPem,
    key: leaf.keyPem,
    allowHTTP1: http1,
    settings: { enableConnectProtocol: tunnels },
  });
  const heads: string[][] = [];
  const handshakes: IncomingMessage[] = [];
  const resets: number[] = [];
  server.on("session", (session) => after(() => session.destroy()));
  server.on("stream", (stream, headers, _flags, raw) => {
    heads.push(raw);
    stream.on("error", () => {});
    stream.on("close", () => resets.push(stream.rstCode ?? -1));
    onStream(stream as ServerHttp2Stream, headers);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
    handshakes.push(request);
    const accept = acceptOf([["sec-websocket-key", request.headers["sec-websocket-key"] ?? ""]]);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  return { port: (server.address() as AddressInfo).port, heads, handshakes, resets };
}

function onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[":protocol"] === undefined) {
    stream.respond({ ":status": 200 });
    stream.end("plain");
    return;
  }
  switch (headers[":path"]) {
    case "/teapot":
      stream.respond({ ":status": 418 });
      stream.end("short");
      return;
    case "/unasked":
      stream.respond({ ":status": 200, "sec-websocket-protocol": "other" });
      return;
    case "/cut":
      stream.respond({ ":status": 200 });
      stream.once("data", () => stream.session?.destroy());
      return;
    case "/at-once":
      stream.respond({ ":status": 200, "content-length": "7" });
      stream.end("said and gone");
      return;
    case "/ws": {
      stream.respond({ ":status": 200 });
      const socket = new WebSocket(null as never, undefined, { autoPong: true });
      const options = { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false };
      (socket as unknown as Accepted).setSocket(stream, Buffer.alloc(0), options);
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      return;
    }
    default:
      stream.respond({ ":status": 200, "sec-websocket-protocol": headers["sec-websocket-protocol"] });
      stream.on("data", (bytes: Buffer) => stream.write(bytes.toString("latin1").toUpperCase(), "latin1"));
      stream.on("end", () => stream.end(bye));
  }
}

/** Frames of a server, as far as scrubbing cares. */
const shout = Buffer.from("\x81\x06FRAMES", "latin1");
const bye = Buffer.from("\x81\x03BYE", "latin1");
/** Sends a handshake over HTTP/1.1 and gives the head of its answer. */
async function upgrade(client: Client, path: string, more: readonly string[] = []): Promise<string> {
  client.send(client.text("GET", path, { fields: [...fields, ...more] }));
  return (await within("an answer", client.reader.until("\r\n\r\n"))) ?? "";
}

async function openSession(authority: string): Promise<{ client: Client; session: ClientHttp2Session }> {
  const client = await startTls(world.context, await world.tunnel(authority), { ALPNProtocols: ["h2"] });
  client.reader.release();
  const session = connect(`https://${authority}`, { createConnection: () => client.socket });
  session.on("error", () => {});
  after(() => session.destroy());
  await within("settings", once(session, "remoteSettings"));
  return { client, session };
}

function tunnel(session: ClientHttp2Session, path: string, more: Record<string, string> = {}) {
  const head = { ":method": "CONNECT", ":protocol": "websocket", ":path": path, ...more };
  const stream = session.request(head, { endStream: false });
  stream.on("error", () => {});
  return stream;
}

async function statusOf(stream: ClientHttp2Stream): Promise<number> {
  const [headers] = (await within("an answer", once(stream, "response"))) as [IncomingHttpHeaders];
  return Number(headers[":status"]);
}

const onlyH2 = await startServer({ tunnels: true });

test("attack 28: HTTP/1.1 to an upstream of HTTP/2 alone: one extended CONNECT, credential, half-close, record", async () => {
  const client = await world.connect(`api.e2e.test:${onlyH2.port}`);
  const more = [`Authorization: Bearer ${placeholder}`, "Sec-WebSocket-Protocol: chat", "X-Own: 1"];
  const head = await upgrade(client, "/echo?q", more);
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.match(head, /\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n/);
  assert.ok(head.includes(`\r\nSec-WebSocket-Accept: ${acceptOf([["sec-websocket-key", key]])}\r\n`));
  assert.match(head, /\r\nsec-websocket-protocol: chat\r\n/);
  const sent = onlyH2.heads.at(-1) ?? [];
  const at = (name: string) => sent[sent.indexOf(name) + 1];
  assert.deepEqual([":method", ":protocol", ":scheme", ":path", ":authority"].map(at), [
    "CONNECT",
    "websocket",
    "https",
    "/echo?q",
    `api.e2e.test:${onlyH2.port}`,
  ]);
  assert.equal(at("authorization"), `Bearer ${world.credential}`);
  assert.equal(at("sec-websocket-version"), "13");
  for (const name of ["sec-websocket-key", "upgrade", "connection", "content-length"]) {
    assert.ok(!sent.includes(name), name);
  }
  client.send(Buffer.from("\x81\x06frames", "latin1"));
  assert.deepEqual(await client.reader.take(shout.length), shout);
  client.socket.end();
  assert.deepEqual(await client.reader.rest(), bye);
  const { audit } = await proxy.audit.last(client, 2);
  assert.deepEqual([audit.action, audit.status_code, audit.method], ["allow", 101, "GET"]);
  assert.deepEqual(audit.http, { client: "1.1", upstream: "2" });
  assert.equal(audit.bytes_out, head.length + shout.length + bye.length);
});

test("HTTP/2 on both sides: a stream for each, on one connection of either side", async () => {
  const { client, session } = await openSession(`other.e2e.test:${onlyH2.port}`);
  await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const stream = tunnel(session, `/echo${index}`);
      assert.equal(await statusOf(stream), 200);
      const text = "x".repeat(100_000 + index);
      stream.write(text);
      assert.equal(await textOf(stream, text.length), text.toUpperCase());
      stream.end();
      assert.match(await textOf(stream, bye.length), /BYE$/);
      await within("the end", once(stream, "close"));
      assert.equal(stream.rstCode, 0);
    }),
  );
  for (const { audit } of (await proxy.audit.of(client, 7)).slice(1)) {
    assert.deepEqual([audit.action, audit.status_code], ["allow", 101]);
  }
});

test("`ws` on both sides: messages of every size, pings, a close code", async () => {
  const client = await world.connect(`other.e2e.test:${onlyH2.port}`);
  const url = `wss://other.e2e.test:${onlyH2.port}/ws`;
  const socket = new WebSocket(url, { createConnection: () => client.socket });
  await within("the handshake", once(socket, "open"));
  for (const size of [0, 125, 126, 65_536, 1_000_000]) {
    const back = once(socket, "message");
    socket.send(Buffer.alloc(size, "m"));
    const [data] = (await within(`a message of ${size} bytes`, back)) as [Buffer];
    assert.equal(data.length, size);
  }
  const pong = once(socket, "pong");
  socket.ping("p");
  assert.equal(String((await within("a pong", pong))[0]), "p");
  const closed = once(socket, "close");
  socket.close(4001, "enough");
  assert.equal((await within("the close", closed))[0], 4001);
  assert.equal((await proxy.audit.last(client, 2)).audit.action, "allow");
});

test("an upstream that ends at once: its bytes and its end arrive, whatever content-length it says", async () => {
  const client = await world.connect(`other.e2e.test:${onlyH2.port}`);
  assert.doesNotMatch(await upgrade(client, "/at-once"), /content-length/i);
  assert.equal((await client.reader.rest()).toString(), "said and gone");
  client.socket.end();
  assert.equal((await proxy.audit.last(client, 2)).audit.action, "allow");
});

test("a refused upgrade stays HTTP, on both sides", async () => {
  const client = await world.connect(`other.e2e.test:${onlyH2.port}`);
  client.send(client.text("GET", "/teapot", { fields }));
  const answer = await within("an answer", client.answer());
  assert.deepEqual([answer?.status, answer?.body.toString()], [418, "short"]);
  assert.equal((await client.request("GET", "/plain")).body.toString(), "plain");
  assert.equal(onlyH2.resets.at(-2), 0, "the refused stream ends, it is not reset");
});

test("attack 29: a subprotocol that nobody offered is a 502, and the stream is gone", async () => {
  const client = await world.connect(`other.e2e.test:${onlyH2.port}`);
  const before = onlyH2.resets.length;
  client.send(client.text("GET", "/unasked", { fields }));
  const answer = await within("an answer", client.answer());
  assert.equal(answer?.status, 502);
  assert.equal(valueOf(answer.fields, "sallyport-reason"), "upstream_response_invalid");
  await eventually("the stream is reset", () => onlyH2.resets.length > before);
  assert.equal(onlyH2.resets.at(-1), 8);
});

test("I13: a cut passes from either side to the other", async () => {
  const client = await world.redirected(`other.e2e.test:${onlyH2.port}`);
  await upgrade(client, "/cut");
  client.send("x");
  assert.equal(await client.ended(), "cut");
  const { audit } = await proxy.audit.last(client, 1);
  assert.deepEqual([audit.action, audit.reason], ["error", "upstream_closed"]);

  const other = await world.connect(`other.e2e.test:${onlyH2.port}`);
  await upgrade(other, "/echo");
  const before = onlyH2.resets.length;
  other.reset();
  await eventually("the upstream learns of it", () => onlyH2.resets.length > before);
  assert.equal(onlyH2.resets.at(-1), 8);
  const line = await proxy.audit.last(other, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
});

test("an upstream of HTTP/2 alone that takes no tunnels is a 502 that says so", async () => {
  const server = await startServer({ tunnels: false });
  const client = await world.connect(`other.e2e.test:${server.port}`);
  for (let round = 0; round < 2; round++) {
    client.send(client.text("GET", "/echo", { fields }));
    const answer = await within("an answer", client.answer());
    assert.equal(answer?.status, 502);
    assert.equal(valueOf(answer.fields, "sallyport-reason"), "upgrade_not_supported");
    assert.match(answer.body.toString(), /speaks only HTTP\/2, and takes no WebSockets/);
  }
  assert.equal(server.heads.length, 0);
});

for (const tunnels of [true, false]) {
  const way = tunnels ? "HTTP/2 once a connection is there that takes it" : "HTTP/1.1";
  test(`an upstream of both versions, ${tunnels ? "with" : "without"} tunnels: ${way}`, async () => {
    const server = await startServer({ tunnels, http1: true });
    const { session } = await openSession(`other.e2e.test:${server.port}`);
    const plain = session.request({ ":path": "/plain" });
    assert.equal(await statusOf(plain), 200);
    plain.resume();
    const stream = tunnel(session, "/echo");
    assert.equal(await statusOf(stream), 200);
    stream.write("A");
    assert.equal(await textOf(stream, 1), "A");
    stream.close();
    assert.deepEqual([server.heads.length, server.handshakes.length], tunnels ? [2, 0] : [1, 1]);
  });
}

test("an upstream of both versions is spoken to in HTTP/1.1 where no connection is there", async () => {
  const server = await startServer({ tunnels: true, http1: true });
  const { session } = await openSession(`other.e2e.test:${server.port}`);
  const stream = tunnel(session, "/echo");
  assert.equal(await statusOf(stream), 200);
  assert.deepEqual([server.heads.length, server.handshakes.length], [0, 1]);
  stream.close();
});

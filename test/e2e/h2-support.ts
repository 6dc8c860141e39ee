// What the tests of HTTP/2 are made of: an upstream that speaks nothing else, node's client in a tunnel, and one exchange.
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after } from "node:test";
import { makeLeaf } from "../helpers/pki.ts";
import { type Client, openRaw, startTls } from "./harness/client.ts";
import type { Address, Sallyport } from "./harness/sallyport.ts";
import { within } from "./harness/wait.ts";
import { secureHosts, type World } from "./harness/world.ts";

export interface H2Upstream {
  readonly port: number;
  /** By path; any other is not found. */
  readonly scripts: Map<string, (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void>;
  readonly sessions: readonly ServerHttp2Session[];
  readonly sockets: readonly TLSSocket[];
}

/** An upstream that speaks HTTP/2 and nothing else. */
export async function serveH2(world: World): Promise<H2Upstream> {
  const sessions: ServerHttp2Session[] = [];
  const sockets: TLSSocket[] = [];
  const scripts: H2Upstream["scripts"] = new Map();
  const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
  const server = createSecureServer({ cert: leaf.certPem, key: leaf.keyPem });
  server.on("secureConnection", (socket) => sockets.push(socket));
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const script = scripts.get(headers[":path"] ?? "");
    if (script !== undefined) script(stream as ServerHttp2Stream, headers);
    else (stream as ServerHttp2Stream).respond({ ":status": 404 }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, scripts, sessions, sockets };
}

export async function tunnelTo(world: World, to: string, by: Sallyport): Promise<Client> {
  const client = await openRaw(world.context, by.addresses.tunnel as Address, to);
  client.send(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
  assert.match((await client.reader.until("\r\n\r\n")) ?? "", / 200 /);
  return client;
}

export interface H2Client {
  readonly tls: Client;
  readonly session: ClientHttp2Session;
}

/** Node's client in a tunnel. */
export async function openH2(world: World, to: string, by: Sallyport): Promise<H2Client> {
  const tls = await startTls(world.context, await tunnelTo(world, to, by), {
    ALPNProtocols: ["h2", "http/1.1"],
  });
  assert.equal((tls.socket as { alpnProtocol?: string }).alpnProtocol, "h2");
  const unread = tls.reader.release();
  if (unread.length > 0) tls.socket.unshift(unread);
  const session = connect(`https://${to}`, { createConnection: () => tls.socket });
  session.on("error", () => {});
  after(() => session.destroy());
  return { tls, session };
}

export interface H2Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly interims: number[];
  readonly body: string;
}

export async function exchange(
  world: World,
  { session }: H2Client,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<H2Answer> {
  const stream = session.request(headers);
  const interims: number[] = [];
  let trailers: IncomingHttpHeaders | undefined;
  stream.on("headers", (more) => interims.push(Number(more[":status"])));
  stream.on("trailers", (more) => {
    trailers = more;
  });
  const responded = once(stream, "response");
  if (body !== undefined) stream.end(body);
  const [head] = (await within("a response", responded)) as [IncomingHttpHeaders];
  const chunks = (await within("a body", stream.toArray())) as Buffer[];
  world.canary.search("an answer", Buffer.concat(chunks));
  return {
    status: Number(head[":status"]),
    headers: head,
    trailers,
    interims,
    body: Buffer.concat(chunks).toString(),
  };
}

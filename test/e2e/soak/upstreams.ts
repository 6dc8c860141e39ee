// The upstreams of the soak, one for each version of HTTP, and two that are killed and come back.
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { makeLeaf } from "../../helpers/pki.ts";
import { valueOf } from "../harness/message.ts";
import { type Script, startUpstream, type Upstream } from "../harness/upstream.ts";
import { pause } from "../harness/wait.ts";
import { placeholder, secureHosts, type World } from "../harness/world.ts";

export const large = Buffer.alloc(300_000, "large ");

/** Of the answer to a request, by the first part of its path. */
export const scripts: Readonly<Record<string, Script>> = {
  async ok(request) {
    const received = await request.body();
    if (!received.complete) return;
    const authorization = valueOf(request.fields, "authorization") ?? "";
    if (authorization.includes(placeholder)) throw new Error("a placeholder came through");
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  },
  async chunks(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n");
  },
  /** Says how much it got. */
  async count(request) {
    const { body, complete } = await request.body();
    if (!complete) return;
    const text = String(body.length);
    request.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  },
  async large(request) {
    await request.body();
    request.write(`HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`);
    request.write(large);
  },
  async slow(request) {
    await request.body();
    await pause(15);
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    await pause(5);
    request.write("slow");
  },
  async events(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let event = 0; event < 5; event++) {
      request.write(`9\r\ndata: ${event}\n\n\r\n`);
      await pause(10);
    }
    request.write("0\r\n\r\n");
  },
  /** Events without end. */
  async ticks(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (request.reader.ended === undefined) {
      request.write("9\r\ndata: x\n\n\r\n");
      await pause(50);
    }
  },
  async "until-close"(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\n\r\nall");
    request.end();
  },
  reset: (request) => request.reset(),
  async garbage(request) {
    await request.body();
    request.write("what?\r\n\r\n");
  },
  async extra(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n\r\n");
  },
  async short(request) {
    await request.body();
    request.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    request.end();
  },
  /** Shows the credential it got, compressed. */
  async leak(request) {
    await request.body();
    const got = valueOf(request.fields, "authorization") ?? "";
    const body = gzipSync(`${"a leak ".repeat(200)}${got}${" a leak".repeat(200)}`);
    request.write(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    request.write(body);
  },
  /** What wants a token that was minted. */
  async api(request) {
    await request.body();
    const isMinted = /^Bearer minted-\d+$/.test(valueOf(request.fields, "authorization") ?? "");
    request.write(`HTTP/1.1 ${isMinted ? "200 OK" : "401 Who"}\r\nContent-Length: 0\r\n\r\n`);
  },
  /** Accepts a WebSocket and hands back every byte until the client ends. */
  async websocket(request) {
    const key = valueOf(request.fields, "sec-websocket-key") ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    request.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    for (;;) {
      const bytes = await request.reader.take(1);
      if (bytes.length === 0) break;
      request.write(Buffer.concat([bytes, await request.reader.take(request.reader.unread.length)]));
    }
    request.end();
  },
};

let tokens = 0;
/** A token endpoint; its tokens are known by how they begin. */
export const issue: Script = async (request) => {
  await request.body();
  const body = JSON.stringify({ access_token: `minted-${++tokens}`, token_type: "Bearer", expires_in: 12 });
  request.write(
    `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
};

type H2Script = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const h2Scripts: Readonly<Record<string, H2Script>> = {
  ok(stream, headers) {
    if (String(headers["authorization"]).includes(placeholder)) throw new Error("a placeholder came through");
    stream.resume();
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
  },
  echo(stream) {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  },
  large(stream) {
    stream.respond({ ":status": 200, "content-length": large.length });
    stream.end(large);
  },
  trailers(stream) {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "6" }));
    stream.end("abc");
  },
  reset(stream) {
    // Node ends a stream before it resets it, which would make an answer without a length whole.
    stream.respond({ ":status": 200, "content-length": 1000 });
    stream.write("the beginning");
    setTimeout(() => stream.close(2), 5);
  },
  /** gRPC's frames come back as they are, which is an echo of messages. */
  "soak.Echo"(stream) {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.pipe(stream);
  },
};

/** An upstream that speaks HTTP/2 and nothing else. */
export interface H2Upstream {
  readonly port: number;
  kill(): Promise<void>;
}

/**
 * @param onGivenUp node's server has ended a connection with INTERNAL_ERROR, as it does now and then where streams are
 * cancelled while they are sent, whoever the client is
 */
async function startH2(world: World, onGivenUp: () => void, port = 0): Promise<H2Upstream> {
  const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
  const server: Http2SecureServer = createSecureServer({
    cert: leaf.certPem,
    key: leaf.keyPem,
    // One connection has the answers of all players: with the 10 MB of the default it would reset some of them.
    maxSessionMemory: 1000,
  });
  const sessions = new Set<ServerHttp2Session>();
  let isKilled = false;
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  server.on("session", (session) => {
    sessions.add(session);
    let isToldToGo = false;
    session.on("goaway", () => {
      isToldToGo = true;
    });
    session.on("close", () => {
      sessions.delete(session);
      if (!isToldToGo && !isKilled) onGivenUp();
    });
    session.on("error", () => {});
  });
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    h2Scripts[headers[":path"]?.split("/")[1] ?? ""]?.(stream as ServerHttp2Stream, headers);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async kill() {
      isKilled = true;
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function startMortal(world: World, port = 0): Promise<Upstream> {
  const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
  return startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem }, remember: false, port });
}

/** Those besides the two of the {@link World}, with their authorities. */
export interface Upstreams {
  /** HTTP/2, and never killed. */
  readonly h2: string;
  /** Killed now and then; HTTP/1.1 and HTTP/2. */
  readonly mortal: string;
  readonly mortalH2: string;
  /** Kills the mortal ones, and has them back after so many milliseconds. */
  killFor(ms: number): Promise<void>;
  close(): Promise<void>;
}

export async function startUpstreams(world: World, onGivenUp: () => void): Promise<Upstreams> {
  const answerBy = (upstream: Upstream) =>
    upstream.on("*", (request) => scripts[request.target.split("/")[1] ?? ""]?.(request));
  answerBy(world.secure);
  answerBy(world.plain);
  world.secure.on("/token", issue);
  const h2 = await startH2(world, onGivenUp);
  let mortal = await startMortal(world);
  let mortalH2 = await startH2(world, onGivenUp);
  answerBy(mortal);
  const at = (port: number) => `api.e2e.test:${port}`;
  return {
    h2: at(h2.port),
    mortal: at(mortal.port),
    mortalH2: at(mortalH2.port),
    async killFor(ms) {
      await Promise.all([mortal.close(), mortalH2.kill()]);
      await pause(ms);
      mortal = await startMortal(world, mortal.port);
      mortalH2 = await startH2(world, onGivenUp, mortalH2.port);
      answerBy(mortal);
    },
    async close() {
      await Promise.all([h2.kill(), mortal.close(), mortalH2.kill()]);
    },
  };
}

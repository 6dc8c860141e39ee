// What the tests of HTTP/2 upstreams share: node's server, and one whose frames are made by hand.
import { once } from "node:events";
import {
  createSecureServer,
  type Http2SecureServer,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { clientPreface, FrameReader, settingsFrame } from "../../src/http/h2/frames.ts";
import { HpackEncoder } from "../../src/http/h2/hpack/encoder.ts";
import { frame } from "../http/h2/kit.ts";
import { leaf, serve, target } from "./kit.ts";

type Answer = (stream: ServerHttp2Stream, headers: Record<string, string>) => void;

interface H2Server {
  readonly address: string;
  readonly server: Http2SecureServer;
  readonly sessions: ServerHttp2Session[];
  readonly connections: () => number;
}

export async function serveH2(
  t: TestContext,
  answer: Answer,
  options: SecureServerOptions = {},
): Promise<H2Server> {
  const server = createSecureServer({ cert: leaf.certPem, key: leaf.keyPem, ...options });
  const sessions: ServerHttp2Session[] = [];
  let connections = 0;
  server.on("connection", () => connections++);
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    answer(stream as ServerHttp2Stream, headers as Record<string, string>);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, server, sessions, connections: () => connections };
}

export const always = { http2: "always" } as const;
export const secure = (address: string, partition = "") => target(address, "https", partition);
export const sayOk: Answer = (stream) => {
  stream.respond({ ":status": 200 });
  stream.end("ok");
};

export interface Raw {
  readonly headers: (end: boolean, fields: [string, string][]) => Buffer;
  readonly stream: number;
  readonly socket: Socket;
}

/** Speaks frames made by hand: what comes behind the first HEADERS is what `answer` gives. */
export async function serveRaw(t: TestContext, answer: (parts: Raw) => Buffer[]): Promise<string> {
  const options = { cert: leaf.certPem, key: leaf.keyPem, ALPNProtocols: ["h2"] };
  const server = await serve(t, ({ socket }) => speakRaw(socket, answer), options);
  return server.address;
}

/** Speaks so on one connection. */
export function speakRaw(socket: Socket, answer: (parts: Raw) => Buffer[]): void {
  const encoder = new HpackEncoder();
  let skip = clientPreface.length;
  const reader = new FrameReader({
    onData() {},
    onFrame(type, _flags, stream) {
      if (type !== 1) return;
      const headers = (end: boolean, fields: [string, string][]): Buffer => {
        encoder.begin(0);
        for (const [name, value] of fields) encoder.field(name, value, false);
        return frame(1, end ? 5 : 4, stream, encoder.end());
      };
      socket.write(Buffer.concat(answer({ headers, stream, socket })));
    },
  });
  socket.write(Buffer.concat([settingsFrame([]), frame(4, 1, 0)]));
  socket.on("data", (chunk: Buffer) => {
    const rest = chunk.subarray(skip);
    skip = Math.max(0, skip - chunk.length);
    reader.execute(rest);
  });
}

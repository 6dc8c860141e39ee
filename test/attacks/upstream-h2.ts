// An upstream that speaks HTTP/2 and nothing else, on node's own server.
import { once } from "node:events";
import {
  createSecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

export type H2Script = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export interface H2Upstream {
  readonly port: number;
  readonly received: readonly IncomingHttpHeaders[];
  on(path: string, script: H2Script): void;
  close(): Promise<void>;
}

export async function startH2Upstream(tls: {
  readonly cert: string;
  readonly key: string;
}): Promise<H2Upstream> {
  const server = createSecureServer(tls);
  const sessions = new Set<ServerHttp2Session>();
  const scripts = new Map<string, H2Script>();
  const received: IncomingHttpHeaders[] = [];
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {}).on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    received.push(headers);
    const script = scripts.get((headers[":path"] ?? "").split("?")[0] as string);
    if (script !== undefined) script(stream, headers);
    else {
      stream.respond({ ":status": 200 });
      stream.end("ok");
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    received,
    on: (path, script) => void scripts.set(path, script),
    async close() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

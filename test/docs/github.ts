// In place of the internet: a forward proxy that leads every name to one service, which knows one credential.
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa, makeLeaf } from "../helpers/pki.ts";

export interface Internet {
  /** Variables that lead a Sallyport here and let it trust the service. */
  readonly env: Record<string, string>;
  /** Values of Authorization that the service got. */
  readonly received: readonly string[];
  close(): void;
}

/** @param credential what the service answers 200 to */
export async function startInternet(names: readonly string[], credential: string): Promise<Internet> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-docs-ca-"));
  const ca = makeCa();
  const leaf = makeLeaf(ca, names);
  writeFileSync(join(folder, "ca.crt"), ca.certPem);
  const received: string[] = [];
  const service = createTlsServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, response) => {
    const { authorization = "" } = request.headers;
    received.push(authorization);
    const known = authorization === `Bearer ${credential}`;
    response.writeHead(known ? 200 : 401, { "Content-Type": "application/json" });
    response.end(known ? '{\n  "login": "octocat",\n  "id": 583231\n}\n' : '{"message":"Bad credentials"}\n');
  });
  const sockets = new Set<Socket>();
  const forward = createServer().on("connect", (_request: IncomingMessage, socket: Socket) => {
    const upstream = connect((service.address() as AddressInfo).port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    for (const one of [socket, upstream]) {
      sockets.add(one);
      one.on("error", () => {});
    }
  });
  for (const server of [service, forward]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const { port } = forward.address() as AddressInfo;
  return {
    env: {
      SALLYPORT_PROXY_UPSTREAM_PROXY_HTTPS_PROXY: `http://127.0.0.1:${port}`,
      SALLYPORT_TLS_UPSTREAM_CA: join(folder, "ca.crt"),
    },
    received,
    close() {
      for (const socket of sockets) socket.destroy();
      service.close();
      forward.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

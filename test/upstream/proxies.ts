// Forward proxies on loopback, which connect everything to one server there.
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { makeLeaf } from "../helpers/pki.ts";
import { ca, type Peer, type ScriptedServer, serve } from "./kit.ts";

const certificate = makeLeaf(ca, ["api.example", "localhost", "127.0.0.1"]);
export const tls = { cert: certificate.certPem, key: certificate.keyPem };

/** Joins the rest of a proxied connection to a server on loopback, whatever name was asked for. */
function splice(client: Socket, port: number, first: string): void {
  client.removeAllListeners("data");
  const upstream = connect(port, "127.0.0.1");
  upstream.on("error", () => {});
  client.write(first, "latin1");
  client.pipe(upstream);
  upstream.pipe(client);
  client.on("close", () => upstream.destroy());
  upstream.on("close", () => client.destroy());
}

/** An HTTP proxy that tunnels CONNECT to `port` and answers everything else itself. */
export function httpProxy(t: TestContext, port: number, overTls = false): Promise<ScriptedServer> {
  return serve(
    t,
    async (peer) => {
      await peer.until("\r\n\r\n");
      if (peer.received().startsWith("CONNECT ")) {
        splice(peer.socket, port, "HTTP/1.1 200 Connection established\r\n\r\n");
      } else peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy");
    },
    overTls ? tls : undefined,
  );
}

/** A SOCKS5 server; `answer` decides about each request. Bytes arrive whole on loopback, one message at a time. */
export function socksProxy(
  t: TestContext,
  port: number,
  seen: string[],
  { login, reply = 0 }: { login?: string; reply?: number } = {},
): Promise<ScriptedServer> {
  return serve(t, ({ socket }: Peer) => {
    let step = 0;
    socket.on("data", (bytes: Buffer) => {
      if (step === 0) {
        const methods = [...bytes.subarray(2)];
        const wanted = login === undefined ? 0 : 2;
        socket.write(Buffer.of(5, methods.includes(wanted) ? wanted : 0xff));
        step = login === undefined ? 2 : 1;
      } else if (step === 1) {
        const name = bytes.subarray(2, 2 + (bytes[1] ?? 0)).toString();
        const password = bytes.subarray(3 + (bytes[1] ?? 0)).toString();
        socket.write(Buffer.of(1, `${name}:${password}` === login ? 0 : 1));
        step = 2;
      } else {
        const host =
          bytes[3] === 3
            ? bytes.subarray(5, 5 + (bytes[4] ?? 0)).toString()
            : [...bytes.subarray(4, bytes[3] === 1 ? 8 : 20)].join(".");
        seen.push(`${bytes[3]} ${host} ${bytes.readUInt16BE(bytes.length - 2)}`);
        // A reply with a name as bound address, which few servers send and all may.
        const message = Buffer.concat([Buffer.of(5, reply, 0, 3, 4), Buffer.from("here"), Buffer.of(0, 80)]);
        if (reply === 0) splice(socket, port, message.toString("latin1"));
        else socket.end(message);
      }
    });
  });
}

// One TLS handshake over loopback between tls.connect and a server with a given context.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";

export interface SocketPair {
  readonly client: net.Socket;
  readonly server: net.Socket;
  readonly close: () => void;
}

/** Two ends of one TCP connection. */
export async function socketPair(): Promise<SocketPair> {
  const listener = net.createServer({ pauseOnConnect: false }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const client = net.connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const [[server]] = (await Promise.all([once(listener, "connection"), once(client, "connect")])) as [
    [net.Socket],
    unknown,
  ];
  listener.close();
  for (const socket of [client, server]) socket.on("error", () => {});
  return {
    client,
    server,
    close: () => {
      client.destroy();
      server.destroy();
    },
  };
}

/** Both sides after the handshake; rejects with the client's error. */
export async function handshake(
  secureContext: tls.SecureContext,
  options: tls.ConnectionOptions,
): Promise<{ client: tls.TLSSocket; server: tls.TLSSocket; close: () => void }> {
  const pair = await socketPair();
  const server = new tls.TLSSocket(pair.server, { isServer: true, secureContext });
  server.on("error", () => {});
  const client = tls.connect({ ...options, socket: pair.client });
  try {
    await once(client, "secureConnect");
  } catch (error) {
    pair.close();
    throw error;
  }
  return { client, server, close: pair.close };
}

/** The certificates a client was shown, leaf first. */
export function peerChain(client: tls.TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let link = client.getPeerX509Certificate(); link !== undefined; link = link.issuerCertificate) {
    chain.push(link);
    if (link.checkIssued(link)) break;
  }
  return chain;
}

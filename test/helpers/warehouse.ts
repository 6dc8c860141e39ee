// The upstream of the page "Use 1Password", and a network on which every name leads to it.
import { once } from "node:events";
import { createServer as createForwardProxy } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { makeCa, makeLeaf } from "./pki.ts";

export const warehouseHost = "warehouse.internal.example.com";

export interface Warehouse {
  /** PEM of the root that vouches for it. */
  readonly rootPem: string;
  /** URL of a forward proxy: the network. */
  readonly network: string;
  /** `METHOD HOST/PATH AUTHORIZATION` of every request. */
  readonly seen: readonly string[];
  close(): void;
}

/** Answers everything with "42 rows". */
export async function startWarehouse(): Promise<Warehouse> {
  const ca = makeCa();
  const leaf = makeLeaf(ca, warehouseHost);
  const seen: string[] = [];
  const warehouse = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, response) => {
    seen.push(`${request.method} ${request.headers.host}${request.url} ${request.headers.authorization}`);
    request.resume();
    response.end("42 rows\n");
  });
  warehouse.listen(0, "127.0.0.1");
  await once(warehouse, "listening");
  const network = await startNetwork((warehouse.address() as AddressInfo).port);
  return {
    rootPem: ca.certPem,
    network: network.url,
    seen,
    close() {
      network.close();
      warehouse.closeAllConnections();
      warehouse.close();
    },
  };
}

/** A forward proxy behind which every host, at every port, is one port of this machine. */
export async function startNetwork(port: number): Promise<{ readonly url: string; close(): void }> {
  const network = createForwardProxy();
  const tunnels = new Set<{ destroy(): void }>();
  network.on("connect", (_, socket) => {
    tunnels.add(socket);
    const onward = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on("error", () => end.destroy());
    onward.on("close", () => socket.destroy());
  });
  network.listen(0, "127.0.0.1");
  await once(network, "listening");
  return {
    url: `http://127.0.0.1:${(network.address() as AddressInfo).port}`,
    close() {
      for (const tunnel of tunnels) tunnel.destroy();
      network.closeAllConnections();
      network.close();
    },
  };
}

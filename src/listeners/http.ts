// client ── HTTP/1.1, origin or absolute form ──▶ http listener ──▶ one exchange for each request

import type { Socket } from "node:net";
import { ServerConnection } from "../http/h1/server.ts";
import type { ServerExchange } from "../http/h1/server-exchange.ts";
import type { ConnectionFacts, ListenerContext } from "./context.ts";
import { type Listener, listen, remoteAddress } from "./tcp.ts";

/** Listens for plain HTTP, sent here by a redirect or as to a proxy. */
export function listenHttp(
  at: { readonly host: string | undefined; readonly port: number },
  context: ListenerContext,
): Promise<Listener> {
  return listen("proxy.http_listen", "http", at, context, (socket) => {
    serveHttp(socket, plainFacts(socket), context);
  });
}

/** Facts of a plain connection whose requests name their hosts themselves. */
export function plainFacts(socket: Socket): ConnectionFacts {
  return {
    scheme: "http",
    client: {
      remoteAddress: remoteAddress(socket),
      sni: undefined,
      tls: undefined,
      tunnel: undefined,
      caller: undefined,
    },
    tunnel: undefined,
    authority: undefined,
    host: undefined,
    refusal: undefined,
    proxyRequests: true,
  };
}

/**
 * Speaks HTTP/1.1 on a connection, plain or decrypted.
 * @param onConnect takes CONNECT requests, where the port opens tunnels
 */
export function serveHttp(
  socket: Socket,
  facts: ConnectionFacts,
  context: ListenerContext,
  onConnect?: (exchange: ServerExchange) => void,
): ServerConnection {
  const connection: ServerConnection = new ServerConnection(socket, context.serverOptions, {
    onRequest(exchange) {
      if (onConnect !== undefined && exchange.head.method === "CONNECT") onConnect(exchange);
      else context.handle(exchange, facts);
    },
    onBadRequest: (bad) => context.refuseBytes(facts, bad),
    onClose: () => context.connections.forget(connection),
  });
  context.connections.serve(connection);
  return connection;
}

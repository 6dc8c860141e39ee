// client ── HTTP/2 in TLS, many streams ──▶ one exchange for each stream

import type { TLSSocket } from "node:tls";
import type { H2Limits } from "../http/h2/limits.ts";
import { H2ServerConnection } from "../http/h2/server.ts";
import type { ConnectionFacts, ListenerContext } from "./context.ts";

/** Speaks HTTP/2 on a decrypted connection whose client chose it (ALPN `h2`). */
export function serveHttp2(
  socket: TLSSocket,
  limits: H2Limits,
  facts: ConnectionFacts,
  context: ListenerContext,
): void {
  const { deadlines, headerMs, bodyMs, idleMs } = context.serverOptions;
  const options = { limits, deadlines, headerMs, bodyMs, idleMs };
  const connection: H2ServerConnection = new H2ServerConnection(socket, options, {
    onRequest: (exchange) => context.handle(exchange, facts),
    onBadRequest: (bad) => context.refuseBytes(facts, bad),
    onClose: () => context.connections.forget(connection),
  });
  context.connections.serve(connection);
}

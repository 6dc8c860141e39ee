// client ── TLS, sent here by DNS or a redirect ──▶ https listener ──▶ the server name says which host

import type { ListenerContext } from "./context.ts";
import { type Listener, listen, remoteAddress } from "./tcp.ts";
import { serveTls } from "./tls.ts";

/** Listens for TLS that DNS or a packet filter sent here. */
export function listenHttps(
  at: { readonly host: string | undefined; readonly port: number },
  context: ListenerContext,
): Promise<Listener> {
  return listen("proxy.https_listen", "tls", at, context, (socket) => {
    serveTls(
      socket,
      undefined,
      { remoteAddress: remoteAddress(socket), caller: undefined, tunnel: undefined },
      context,
    );
  });
}

// inside a tunnel: TLS, or plain HTTP; its first byte tells, and nothing else may follow (attack 14)

import type { Socket } from "node:net";
import type { TunnelState } from "../pipeline/exchange.ts";
import type { ConnectionFacts, ListenerContext, SplicedUpstream } from "./context.ts";
import { readFirstBytes } from "./first-bytes.ts";
import { serveHttp } from "./http.ts";
import { connectionRecord } from "./record.ts";
import { serveTls } from "./tls.ts";

const tlsHandshakeRecord = 0x16;

/**
 * Serves what a client says inside an open tunnel.
 * @param upstream the connection behind it, where it was made already
 */
export function serveInside(
  socket: Socket,
  tunnel: TunnelState,
  upstream: SplicedUpstream | undefined,
  context: ListenerContext,
): void {
  const { remoteAddress, caller } = tunnel;
  const unused = () => upstream?.channel.source.cancel();
  readFirstBytes(socket, context, context.serverOptions.idleMs, {
    onBytes(chunk) {
      const byte = chunk[0] as number;
      if (byte === tlsHandshakeRecord) {
        return () => serveTls(socket, chunk, { remoteAddress, caller, tunnel, upstream }, context);
      }
      unused();
      const facts = insideFacts(tunnel);
      if (byte < 0x41 || byte > 0x5a) return () => refuseProtocol(socket, facts, chunk.length, context);
      return () => {
        serveHttp(socket, facts, context).push(chunk);
        socket.resume();
      };
    },
    onGiveUp() {
      unused();
      socket.destroy();
    },
  });
}

function refuseProtocol(
  socket: Socket,
  facts: ConnectionFacts,
  bytesIn: number,
  context: ListenerContext,
): void {
  const host = facts.authority?.text ?? "";
  const event = { method: "", host, action: "reject", status: 0, reason: "protocol_not_supported" } as const;
  context.audit.write(connectionRecord(context.nextId(), facts, { ...event, bytesIn }));
  socket.destroy();
}

/** Facts of plain HTTP inside a tunnel. */
function insideFacts(tunnel: TunnelState): ConnectionFacts {
  const { remoteAddress, caller, authority } = tunnel;
  return {
    scheme: "http",
    client: { remoteAddress, sni: undefined, tls: undefined, tunnel, caller },
    tunnel,
    authority,
    host: undefined,
    refusal: undefined,
    proxyRequests: false,
  };
}

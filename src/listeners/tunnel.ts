// client ── CONNECT host:port ──▶ tunnel listener ── 200 ──▶ TLS or HTTP inside, for that host and port only
// client ── GET http://host/ ──▶ tunnel listener ──▶ one exchange for each request

import type { Socket } from "node:net";
import { type Authority, AuthorityError, parseAuthority } from "../http/authority.ts";
import { Body } from "../http/body.ts";
import type { ServerExchange } from "../http/h1/server-exchange.ts";
import { parseTarget, TargetError } from "../http/target.ts";
import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import { refusal, rejectionAnswer, syntheticAnswer } from "../pipeline/refusal.ts";
import type { Caller } from "../pipeline/types.ts";
import type { Answer } from "../http/h1/server.ts";
import type { Reason } from "../reasons.ts";
import type { ConnectionFacts, ListenerContext } from "./context.ts";
import { readFirstBytes } from "./first-bytes.ts";
import { plainFacts, serveHttp } from "./http.ts";
import { connectionRecord } from "./record.ts";
import { type Listener, listen } from "./tcp.ts";
import { serveTls } from "./tls.ts";

/** Listens as a forward proxy: CONNECT for TLS, absolute form for plain HTTP, both on one port. */
export function listenTunnel(
  at: { readonly host: string | undefined; readonly port: number },
  context: ListenerContext,
): Promise<Listener> {
  return listen("proxy.tunnel_listen", "http", at, context, (socket) => {
    const facts = plainFacts(socket);
    serveHttp(socket, facts, context, (exchange) => onConnect(exchange, facts, context));
  });
}

function onConnect(exchange: ServerExchange, connection: ConnectionFacts, context: ListenerContext): void {
  const { head } = exchange;
  const who = context.authenticate(head.headers.get("proxy-authorization"));
  if (who === false) {
    refuse(exchange, connection, context, 407, "caller_required");
    return;
  }
  const caller = who === true ? undefined : who;
  const facts: ConnectionFacts = { ...connection, client: { ...connection.client, caller } };
  let authority: Authority;
  try {
    authority = parseTarget(head.method, head.target).authority as Authority;
    const host = head.headers.get("host");
    if (host !== undefined && parseAuthority(host, authority.port).text !== authority.text) {
      refuse(exchange, facts, context, 421, "authority_mismatch");
      return;
    }
  } catch (error) {
    const reason = error instanceof TargetError ? error.reason : "invalid_host";
    if (!(error instanceof TargetError || error instanceof AuthorityError)) throw error;
    refuse(exchange, facts, context, 400, reason, error.message);
    return;
  }
  if (head.framing.kind !== "none") {
    refuse(exchange, facts, context, 400, "malformed_request", "A CONNECT request has no body.");
    return;
  }
  if (!context.audit.healthy) {
    refuse(exchange, facts, context, 503, "audit_unavailable");
    return;
  }
  const tunnel = new TunnelState("connect", authority, facts.client.remoteAddress, caller);
  const decision = context.pipeline().tunnel(tunnel);
  if (decision instanceof Promise) {
    let gone = false;
    exchange.onAbandoned = () => {
      gone = true;
    };
    decision.then(
      (late) => {
        if (!gone) decided(exchange, facts, tunnel, late, context);
      },
      () => exchange.destroy(),
    );
  } else decided(exchange, facts, tunnel, decision, context);
}

const established = "HTTP/1.1 200 Connection Established\r\n\r\n";

function decided(
  exchange: ServerExchange,
  facts: ConnectionFacts,
  tunnel: TunnelState,
  decision: Decision | undefined,
  context: ListenerContext,
): void {
  if (decision === undefined) {
    record(exchange, { ...facts, tunnel }, context, {
      action: "allow",
      status: 200,
      bytesOut: established.length,
    });
    inside(exchange.takeOver(established), tunnel, context);
    return;
  }
  const { verdict, by, error } = decision;
  const requestId = context.nextId();
  const host = tunnel.authority.host.name;
  const answer =
    verdict.kind === "stub"
      ? syntheticAnswer(verdict.response)
      : rejectionAnswer(verdict, { requestId, host, override: context.denialMessage });
  const reason = verdict.kind === "reject" ? verdict.reason : undefined;
  const action = error === undefined ? verdict.kind : "error";
  record(exchange, { ...facts, tunnel }, context, {
    id: requestId,
    action,
    status: answer.status,
    reason,
    rejectedBy: verdict.kind === "reject" ? by : undefined,
    error,
  });
  respond(exchange, answer);
}

/** What is inside an open tunnel shows in its first byte; only TLS and HTTP may follow (attack 14). */
function inside(socket: Socket, tunnel: TunnelState, context: ListenerContext): void {
  const { remoteAddress, caller } = tunnel;
  readFirstBytes(socket, context.serverOptions.deadlines, context.serverOptions.idleMs, {
    onBytes(chunk) {
      const byte = chunk[0] as number;
      if (byte === tlsHandshakeRecord) {
        return () => serveTls(socket, chunk, { remoteAddress, caller, tunnel }, context);
      }
      const facts = insideFacts(tunnel, caller);
      if (byte < 0x41 || byte > 0x5a)
        return () => refuseProtocol(socket, facts, tunnel, chunk.length, context);
      return () => {
        serveHttp(socket, facts, context).push(chunk);
        socket.resume();
      };
    },
    onGiveUp: () => socket.destroy(),
  });
}

const tlsHandshakeRecord = 0x16;

function refuseProtocol(
  socket: Socket,
  facts: ConnectionFacts,
  tunnel: TunnelState,
  bytesIn: number,
  context: ListenerContext,
): void {
  context.audit.write(
    connectionRecord(context.nextId(), facts, {
      method: "",
      host: tunnel.authority.text,
      action: "reject",
      status: 0,
      reason: "protocol_not_supported",
      bytesIn,
    }),
  );
  socket.destroy();
}

/** Facts of plain HTTP inside a tunnel. */
function insideFacts(tunnel: TunnelState, caller: Caller | undefined): ConnectionFacts {
  return {
    scheme: "http",
    client: { remoteAddress: tunnel.remoteAddress, sni: undefined, tls: undefined, tunnel, caller },
    tunnel,
    authority: tunnel.authority,
    host: undefined,
    refusal: undefined,
    proxyRequests: false,
  };
}

function refuse(
  exchange: ServerExchange,
  facts: ConnectionFacts,
  context: ListenerContext,
  status: number,
  reason: Reason,
  detail?: string,
): void {
  const requestId = context.nextId();
  const answer = refusal({ status, reason, requestId, detail, override: context.denialMessage });
  if (status === 407) answer.headers.append("Proxy-Authenticate", 'Basic realm="sallyport"');
  record(exchange, facts, context, { id: requestId, action: "reject", status, reason });
  respond(exchange, answer);
}

/** A refused CONNECT keeps no connection: what follows may be meant for the tunnel that is not there. */
function respond(exchange: ServerExchange, answer: Answer): void {
  exchange.respond(
    { ...answer, framing: { kind: "length", length: answer.body.length } },
    Body.of(answer.body),
    answer.status !== 407,
  );
}

function record(
  exchange: ServerExchange,
  facts: ConnectionFacts,
  context: ListenerContext,
  event: {
    id?: string;
    action: "allow" | "reject" | "stub" | "error";
    status: number;
    bytesOut?: number;
    reason?: Reason | undefined;
    rejectedBy?: string | undefined;
    error?: string | undefined;
  },
): void {
  const { id, ...rest } = event;
  context.audit.write(
    connectionRecord(id ?? context.nextId(), facts, {
      method: "CONNECT",
      host: facts.tunnel?.authority.text ?? exchange.head.target,
      bytesIn: exchange.bytesIn,
      ...rest,
    }),
  );
}

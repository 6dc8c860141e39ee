// client ── CONNECT host:port ──▶ tunnel listener ── 200 ──▶ TLS or HTTP inside, for that host and port only
// client ── SOCKS5 ──▶ the same
// client ── GET http://host/ ──▶ tunnel listener ──▶ one exchange for each request

import type { Socket } from "node:net";
import { type Authority, AuthorityError, parseAuthority } from "../http/authority.ts";
import { Body } from "../http/body.ts";
import type { ServerExchange } from "../http/h1/server-exchange.ts";
import { parseTarget, TargetError } from "../http/target.ts";
import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import { refusal, rejectionAnswer, syntheticAnswer } from "../pipeline/refusal.ts";
import type { Answer } from "../http/h1/server.ts";
import type { Reason } from "../reasons.ts";
import type { ConnectionFacts, DialFailure, ListenerContext } from "./context.ts";
import { readFirstBytes } from "./first-bytes.ts";
import { plainFacts, serveHttp } from "./http.ts";
import { serveInside } from "./inside.ts";
import { openTunnel } from "./open-tunnel.ts";
import { type ConnectionEvent, connectionRecord } from "./record.ts";
import { serveSocks } from "./socks5.ts";
import { socksVersion } from "./socks5-messages.ts";
import { type Listener, listen } from "./tcp.ts";

/** Listens as a forward proxy: CONNECT for TLS, absolute form for plain HTTP, both on one port. */
export function listenTunnel(
  at: { readonly host: string | undefined; readonly port: number },
  context: ListenerContext,
): Promise<Listener> {
  return listen("proxy.tunnel_listen", "http", at, context, (socket) => {
    // A connection that says nothing asked for nothing.
    const onGiveUp = () => socket.destroy();
    const onBytes = (chunk: Buffer) => () => begin(socket, chunk, context);
    readFirstBytes(socket, context, context.serverOptions.headerMs, { onBytes, onGiveUp });
  });
}

/** The first byte tells SOCKS5 from HTTP. */
function begin(socket: Socket, first: Buffer, context: ListenerContext): void {
  const facts = plainFacts(socket);
  if (first[0] === socksVersion) {
    serveSocks(socket, first, facts.client, context);
    return;
  }
  const connection = serveHttp(socket, facts, context, (exchange) => onConnect(exchange, facts, context));
  connection.push(first);
  socket.resume();
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
  const left = new AbortController();
  exchange.onAbandoned = () => {
    left.abort();
    const event = { action: "client_cancel", status: 0, reason: "client_disconnected" } as const;
    record(exchange, { ...facts, tunnel }, context, event);
  };
  openTunnel(tunnel, context, left.signal, (outcome) => {
    exchange.onAbandoned = undefined;
    if (outcome.kind === "refused") onRefused(exchange, facts, tunnel, outcome.decision, context);
    else if (outcome.kind === "failed") onFailed(exchange, facts, tunnel, outcome.failure, context);
    else {
      const bytesOut = established.length;
      record(exchange, { ...facts, tunnel }, context, { action: "allow", status: 200, bytesOut });
      serveInside(exchange.takeOver(established), tunnel, outcome.upstream, context);
    }
  });
}

const established = "HTTP/1.1 200 Connection Established\r\n\r\n";

/** The connection that was to carry what is inside could not be made. */
function onFailed(
  exchange: ServerExchange,
  facts: ConnectionFacts,
  tunnel: TunnelState,
  failure: DialFailure,
  context: ListenerContext,
): void {
  const { status, reason, message, detail } = failure;
  const id = context.nextId();
  const action = status === 403 ? "reject" : "error";
  record(exchange, { ...facts, tunnel }, context, { id, action, status, reason, error: detail ?? message });
  respond(
    exchange,
    refusal({ status, reason, requestId: id, detail: message, override: context.denialMessage }),
  );
}

function onRefused(
  exchange: ServerExchange,
  facts: ConnectionFacts,
  tunnel: TunnelState,
  { verdict, by, error }: Decision,
  context: ListenerContext,
): void {
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
    action: ConnectionEvent["action"];
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
      mode: facts.tunnel && context.unopened(facts.tunnel.authority),
      bytesIn: exchange.bytesIn,
      ...rest,
    }),
  );
}

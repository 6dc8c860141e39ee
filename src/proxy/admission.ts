// parsed head ──▶ may it be looked at? by whom? for which host? ──▶ an exchange that policy can decide on
import type { AuditSink } from "../audit/types.ts";
import type { Incoming } from "../http/incoming.ts";
import type { RequestHead } from "../http/message.ts";
import { stripHopByHop } from "../http/hop-by-hop.ts";
import { parseTarget, TargetError } from "../http/target.ts";
import { type Handshake, HandshakeError, webSocketHandshake } from "../http/websocket.ts";
import type { Authentication, ConnectionFacts } from "../listeners/context.ts";
import { ExchangeState } from "../pipeline/exchange.ts";
import type { Caller, Client } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import { hostHeader } from "./outgoing.ts";
import { RequestAuthorityError, requestAuthority } from "./request-authority.ts";

/** What admission needs of the running proxy. */
export interface AdmissionContext {
  readonly audit: AuditSink;
  readonly maxRequestBody: number;
  readonly maxResponseBody: number;
  readonly plaintextCredentials: boolean;
  authenticate(proxyAuthorization: string | undefined): Authentication;
  /** Whether what a tunnel's opening proved still holds. */
  stands(caller: Caller | undefined): boolean;
}

/** What is known of a request so far; its record has this, however early it is refused. */
export interface Known {
  readonly id: string;
  /** With the caller, once the request has proved one. */
  client: Client;
  exchange: ExchangeState | undefined;
  /** The client wants to speak WebSocket. */
  handshake: Handshake | undefined;
}

export interface EarlyRefusal {
  readonly status: number;
  readonly reason: Reason;
  readonly message: string;
  /** The transform that refused the connection. */
  readonly by?: string;
}

/** A request is refused before policy is asked. */
class Refused extends Error implements EarlyRefusal {
  readonly status: number;
  readonly reason: Reason;
  readonly by?: string;
  constructor(status: number, reason: Reason, by?: string) {
    super("");
    this.status = status;
    this.reason = reason;
    if (by !== undefined) this.by = by;
  }
}

/** What to answer for an error of {@link admit}; `undefined` for a defect of ours. */
export function earlyRefusal(error: unknown): EarlyRefusal | undefined {
  if (error instanceof Refused || error instanceof RequestAuthorityError) return error;
  if (error instanceof TargetError) return { status: 400, reason: error.reason, message: error.message };
  if (error instanceof HandshakeError) {
    return { status: 400, reason: "bad_websocket_handshake", message: error.message };
  }
  return undefined;
}

/**
 * Everything that is checked before policy.
 * @param known filled in as far as it gets
 * @throws what {@link earlyRefusal} makes an answer of
 */
export function admit(
  context: AdmissionContext,
  incoming: Incoming,
  facts: ConnectionFacts,
  known: Known,
): ExchangeState {
  const { head } = incoming;
  if (!context.audit.healthy) throw new Refused(503, "audit_unavailable");
  known.client = clientOf(context, head, facts);
  const target = parseTarget(head.method, head.target);
  // A CONNECT inside a tunnel, or on a port that opens none, would be forwarded as an ordinary request
  // (attack 19); TRACE hands back the request it got, credential included (attack 36).
  if (head.method === "CONNECT" || head.method === "TRACE") throw new Refused(405, "method_not_allowed");
  const exchange = new ExchangeState({
    id: known.id,
    scheme: facts.scheme,
    authority: requestAuthority(head, target, facts),
    client: known.client,
    request: {
      method: head.method,
      path: target.path,
      query: target.query,
      canonicalPath: target.canonicalPath,
      version: head.version,
      headers: head.headers,
      body: incoming.body,
    },
    maxRequestBody: context.maxRequestBody,
    maxResponseBody: context.maxResponseBody,
    plaintextCredentials: context.plaintextCredentials,
  });
  known.exchange = exchange;
  const { refusal } = facts;
  if (refusal !== undefined) throw new Refused(refusal.status, refusal.reason, refusal.by);
  const expect = head.headers.get("expect");
  if (expect !== undefined && !head.expectContinue && head.version > 10) {
    throw new Refused(417, "expectation_failed");
  }
  known.handshake = webSocketHandshake(head);
  if (head.protocol !== undefined && known.handshake === undefined) {
    throw new Refused(501, "upgrade_not_supported");
  }
  nameHost(head, exchange);
  stripHopByHop(head.headers);
  return exchange;
}

/** Requests that come as to a proxy prove who sends them; inside a tunnel the tunnel did, until that proof ends. */
function clientOf(context: AdmissionContext, head: RequestHead, facts: ConnectionFacts): Client {
  const { client, proxyRequests } = facts;
  if (!proxyRequests) {
    if (!context.stands(client.caller)) throw new Refused(407, "caller_required");
    return client;
  }
  const who = context.authenticate(head.headers.get("proxy-authorization"));
  if (who === false) throw new Refused(407, "caller_required");
  return who === true ? client : { ...client, caller: who satisfies Caller };
}

/** The Host field that goes upstream is the authority that was decided on (I1). */
function nameHost({ headers }: RequestHead, exchange: ExchangeState): void {
  const index = headers.indexOf("host");
  const text = hostHeader(headers.valueAt(index), exchange);
  if (index < 0) headers.append("Host", text);
  else headers.setValueAt(index, text);
}

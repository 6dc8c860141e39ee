import type { AuditSink } from "../audit/types.ts";
import type { Authority, Host } from "../http/authority.ts";
import type { Answer, ServerOptions } from "../http/h1/server.ts";
import type { Incoming } from "../http/incoming.ts";
import type { H2Limits } from "../http/h2/limits.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { TunnelState } from "../pipeline/exchange.ts";
import type { Caller, Client } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import type { LeafStore } from "../tls/leaf.ts";
import type { Connections } from "./connections.ts";

/** A refusal that holds for every request of a connection, so that the workload can read why. */
export interface StandingRefusal {
  readonly status: number;
  readonly reason: Reason;
  readonly by: string;
}

/** What is known of a client connection before any request on it. */
export interface ConnectionFacts {
  readonly scheme: "http" | "https";
  readonly client: Client;
  /** Traces of the policy run that admitted the tunnel. */
  readonly tunnel: TunnelState | undefined;
  /** Every request must be for this host and port (I1). */
  readonly authority: Authority | undefined;
  /** Every request must be for this host; the port is the request's to say (redirected TLS). */
  readonly host: Host | undefined;
  readonly refusal: StandingRefusal | undefined;
  /** Requests name their host themselves and may have to prove who sends them (tunnel port, absolute form). */
  readonly proxyRequests: boolean;
}

/** Who a request says it is from: `true` for anyone where nothing has to be proved, `false` for a wrong proof. */
export type Authentication = Caller | boolean;

/** What every way in needs; the proxy makes one. */
export interface ListenerContext {
  readonly serverOptions: ServerOptions;
  readonly handshakeMs: number;
  readonly leaves: LeafStore;
  readonly audit: AuditSink;
  readonly connections: Connections;
  readonly denialMessage: string | undefined;
  pipeline(): Pipeline;
  nextId(): string;
  /** Checks the value of `Proxy-Authorization`. */
  authenticate(proxyAuthorization: string | undefined): Authentication;
  /** True when a leaf may be made for a refused name, only to say why (I8). */
  mayExplain(host: Host): boolean;
  /** Decides, forwards and answers one request. */
  handle(exchange: Incoming, facts: ConnectionFacts): void;
  /** Audits bytes that were no request, and says what to answer. */
  refuseBytes(
    facts: ConnectionFacts,
    bad: { status: number; reason: Reason; message: string; bytesIn: number },
  ): Answer;
  /** Limits of HTTP/2 connections; `undefined` where HTTP/2 is not offered. */
  readonly http2: H2Limits | undefined;
  /** Tells the operator, not the workload. */
  debug(message: string, fields?: Record<string, unknown>): void;
}

import type { AuditRecord, AuditSink } from "../audit/types.ts";
import type { Authority, Host } from "../http/authority.ts";
import type { Channel } from "../http/channel.ts";
import type { Answer, BadRequest, ServerOptions } from "../http/h1/server.ts";
import type { H2Limits } from "../http/h2/limits.ts";
import type { Incoming } from "../http/incoming.ts";
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

/** A connection to an upstream, for bytes that nobody looks at. */
export interface SplicedUpstream {
  readonly channel: Channel;
  /** `ip:port` connected to. */
  readonly address: string;
}

/** Why there is none; `message` and `detail` as in an `UpstreamError`. */
export interface DialFailure {
  readonly reason: Reason;
  readonly status: number;
  readonly message: string;
  readonly detail: string | undefined;
  /** The system's word for it, such as `ECONNREFUSED`. */
  readonly code: string | undefined;
}

/** What every way in needs; the proxy makes one. */
export interface ListenerContext {
  readonly serverOptions: ServerOptions;
  /** Limits of HTTP/2 connections; `undefined` where HTTP/2 is not offered. */
  readonly http2: H2Limits | undefined;
  readonly handshakeMs: number;
  /** Milliseconds of silence after which a connection that is not opened is cut. */
  readonly passthroughIdleMs: number;
  /** `undefined` where no TLS is ever opened (`tls.mode: sni-only`), and so no certificate made. */
  readonly leaves: LeafStore | undefined;
  readonly audit: AuditSink;
  readonly connections: Connections;
  readonly denialMessage: string | undefined;
  pipeline(): Pipeline;
  nextId(): string;
  /** Checks the value of `Proxy-Authorization`. */
  authenticate(proxyAuthorization: string | undefined): Authentication;
  /** Whether TLS for this host and port passes as it is, and by which setting; `undefined` where it is opened. */
  unopened(authority: Authority): "sni-only" | "passthrough" | undefined;
  /** Connects to an upstream that policy admitted (I11), with no TLS of ours. Never rejects. */
  dial(
    authority: Authority,
    caller: Caller | undefined,
    signal?: AbortSignal,
  ): Promise<SplicedUpstream | DialFailure>;
  /** Told of connections that are passed through, whose record is written when they end; see `ProxyOptions`. */
  readonly onBegun?: ((id: string, record: () => AuditRecord) => void) | undefined;
  /** True when a leaf may be made for a refused name, only to say why (I8). */
  mayExplain(host: Host): boolean;
  /** Decides, forwards and answers one request. */
  handle(exchange: Incoming, facts: ConnectionFacts): void;
  /** Audits bytes that were no request, and says what to answer. */
  refuseBytes(facts: ConnectionFacts, bad: BadRequest): Answer;
  /** Tells the operator, not the workload. */
  debug(message: string, fields?: Record<string, unknown>): void;
}

import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { Authority } from "../http/authority.ts";
import type { Body } from "../http/body.ts";
import type { Channel } from "../http/channel.ts";
import type { H1Limits } from "../http/h1/limits.ts";
import type { Headers } from "../http/headers.ts";
import type { Framing, ResponseHead } from "../http/message.ts";
import type { UpstreamError } from "./error.ts";
import type { IdentityOf } from "./identity.ts";

/** Where an exchange goes. */
export interface UpstreamTarget {
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Exchanges of different callers never share a connection (I10); equal text, equal caller. */
  readonly partition: string;
  /** False for callers who may not be vouched for with a client certificate. */
  readonly clientCertificate?: boolean;
}

/** A request as it goes on the wire. */
export interface UpstreamRequest {
  readonly method: string;
  /** Origin-form, or `*` for OPTIONS; made absolute here where a forward proxy wants that. */
  readonly target: string;
  /** `Host` included, hop-by-hop fields gone. */
  readonly headers: Headers;
  readonly body: Body;
  readonly framing: Framing;
  /** The body waits for 100 (Continue); the field itself is among the headers. */
  readonly expectContinue: boolean;
  /** The client speaks HTTP/2, so the upstream is offered it too. */
  readonly http2?: boolean;
  /** Lower-cased names of fields that hold a credential. */
  readonly credentials?: ReadonlySet<string> | undefined;
  /**
   * Protocol that `Upgrade` among the headers asks for, in lower case. A 101 to it is the answer of an upstream that
   * agrees (RFC 9110 section 7.8), or what its answer to an extended CONNECT says in these words (RFC 8441).
   */
  readonly upgrade?: string | undefined;
}

/** The connection that an answer came over. */
export interface ConnectionInfo {
  /** `ip:port` connected to: the upstream's, or the forward proxy's. */
  readonly address: string;
  /** An earlier exchange was on it. */
  readonly reused: boolean;
  /** `TLSv1.3`, or `undefined` without TLS. */
  readonly tls: string | undefined;
}

/** Called as the answer arrives; exactly one of `onResponse`, `onUpgrade` and `onError`, none after `cancel`. */
export interface UpstreamHandlers {
  /** 1xx responses other than 101, in order. */
  onInterim(head: ResponseHead): void;
  /** The body streams with backpressure, and is aborted with an {@link UpstreamError} when it is cut or malformed. */
  onResponse(head: ResponseHead, body: Body, info: ConnectionInfo): void;
  /**
   * A 101 to the protocol that was asked for. Nothing of the channel flows until its source is started; what came
   * behind the head is in it. Whoever sets `upgrade` in a request has this.
   */
  onUpgrade?(head: ResponseHead, channel: Channel, info: ConnectionInfo): void;
  /** Only before `onResponse`; afterwards the body aborts. */
  onError(error: UpstreamError): void;
}

/** An exchange on its way. */
export interface UpstreamExchange {
  /** The client went away: the connection is destroyed, not reused, and no handler is called any more. */
  cancel(): void;
}

export interface ConnectOptions {
  /** Bytes as they are, also for `https`: the client's own TLS goes through unopened. */
  readonly raw?: boolean;
  /** Protocols offered in the TLS handshake; `http/1.1` when absent. */
  readonly alpn?: readonly string[];
  readonly signal?: AbortSignal;
}

/** A connection for whatever is spoken on it. */
export interface RawConnection {
  /** May be paused, with bytes of the peer in it: pipe it, or listen and `resume()`. */
  readonly socket: Socket;
  readonly info: ConnectionInfo;
}

/** A place where this proxy itself listens. */
export interface OwnAddress {
  /** IP address as bound: `0.0.0.0` and `::` stand for every address of this machine. */
  readonly address: string;
  readonly port: number;
}

/** All in milliseconds; Infinity for none. */
export interface UpstreamTimeouts {
  /** For resolving and connecting, and again for the TLS handshake. */
  readonly connectMs: number;
  /** From the end of the request to the end of the response's header fields. */
  readonly responseHeaderMs: number;
  /** Silence in the middle of a response, or of an upstream that does not read the request's body. */
  readonly bodyMs: number;
  /** How long an unused connection is kept. */
  readonly idleMs: number;
  /** How long a body waits for 100 (Continue) before it goes out without (RFC 9110 section 10.1.1). */
  readonly continueMs: number;
}

export interface UpstreamLimits {
  readonly h1: H1Limits;
  /** Idle connections kept for one scheme, authority and partition. */
  readonly idlePerHost: number;
  readonly idleTotal: number;
}

/** Forward proxy on the way to upstreams, as in the configuration. */
export interface ForwardProxyOptions {
  /** For plain HTTP upstreams; URL with scheme http, https, socks5 or socks5h. */
  readonly httpProxy: string | undefined;
  readonly httpsProxy: string | undefined;
  /** Comma list of names, addresses and networks that are reached directly. */
  readonly noProxy: string | undefined;
}

export interface UpstreamOptions {
  /** Networks never connected to (I11). */
  readonly denyCidrs: readonly string[];
  /** Cloud metadata addresses may be upstreams. */
  readonly allowMetadata: boolean;
  /** `ip:port` of the DNS server for upstream names; `undefined` means the system's resolver. */
  readonly resolver: string | undefined;
  readonly forwardProxy: ForwardProxyOptions;
  /** Roots that upstreams are verified against; `undefined` means node's. */
  readonly secureContext: SecureContext | undefined;
  /** For hosts with roots or a client certificate of their own; none have where it is absent. */
  readonly identityOf?: IdentityOf | undefined;
  readonly timeouts: UpstreamTimeouts;
  readonly limits: UpstreamLimits;
  /** Which requests may go out as HTTP/2: those of HTTP/2 clients, all, or none. */
  readonly http2?: "auto" | "always" | "off";
  /** Asked whenever a connection is made, because listeners come and go. */
  ownAddresses(): readonly OwnAddress[];
}

/** Counters and gauges since the start. */
export interface UpstreamStats {
  /** Connections with an exchange on them. */
  readonly active: number;
  readonly idle: number;
  /** Connections being made. */
  readonly dialing: number;
  /** Connections made so far. */
  readonly dialed: number;
  /** Exchanges on a connection that had one before. */
  readonly reused: number;
  /** Exchanges repeated because their connection had been closed while idle. */
  readonly retried: number;
  /** TLS handshakes that resumed a session. */
  readonly resumed: number;
}

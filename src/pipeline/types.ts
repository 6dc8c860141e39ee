import type { Dispatcher } from "undici";
import type { z } from "zod";
import type { Authority } from "../http/authority.ts";
import type { Body } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import type { HttpVersion } from "../http/message.ts";
import type { Custody } from "../sources/custody.ts";
import type { SecretHandle } from "../sources/types.ts";
import type { Reason } from "../reasons.ts";
import type { Exposed } from "../scrub/forms.ts";
import type { Rules } from "./rules.ts";

/** What a transform says about a request, a response or a tunnel; `undefined` lets it go on. */
export type Verdict = Rejection | Stub | undefined;

export interface Rejection {
  readonly kind: "reject";
  readonly status: number;
  readonly reason: Reason;
  /** Put in the answer's body instead of the standard text, where a mechanism has its own answer. */
  readonly response?: SyntheticResponse;
  /** One sentence for the person or model that reads the refusal; no secret, no address. */
  readonly detail?: string;
}

/** An answer of our own that is not a refusal, such as a token endpoint answered locally. */
export interface Stub {
  readonly kind: "stub";
  readonly response: SyntheticResponse;
}

export interface SyntheticResponse {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** Who is on the other end of the client connection. */
export interface Client {
  /** `ip:port` of the peer. */
  readonly remoteAddress: string;
  /** Name in the ClientHello, canonical; `undefined` without TLS or without a name. */
  readonly sni: string | undefined;
  /** TLS version and cipher of the client's leg, `undefined` for plain HTTP. */
  readonly tls: { readonly version: string; readonly resumed: boolean } | undefined;
  /** The tunnel the exchange happens in. */
  readonly tunnel: TunnelRequest | undefined;
  /** Verified identity of the workload (design: callers). */
  readonly caller: Caller | undefined;
}

export interface Caller {
  readonly name: string;
  /** Tools whose secrets it may use; `undefined` means all. */
  readonly tools: readonly string[] | undefined;
  /** How the proxy knows; the proof may end before the connection does. */
  readonly proof?: {
    /** Milliseconds since 1970. */
    readonly expiresAt: number;
    /** Which signing key it was made with; says nothing of the key. */
    readonly keyId: string;
  };
}

/** A CONNECT or SOCKS5 request, or a name seen in a ClientHello before any request (I2). */
export interface TunnelRequest {
  readonly kind: "connect" | "socks5" | "sni";
  readonly authority: Authority;
  readonly remoteAddress: string;
  readonly caller: Caller | undefined;
  /** Writes into the trace of the transform that runs now. */
  annotate(key: string, value: unknown): void;
}

export interface ExchangeRequest {
  method: string;
  /** Path as it goes upstream; a transform that changes it calls {@link Exchange.setPath}. */
  readonly path: string;
  /** Query as it goes upstream, without the question mark. */
  query: string | undefined;
  /** The form of the path that rules see (I3). */
  readonly canonicalPath: string;
  readonly version: HttpVersion;
  readonly headers: Headers;
  readonly body: Body;
}

export interface ExchangeResponse {
  status: number;
  reason: string;
  readonly version: HttpVersion;
  readonly headers: Headers;
  readonly body: Body;
}

/** One request and its response, with everything known about them. */
export interface Exchange {
  readonly id: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly client: Client;
  readonly request: ExchangeRequest;
  /** Set before response transforms run. */
  readonly response: ExchangeResponse | undefined;
  /** Bytes a transform may buffer of the request, from `proxy.max_request_body_bytes`. */
  readonly maxRequestBody: number;
  /** Bytes a transform may buffer of the response; Infinity when unlimited. */
  readonly maxResponseBody: number;
  /** Writes into the trace of the transform that runs now; part of the audit record. Never a credential. */
  annotate(key: string, value: unknown): void;
  /** Puts a value on the audit record itself rather than on the trace. */
  capture(kind: "body_capture", value: { request_body: string; request_body_truncated: boolean }): void;
  /** Replaces the path that goes upstream; rules keep seeing the one that was decided on (I3). */
  setPath(path: string): void;
  /**
   * Claims a place for a credential: a header by lower-cased name, or `query:NAME`, `:path`, `:body`, or
   * `signature`. False when an earlier entry has it; the caller must then leave the request alone and annotate
   * `skipped: credential_already_applied` (I5).
   */
  claim(place: string): boolean;
  /** Whether some transform has put a credential there; asks without claiming. */
  claimed(place: string): boolean;
  /**
   * Says that a credential is about to be attached. Answers the refusal that forbids it (plain HTTP to a host
   * that is not this machine, I6), which the transform returns as its verdict.
   */
  attachable(): Rejection | undefined;
  /**
   * Says that a value goes out with the request and must not come back: it is looked for in the answers to this caller
   * from this host. Called before anything is signed, because it may take header fields away.
   */
  expose(exposed: Exposed): void;
}

/** What one transform did to one exchange; the reference's trace object. */
export interface Trace {
  readonly name: string;
  action: "allow" | "reject" | "stub" | "error";
  durationMs: number;
  error?: string;
  annotations?: Record<string, unknown>;
}

/** A source whose value goes out. */
export interface ExposedSecret {
  readonly handle: SecretHandle;
  /** What the workload holds in its place, where that is swapped. */
  readonly placeholder?: string;
}

/** A placeholder that an entry swaps: for which requests, and where in them. */
export interface PlaceholderUse {
  /** As the audit names it. */
  readonly secret: string;
  /** A byte string. */
  readonly placeholder: string;
  readonly rules: Rules;
  /** @param key lower-cased name of the header */
  inHeader(key: string): boolean;
  readonly inQuery: boolean;
  readonly inPath: boolean;
  readonly inBody: boolean;
  /** What happens where it stands in other places; `undefined` leaves it to the place. */
  readonly onMisuse: "block" | "report" | undefined;
  /** How often it may stand in the right places; `undefined` for what is usual. */
  readonly maxOccurrences: number | undefined;
}

/** One step of the pipeline: a policy or a credential mechanism. */
export interface Transform {
  /** As in the configuration and in the audit record. */
  readonly name: string;
  /** Policy only: may this workload reach this host and port at all? (I2) */
  onTunnel?(tunnel: TunnelRequest): Verdict | Promise<Verdict>;
  onRequest?(exchange: Exchange): Verdict | Promise<Verdict>;
  onResponse?(exchange: Exchange): Verdict | Promise<Verdict>;
  /** Whether `onResponse` has anything to do for this exchange; absent for always. */
  wantsResponse?(exchange: Exchange): boolean;
  /** Requests that a credential of this transform is for; they are reachable where no allowlist is given. */
  readonly credentialRules?: readonly Rules[];
  /** Every source it holds, for the start-up check and for `run`. */
  readonly secrets?: readonly SecretHandle[];
  /** Of these, the ones that go out with requests and are looked for in answers. */
  readonly exposes?: readonly ExposedSecret[];
  /** Placeholders it swaps; anywhere else they are findings. */
  readonly placeholders?: readonly PlaceholderUse[];
  /** Environment variables it reads besides those of its sources; `sallyport run` takes them from its child. */
  readonly variables?: readonly string[];
  /** What `explain` prints: what would happen to this exchange and why, without touching a secret. */
  explain?(exchange: Exchange): readonly string[];
  /** Stops timers and watches; called once, when no exchange uses the transform any more. */
  close?(): void;
}

/** Where in the configuration something stands: keys and indexes below the transform's `config`. */
export type ConfigPath = readonly (string | number)[];

/** What a transform may use while it is built from its configuration. */
export interface BuildContext {
  /** An error at a place in the transform's configuration; building goes on so that all are reported at once. */
  error(path: ConfigPath, message: string): void;
  /** Legal but suspicious, or deprecated. */
  warn(path: ConfigPath, message: string): void;
  /** Compiles a list of rules; errors are reported at `path`. `label` prefixes the messages. */
  rules(path: ConfigPath, rules: readonly RuleConfig[] | undefined): Rules;
  /** Makes the handle of a source object; identical ones share one cache entry. */
  secret(path: ConfigPath, source: SourceConfig): SecretHandle;
  /** For calls of the transform's own (token endpoints): guarded and resolved as upstream traffic is (I11). */
  dispatcher(): Dispatcher;
  /** An attempt to mint a token has ended, for counters. `mechanism` is the name of the transform. */
  minted?: ((mechanism: string, ok: boolean) => void) | undefined;
  /** Who mints, and who else is to know what is learnt, where this is not the only process. */
  readonly custody?: Pick<Custody, "minter" | "commons"> | undefined;
  /** What is to outlive this configuration: made once for each key, and there again after a reload. */
  keep?: (<T>(key: string, make: () => T) => T) | undefined;
  /** A line for the operator. Never a credential (I14). */
  log(level: "info" | "warn" | "error", message: string, fields?: Record<string, unknown>): void;
}

/** A rule as it stands in the configuration. */
export interface RuleConfig {
  readonly host?: string | undefined;
  readonly cidr?: string | undefined;
  readonly methods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  /** Tools that a limited caller must have one of. */
  readonly tools?: readonly string[] | undefined;
}

/** A source object as it stands in the configuration; each kind has its own further keys. */
export interface SourceConfig {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** A kind of transform: its configuration's schema and how to build one. One row in `transforms/registry.ts`. */
export interface TransformKind<Schema extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** `true` when it attaches credentials: it never runs on tunnels and is refused with SNI-only mode (I2). */
  readonly credential: boolean;
  readonly schema: Schema;
  build(config: z.output<Schema>, context: BuildContext): Transform;
}

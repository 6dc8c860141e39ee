/** Checked configuration: every default filled in, durations in milliseconds, addresses parsed. */
export interface Config {
  /** Path it was read from; `undefined` for the embedded default. */
  readonly file: string | undefined;
  readonly dns: DnsConfig;
  readonly proxy: ProxyConfig;
  readonly tls: TlsConfig;
  /** In order; checked against the kind's schema when the transforms are built. */
  readonly transforms: readonly TransformEntry[];
  readonly metrics: { readonly listen: Listen };
  readonly management: { readonly listen: Listen; readonly apiKeyEnv: string };
  readonly log: LogConfig;
  readonly audit: AuditConfig;
  readonly sources: SourcesConfig;
  readonly findings: FindingsConfig;
  /** `undefined` without the section: then no declaration is read. */
  readonly tools: ToolsConfig | undefined;
}

/** Where declared credentials are read from, for a whole deployment. */
export type SourceMode = (typeof sourceModes)[number];

export const sourceModes = ["env", "onepassword", "onepassword-connect"] as const;

export interface ToolsConfig {
  readonly directories: readonly string[];
  readonly harnesses: readonly string[];
  /** One host for all language models, or one for each name. */
  readonly gateway: string | Readonly<Record<string, string>> | undefined;
  readonly source: SourceMode;
  readonly vault: string;
  /** The key or variable that says so; `undefined` for the default. */
  readonly givenBy: { readonly source: string | undefined; readonly vault: string | undefined };
  /** As written: a duration in Go's grammar. */
  readonly ttl: string;
  /** Where a declaration chooses none itself. */
  readonly placeholders: "name" | "shaped";
  readonly allowHeaders: readonly string[];
}

/** `off`, or where to listen. Port 0 lets the system choose. */
export type Listen = "off" | { readonly host: string | undefined; readonly port: number };

export interface DnsConfig {
  readonly enabled: boolean;
  readonly listen: Listen;
  /** The proxy's own addresses, as workloads see them; at least one where the server is enabled. */
  readonly proxyIp: string | undefined;
  readonly proxyIp6: string | undefined;
  /** `host:port` of the resolver for upstream names; `undefined` means the system's. */
  readonly upstreamResolver: string | undefined;
  readonly passthrough: readonly string[];
  readonly records: readonly {
    readonly name: string;
    readonly type: "A" | "AAAA" | "CNAME";
    readonly value: string;
  }[];
  /** Names that policy refuses do not exist (NXDOMAIN). */
  readonly refuseDenied: boolean;
  /** Queries a second, in all and of one client. */
  readonly maxQueries: number;
  readonly maxQueriesPerClient: number;
}

export interface ProxyConfig {
  /** Processes that serve; `auto` is one for each core. */
  readonly workers: number | "auto";
  readonly httpListen: Listen;
  readonly httpsListen: Listen;
  readonly tunnelListen: Listen;
  /** Bytes a transform may hold of a request body; over it the answer is 413. */
  readonly maxRequestBodyBytes: number;
  /** Bytes a transform may hold of a response body; Infinity when unlimited. */
  readonly maxResponseBodyBytes: number;
  readonly upstreamResponseHeaderTimeoutMs: number;
  /** The list in force; metadata addresses are denied besides unless `allowMetadata`. */
  readonly upstreamDenyCidrs: readonly string[];
  readonly allowMetadata: boolean;
  readonly upstreamProxy: UpstreamProxyConfig;
  /** Which requests go to upstreams over HTTP/2 where those speak it: of HTTP/2 clients, all or none. */
  readonly upstreamHttp2: "auto" | "always" | "off";
  /** What happens where no `allowlist` transform stands: only hosts of credential entries, or everything. */
  readonly default: "deny" | "allow";
  readonly rulePorts: "scheme" | "any";
  readonly plaintextCredentials: "refuse" | "allow";
  readonly requireCaller: boolean;
  readonly shutdownTimeoutMs: number;
  /** Put in a refusal's body in place of the standard message. */
  readonly denialMessage: string | undefined;
  readonly timeouts: TimeoutsConfig;
  readonly limits: LimitsConfig;
}

export interface UpstreamProxyConfig {
  /** For plain HTTP upstreams; URL with scheme http, https, socks5 or socks5h. */
  readonly httpProxy: string | undefined;
  readonly httpsProxy: string | undefined;
  /** Comma list. */
  readonly noProxy: string | undefined;
}

/** All in milliseconds. */
export interface TimeoutsConfig {
  /** From the first byte of a request (or the accept) to the end of its header fields. */
  readonly clientHeaderMs: number;
  /** Longest silence while a request body is awaited. */
  readonly clientBodyMs: number;
  /** Silence between requests on a kept connection. */
  readonly clientIdleMs: number;
  readonly tlsHandshakeMs: number;
  /** TCP, and again for the TLS handshake with the upstream. */
  readonly upstreamConnectMs: number;
  /** How long an unused upstream connection is kept. */
  readonly upstreamIdleMs: number;
  /** Longest silence of an upstream in the middle of a response body. */
  readonly upstreamBodyMs: number;
  /** Silence of both sides of a WebSocket. */
  readonly websocketIdleMs: number;
  /** Silence of both sides of a TLS connection that is passed through unopened. */
  readonly passthroughIdleMs: number;
}

export interface LimitsConfig {
  readonly maxConnections: number;
  readonly maxStartLine: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
  readonly maxChunkHeader: number;
  /** Requests of one HTTP/2 client connection at a time. */
  readonly maxStreams: number;
  /** Streams of one HTTP/2 client connection that may be reset in a second. */
  readonly maxResets: number;
  /** Idle upstream connections kept for one authority, caller and TLS identity. */
  readonly upstreamIdlePerHost: number;
  readonly upstreamIdleTotal: number;
}

export interface TlsConfig {
  readonly mode: "mitm" | "sni-only";
  /** Host patterns whose TLS passes unopened. */
  readonly passthrough: readonly string[];
  /** PEM files; both `undefined` in the embedded default, which has a CA in the user's state directory. */
  readonly caCert: string | undefined;
  readonly caKey: string | undefined;
  readonly certCacheSize: number;
  readonly leafCertExpiryHours: number;
  /** PEM file with roots trusted for upstreams besides the system's. */
  readonly upstreamCa: string | undefined;
  /** Certificates that the proxy itself presents to upstreams; the first entry that is for a host counts. */
  readonly clientCertificates: readonly ClientCertificateConfig[];
  /** Roots trusted for some hosts besides those that are for all. */
  readonly upstreamRoots: readonly { readonly rules: readonly ReachConfig[]; readonly file: string }[];
  /** New names a second for which a leaf is made only to say why; 0 for none. */
  readonly explainDenials: number;
  /** Clients are offered HTTP/2. */
  readonly http2: boolean;
}

/** Hosts, without methods and paths: a connection is made before any of them is known. */
export interface ReachConfig {
  readonly host?: string | undefined;
  readonly cidr?: string | undefined;
}

export interface ClientCertificateConfig {
  readonly rules: readonly ReachConfig[];
  /** Source objects; their keys are checked when the sources are made. */
  readonly cert: { readonly type: string; readonly [key: string]: unknown };
  readonly key: { readonly type: string; readonly [key: string]: unknown };
}

export interface LogConfig {
  readonly level: "debug" | "info" | "warn" | "error";
  /** `auto`: readable lines on a terminal, JSON elsewhere. */
  readonly format: "auto" | "json" | "text";
}

export interface AuditConfig {
  /** File the records are appended to; `undefined` means stderr. */
  readonly file: string | undefined;
  readonly onFailure: "report" | "deny";
}

export interface SourcesConfig {
  /** A source that fails at start is fatal. */
  readonly requireAtStart: boolean;
}

export interface FindingsConfig {
  /** Who is told of findings, besides the audit. */
  readonly webhook:
    | {
        readonly url: string;
        /** A source object; its keys are checked when the source is made. */
        readonly secret: { readonly type: string; readonly [key: string]: unknown };
        readonly timeoutMs: number;
      }
    | undefined;
}

/** One entry of `transforms:` before its kind has looked at it. */
export interface TransformEntry {
  readonly name: string;
  readonly config: unknown;
  /** Where it stands: `["transforms", 3]`. */
  readonly path: readonly (string | number)[];
}

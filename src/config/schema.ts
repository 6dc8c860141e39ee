import { isIP } from "node:net";
import { z } from "zod";
import { addressBytes } from "../http/ip-literal.ts";
import { defaultH1Limits } from "../http/h1/limits.ts";
import { defaultH2Limits } from "../http/h2/limits.ts";
import {
  bytes,
  cidrs,
  count,
  duration,
  flag,
  listen,
  parseHostPort,
  proxyUrl,
  say,
  text,
  webhookProblem,
  word,
} from "./fields.ts";

/** A section that may be left out; its keys then have their standard values. */
function section<Shape extends z.ZodRawShape>(description: string, shape: Shape) {
  return z
    .strictObject(shape)
    .prefault({} as z.input<z.ZodObject<Shape>>)
    .describe(description);
}

/** Largest body a transform may be told to hold; iron-proxy's "unlimited" ends here (I12). */
export const largestBody = 1024 ** 3;

const dns = z
  .strictObject({
    enabled: z.boolean().optional().describe("answer DNS queries; true when the section is there"),
    listen: listen("where DNS queries are answered"),
    proxy_ip: text("IPv4 address given as the answer for every name: the proxy's own, as workloads see it"),
    upstream_resolver: z
      .string()
      .refine((value) => value === "" || isIP(value) > 0 || isIP(parseHostPort(value)?.host ?? "") > 0, {
        error: "must be the IP address of a DNS server, with or without a port, such as 10.0.0.2:53",
        params: { subject: "subject" },
      })
      .transform((value): string | undefined => (value === "" ? undefined : value))
      .optional()
      .describe("IP address and port of the resolver for names of upstreams; the system's when absent"),
    proxy_ip6: text("IPv6 address given besides; without it, no name has an IPv6 address").refine(
      (value) => value === undefined || (isIP(value) === 6 && addressBytes(value)?.length === 16),
      { error: "must be an IPv6 address, without a zone", params: { subject: "subject" } },
    ),
    refuse_denied: flag(false, "answer that a name does not exist where policy refuses it"),
    max_queries: count(2000, "queries a second that are answered"),
    max_queries_per_client: count(200, "queries a second of one client that are answered"),
    passthrough: z
      .array(z.string())
      .default([])
      .describe("host patterns that are answered with their real addresses"),
    records: z
      .array(z.strictObject({ name: recordText("name"), type: recordType(), value: recordText("value") }))
      .default([])
      .describe("fixed answers"),
  })
  .optional()
  .describe("the DNS server that leads workloads to the proxy");

function recordText(key: string) {
  return z
    .string()
    .default("")
    .refine((value) => value !== "", { error: "is required", params: { subject: "subject" } })
    .describe(
      key === "name" ? "the name asked for" : "IPv4 address (A), IPv6 address (AAAA) or name (CNAME)",
    );
}

function recordType() {
  return z
    .string()
    .default("")
    .transform((value, context): "A" | "AAAA" | "CNAME" => {
      if (value === "A" || value === "AAAA" || value === "CNAME") return value;
      const shown = /^\w{0,10}$/.test(value) ? `; got ${JSON.stringify(value)}` : "";
      return say(context, `must be A, AAAA or CNAME${shown}`);
    })
    .describe("A, AAAA or CNAME");
}

const timeouts = section("how long the proxy waits for others", {
  client_header: duration("30s", "from the first byte of a request, or the accept, to the end of its header"),
  client_body: duration("60s", "longest silence while a request body is awaited"),
  client_idle: duration("120s", "silence between requests on a kept connection"),
  tls_handshake: duration("10s", "a client's TLS handshake"),
  upstream_connect: duration("10s", "connecting to an upstream, and again for its TLS handshake"),
  upstream_idle: duration("90s", "how long an unused upstream connection is kept"),
  upstream_body: duration("10m", "longest silence of an upstream in the middle of a response body"),
  websocket_idle: duration("10m", "silence of both sides of a WebSocket; pings count as something said"),
  passthrough_idle: duration(
    "10m",
    "silence of both sides of a TLS connection that is passed through unopened",
  ),
});

const limits = section("how much the proxy holds", {
  max_connections: count(10_000, "client connections at a time"),
  max_start_line: count(defaultH1Limits.maxStartLine, "bytes of a request line; longer is 414"),
  max_header_bytes: count(
    defaultH1Limits.maxHeaderBytes,
    "bytes of all header fields of a message; more is 431",
  ),
  max_header_count: count(defaultH1Limits.maxHeaderCount, "header fields of a message; more is 431"),
  max_chunk_header: count(defaultH1Limits.maxChunkHeader, "bytes of one chunk header, extensions included"),
  max_streams: count(defaultH2Limits.maxStreams, "requests of one HTTP/2 client connection at a time"),
  max_resets: count(
    defaultH2Limits.maxResets,
    "HTTP/2 streams that one client connection may reset in a second",
  ),
  upstream_idle_per_host: count(
    256,
    "idle upstream connections kept for one host and port, caller and TLS identity",
  ),
  upstream_idle_total: count(1024, "idle upstream connections kept in all"),
});

/** More than any machine has cores for; every process costs tens of megabytes (I12). */
export const maxWorkers = 64;

function workers() {
  return z
    .union([z.int(), z.literal("auto")])
    .transform((value, context): number | "auto" => {
      if (value === "auto" || (value >= 1 && value <= maxWorkers)) return value;
      return say(context, `must be auto or from 1 to ${maxWorkers}; got ${value}`);
    })
    .default(1)
    .meta({ description: "processes that serve on the same ports; auto for one on each core", default: 1 });
}

const proxy = section("the ways in, and what holds for every request", {
  workers: workers(),
  http_listen: listen("plain HTTP, also for workloads that use it as http_proxy"),
  https_listen: listen("TLS, for connections that DNS or a redirect led here"),
  tunnel_listen: listen("CONNECT, SOCKS5 and absolute-form requests: what HTTPS_PROXY of a workload names"),
  max_request_body_bytes: bytes(
    1_048_576,
    largestBody,
    "bytes of a request body that a transform may hold; over it the answer is 413",
  ),
  max_response_body_bytes: bytes(
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    "bytes of a response body that a transform may hold; 0 for no limit",
  ),
  upstream_response_header_timeout: duration(
    "30s",
    "from the end of a request to the header of its response",
  ),
  upstream_deny_cidrs: cidrs("addresses that are never dialled; replaces the standard list"),
  allow_metadata: flag(false, "let requests reach the metadata services of clouds"),
  upstream_proxy: section("forward proxy between this one and the upstreams", {
    http_proxy: proxyUrl("for http:// upstreams"),
    https_proxy: proxyUrl("for https:// upstreams"),
    no_proxy: text("comma list of hosts, networks and suffixes that are reached directly"),
  }),
  upstream_http2: word(
    ["auto", "always", "off"],
    "auto",
    "which requests are offered to upstreams as HTTP/2: those of HTTP/2 clients, all, or none",
  ),
  default: word(
    ["deny", "allow"],
    "deny",
    "what happens to requests where the file has no allowlist transform",
  ),
  rule_ports: word(
    ["scheme", "any"],
    "scheme",
    "ports that a rule without a port stands for: 443 and 80, or any",
  ),
  plaintext_credentials: word(
    ["refuse", "allow"],
    "refuse",
    "whether a credential may go to another machine over plain HTTP",
  ),
  require_caller: flag(false, "answer 407 to workloads that do not prove who they are"),
  shutdown_timeout: duration("10s", "how long requests in progress may take after a signal to stop"),
  denial_message: z
    .string()
    .max(2000)
    .transform((value): string | undefined => (value === "" ? undefined : value))
    .optional()
    .describe("text that a refused workload reads in place of the standard one"),
  timeouts,
  limits,
});

/** Rules without methods and paths: a connection is made before any of them is known. */
function reach(description: string) {
  const rule = z.strictObject({
    host: z.string().optional().describe("Host, as in a rule."),
    cidr: z.string().optional().describe("Network, for hosts that are IP addresses."),
  });
  return z.array(rule).min(1, "must name at least one host").describe(description);
}

function source(description: string) {
  return z.looseObject({ type: z.string().describe("Kind of source.") }).describe(description);
}

const tls = section("interception of TLS", {
  mode: word(
    ["mitm", "sni-only"],
    "mitm",
    "mitm opens TLS to see requests; sni-only decides on the name alone",
  ),
  passthrough: z
    .array(z.string())
    .default([])
    .describe(
      "host patterns whose TLS is passed through unopened, without credentials, once policy admits the name",
    ),
  ca_cert: text("PEM file with the certificate of the CA that workloads trust; required"),
  ca_key: text("PEM file with the CA's private key; required"),
  cert_cache_size: count(1000, "certificates for hosts that are kept"),
  leaf_cert_expiry_hours: count(72, "lifetime of a host's certificate"),
  upstream_ca: text("PEM file with roots trusted for upstreams besides the system's"),
  http2: word(["on", "off"], "on", "whether clients are offered HTTP/2 (and so gRPC)"),
  client_certificates: z
    .array(
      z.strictObject({
        rules: reach("Hosts that ask for it."),
        cert: source("Where the certificate is read from: PEM, with the intermediates it needs."),
        key: source("Where its private key is read from: PEM, not encrypted."),
      }),
    )
    .default([])
    .describe("certificates that the proxy presents to upstreams; the first entry for a host counts"),
  upstream_roots: z
    .array(
      z.strictObject({
        rules: reach("Hosts that they are trusted for."),
        file: z.string().describe("PEM file with one or more certificates."),
      }),
    )
    .default([])
    .describe("roots trusted for some hosts only, besides those for all"),
  explain_denials: z
    .union([z.int().min(0), z.literal("off")])
    .transform((value) => (value === "off" ? 0 : value))
    .default(20)
    .meta({
      description:
        "refused names a second for which a certificate is made so that the workload can read why; or off",
      default: 20,
    }),
});

const findings = section("misuse of placeholders and credentials that are found in requests", {
  webhook: z
    .strictObject({
      url: z
        .string()
        .default("")
        .transform((value, context): string => {
          const problem = webhookProblem(value);
          return problem === undefined ? value : say(context, problem);
        })
        .describe("where findings are posted; https, or http to this machine"),
      secret: z.unknown().describe("source of the secret that signs what is posted"),
      timeout: duration("5s", "how long the receiver may take to answer"),
    })
    .optional()
    .describe("who is told of findings, besides the audit"),
});

const tools = z
  .strictObject({
    directories: z
      .array(z.string().min(1))
      .optional()
      .describe("directories that hold tools with declarations; those of TOOL_DIRS when absent"),
    harnesses: z
      .array(z.string())
      .default([])
      .describe("agents whose credentials are served, or the credentials themselves, by name"),
    gateway: z
      .union([z.string(), z.record(z.string(), z.string())])
      .optional()
      .describe("host that stands in for those of all language models, or one for each name"),
    source: text("where declared credentials are read from: env, onepassword or onepassword-connect"),
    vault: text("name or id of the 1Password vault"),
    ttl: text("age at which a credential from 1Password is read again; 0 for never"),
    placeholders: word(
      ["name", "shaped"],
      "name",
      "what workloads hold: the name of the credential, or a text that looks like a key of its service",
    ),
    allow_headers: z
      .array(z.string())
      .default([])
      .describe("headers that are added to every header_allowlist of the file"),
  })
  .optional()
  .describe("credentials that tools declare, and those of agents");

/** The configuration file. Transforms are looked at one by one, by the schema of their kind. */
export const configSchema = z.strictObject({
  dns,
  proxy,
  tls,
  transforms: z.array(z.unknown()).default([]).describe("policies and credentials, in the order they run"),
  metrics: section("the metrics server", { listen: listen("where metrics and health are served") }),
  management: section("the management server", {
    listen: listen("where the management API is served"),
    api_key_env: text("environment variable that holds the API's key"),
  }),
  control_plane: section("the control plane of iron-proxy's managed mode", {
    poll_interval: duration("10s", "time between two questions for a new configuration"),
  }),
  log: section("the proxy's own log", {
    level: word(
      ["debug", "info", "warn", "error"],
      "info",
      "least important lines that are written",
      "log level",
    ),
    format: word(["auto", "json", "text"], "auto", "auto: readable lines on a terminal, JSON elsewhere"),
  }),
  audit: section("one record for every exchange", {
    file: text("file that records are appended to; stderr when absent"),
    on_failure: word(
      ["report", "deny"],
      "report",
      "when records cannot be written: say so, or stop traffic as well",
    ),
  }),
  findings,
  tools,
  sources: section("where credentials are read from", {
    require_at_start: flag(false, "refuse to start when a credential cannot be read"),
  }),
  mcp: z.unknown().optional().describe("not supported yet"),
  mcp_gateway: z.unknown().optional().describe("not supported yet"),
  postgres: z.unknown().optional().describe("not supported yet"),
});

/** What the schema makes of a file: defaults filled in, durations in milliseconds. */
export type CheckedFile = z.output<typeof configSchema>;

/** One entry of `transforms:`. */
export const transformEntrySchema = z.strictObject({
  name: z.string().describe("the kind of transform"),
  config: z.unknown().optional().describe("its own keys"),
});

export interface Key {
  readonly path: readonly string[];
  /** What a person may write; `section` for keys that have keys below them. */
  readonly type: "text" | "integer" | "boolean" | "integer or text" | "list" | "section" | "any";
}

/** Every key of the file, sections before what they hold; entries of lists are not descended into. */
export function configKeys(schema: z.ZodType = configSchema, above: readonly string[] = []): Key[] {
  const { shape } = bare(schema)._zod.def as unknown as { shape: Readonly<Record<string, z.ZodType>> };
  return Object.entries(shape).flatMap(([name, child]) => {
    const path = [...above, name];
    const type = keyType(bare(child));
    return [{ path, type }, ...(type === "section" ? configKeys(child, path) : [])];
  });
}

/** The schema of what is written, below defaults and conversions. */
function bare(schema: z.ZodType): z.ZodType {
  const def = schema._zod.def as { innerType?: z.ZodType; in?: z.ZodType };
  const inner = def.innerType ?? def.in;
  return inner === undefined ? schema : bare(inner);
}

function keyType(schema: z.ZodType): Key["type"] {
  const def = schema._zod.def as { type: string; options?: readonly z.ZodType[] };
  switch (def.type) {
    case "object":
      return "section";
    case "array":
      return "list";
    case "boolean":
      return "boolean";
    case "number":
      return "integer";
    case "union":
      return def.options?.some((option) => keyType(bare(option)) === "integer") ? "integer or text" : "text";
    case "unknown":
      return "any";
    default:
      return "text";
  }
}

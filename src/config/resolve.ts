import { embeddedListeners, fileListeners, standardDenyCidrs } from "./defaults.ts";
import { resolveDns } from "./resolve-dns.ts";
import type { Path } from "./issues.ts";
import { resolveTools } from "./resolve-tools.ts";
import type { CheckedFile } from "./schema.ts";
import type { Config, Listen, ProxyConfig, TlsConfig, TransformEntry } from "./types.ts";

export interface ResolveOptions {
  /** Path of the file; `undefined` for the embedded default. */
  readonly file: string | undefined;
  readonly transforms: readonly TransformEntry[];
  readonly env: NodeJS.ProcessEnv;
  readonly error: (path: Path, message: string) => void;
}

/** Fills in what depends on more than one key, and checks what needs more than one key. */
export function resolveConfig(checked: CheckedFile, options: ResolveOptions): Config {
  const listeners = options.file === undefined ? embeddedListeners : fileListeners;
  const config: Config = {
    file: options.file,
    dns: resolveDns(checked.dns, options.error),
    proxy: resolveProxy(checked.proxy, listeners, options),
    tls: resolveTls(checked.tls, options),
    transforms: options.transforms,
    metrics: { listen: checked.metrics.listen ?? listeners.metrics },
    management: resolveManagement(checked.management, options),
    log: checked.log,
    audit: { file: checked.audit.file, onFailure: checked.audit.on_failure },
    sources: { requireAtStart: checked.sources.require_at_start },
    findings: { webhook: resolveWebhook(checked.findings.webhook) },
    tools: resolveTools(checked.tools, options.env, options.error),
  };
  checkListeners(config, options);
  return config;
}

function resolveProxy(
  proxy: CheckedFile["proxy"],
  listeners: typeof fileListeners | typeof embeddedListeners,
  { env, error }: ResolveOptions,
): ProxyConfig {
  const { timeouts, limits } = proxy;
  if (proxy.require_caller && (env["SANDBOX_SIGNING_KEY"] || env["SANDBOX_SIGNING_KEY_FILE"] || "") === "") {
    const advice = "put the key there that tokens are made with (openssl rand -hex 32)";
    error(
      ["proxy", "require_caller"],
      `proxy.require_caller needs SANDBOX_SIGNING_KEY, which is not set in the environment; ${advice}`,
    );
  }
  return {
    workers: proxy.workers,
    httpListen: proxy.http_listen ?? listeners.http,
    httpsListen: proxy.https_listen ?? listeners.https,
    tunnelListen: proxy.tunnel_listen ?? listeners.tunnel,
    maxRequestBodyBytes: proxy.max_request_body_bytes,
    maxResponseBodyBytes: proxy.max_response_body_bytes,
    upstreamResponseHeaderTimeoutMs: proxy.upstream_response_header_timeout,
    upstreamDenyCidrs: proxy.upstream_deny_cidrs ?? standardDenyCidrs,
    allowMetadata: proxy.allow_metadata,
    upstreamProxy: {
      httpProxy: proxy.upstream_proxy.http_proxy,
      httpsProxy: proxy.upstream_proxy.https_proxy,
      noProxy: proxy.upstream_proxy.no_proxy,
    },
    upstreamHttp2: proxy.upstream_http2,
    default: proxy.default,
    rulePorts: proxy.rule_ports,
    plaintextCredentials: proxy.plaintext_credentials,
    requireCaller: proxy.require_caller,
    shutdownTimeoutMs: proxy.shutdown_timeout,
    denialMessage: proxy.denial_message,
    timeouts: {
      clientHeaderMs: timeouts.client_header,
      clientBodyMs: timeouts.client_body,
      clientIdleMs: timeouts.client_idle,
      tlsHandshakeMs: timeouts.tls_handshake,
      upstreamConnectMs: timeouts.upstream_connect,
      upstreamIdleMs: timeouts.upstream_idle,
      upstreamBodyMs: timeouts.upstream_body,
      websocketIdleMs: timeouts.websocket_idle,
      passthroughIdleMs: timeouts.passthrough_idle,
    },
    limits: {
      maxConnections: limits.max_connections,
      maxStartLine: limits.max_start_line,
      maxHeaderBytes: limits.max_header_bytes,
      maxHeaderCount: limits.max_header_count,
      maxChunkHeader: limits.max_chunk_header,
      maxStreams: limits.max_streams,
      maxResets: limits.max_resets,
      upstreamIdlePerHost: limits.upstream_idle_per_host,
      upstreamIdleTotal: limits.upstream_idle_total,
    },
  };
}

function resolveTls(tls: CheckedFile["tls"], options: ResolveOptions): TlsConfig {
  const { error } = options;
  const { ca_cert: caCert, ca_key: caKey } = tls;
  // Without a file the CA in the user's state directory serves, and is made on first use.
  const required = options.file !== undefined || caCert !== undefined || caKey !== undefined;
  if (tls.mode !== "sni-only" && required) {
    const make = "make a CA with `sallyport ca init` and name its";
    if (caCert === undefined) error(["tls", "ca_cert"], `tls.ca_cert is required; ${make} ca.crt here`);
    if (caKey === undefined) error(["tls", "ca_key"], `tls.ca_key is required; ${make} ca.key here`);
  }
  return {
    mode: tls.mode,
    passthrough: tls.passthrough,
    caCert,
    caKey,
    certCacheSize: tls.cert_cache_size,
    leafCertExpiryHours: tls.leaf_cert_expiry_hours,
    upstreamCa: tls.upstream_ca,
    clientCertificates: tls.client_certificates,
    upstreamRoots: tls.upstream_roots,
    explainDenials: tls.explain_denials,
    http2: tls.http2 === "on",
  };
}

function resolveWebhook(webhook: CheckedFile["findings"]["webhook"]): Config["findings"]["webhook"] {
  if (webhook === undefined) return undefined;
  const { url, secret, timeout: timeoutMs } = webhook;
  // What is no source object is found when the source is made.
  return { url, secret: secret as { type: string }, timeoutMs };
}

function resolveManagement(
  management: CheckedFile["management"],
  options: ResolveOptions,
): Config["management"] {
  const listen = management.listen ?? "off";
  const apiKeyEnv = management.api_key_env ?? "IRON_MANAGEMENT_API_KEY";
  if (listen !== "off" && (options.env[apiKeyEnv] ?? "") === "") {
    const shown = /^[A-Za-z_]\w*$/.test(apiKeyEnv) ? ` ${JSON.stringify(apiKeyEnv)}` : "";
    options.error(
      ["management", "api_key_env"],
      `management.api_key_env${shown} is not set in the environment; put the management API's key there`,
    );
  }
  return { listen, apiKeyEnv };
}

/** Two listeners on one address would only fail when they start, one of them at random. */
function checkListeners({ dns, proxy, metrics, management }: Config, { error }: ResolveOptions): void {
  const taken = new Map<string, string>();
  const all: readonly (readonly [Path, Listen])[] = [
    [["proxy", "http_listen"], proxy.httpListen],
    [["proxy", "https_listen"], proxy.httpsListen],
    [["proxy", "tunnel_listen"], proxy.tunnelListen],
    [["dns", "listen"], dns.listen],
    [["metrics", "listen"], metrics.listen],
    [["management", "listen"], management.listen],
  ];
  for (const [path, listen] of all) {
    if (listen === "off" || listen.port === 0) continue;
    const address = `${listen.host ?? ""}:${listen.port}`;
    const other = taken.get(address);
    const key = path.join(".");
    if (other === undefined) taken.set(address, key);
    else error(path, `${key} and ${other} are both ${address}; give one another port, or off`);
  }
}

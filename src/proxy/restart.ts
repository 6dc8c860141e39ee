import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/types.ts";
import type { Logger } from "../log/logger.ts";

/** What a running proxy was built from and cannot change: sockets, keys, and what holds connections. */
const fixed: Readonly<Record<string, (config: Config) => unknown>> = {
  "proxy.workers": ({ proxy }) => proxy.workers,
  "proxy.http_listen": ({ proxy }) => proxy.httpListen,
  "proxy.https_listen": ({ proxy }) => proxy.httpsListen,
  "proxy.tunnel_listen": ({ proxy }) => proxy.tunnelListen,
  "proxy.upstream_response_header_timeout": ({ proxy }) => proxy.upstreamResponseHeaderTimeoutMs,
  "proxy.upstream_deny_cidrs": ({ proxy }) => proxy.upstreamDenyCidrs,
  "proxy.allow_metadata": ({ proxy }) => proxy.allowMetadata,
  "proxy.upstream_http2": ({ proxy }) => proxy.upstreamHttp2,
  "proxy.upstream_proxy": ({ proxy }) => proxy.upstreamProxy,
  "proxy.timeouts.upstream_connect": ({ proxy }) => proxy.timeouts.upstreamConnectMs,
  "proxy.timeouts.upstream_idle": ({ proxy }) => proxy.timeouts.upstreamIdleMs,
  "proxy.timeouts.upstream_body": ({ proxy }) => proxy.timeouts.upstreamBodyMs,
  "proxy.limits.upstream_idle_per_host": ({ proxy }) => proxy.limits.upstreamIdlePerHost,
  "proxy.limits.upstream_idle_total": ({ proxy }) => proxy.limits.upstreamIdleTotal,
  "tls.mode": ({ tls }) => tls.mode,
  "tls.ca_cert": ({ tls }) => tls.caCert,
  "tls.ca_key": ({ tls }) => tls.caKey,
  "tls.cert_cache_size": ({ tls }) => tls.certCacheSize,
  "tls.leaf_cert_expiry_hours": ({ tls }) => tls.leafCertExpiryHours,
  "tls.upstream_ca": ({ tls }) => tls.upstreamCa,
  "dns.listen": ({ dns }) => dns.listen,
  "dns.upstream_resolver": ({ dns }) => dns.upstreamResolver,
  "metrics.listen": ({ metrics }) => metrics.listen,
  management: ({ management }) => management,
  log: ({ log }) => log,
  audit: ({ audit }) => audit,
};

/** Keys and sections that wait for a restart. */
export const restartKeys: readonly string[] = Object.keys(fixed);

/** Keys in which a configuration differs from the one the proxy was started with, and that wait for a restart. */
export function keysForRestart(started: Config, next: Config): string[] {
  return Object.entries(fixed).flatMap(([key, value]) =>
    isDeepStrictEqual(value(started), value(next)) ? [] : [key],
  );
}

/** What a reload did. */
export interface Reloaded {
  /** The pipeline in force, as the log shows it. */
  readonly transforms: string;
  /** Keys that differ from those the process was started with and wait for a restart. */
  readonly restart: readonly string[];
}

/** Says that another configuration is in force, and what of it is not. */
export function announceReload({ transforms, restart }: Reloaded, logger: Logger): void {
  logger.info("pipeline reloaded", { transforms });
  if (restart.length > 0) logger.warn("changes that wait for a restart", { keys: restart });
}

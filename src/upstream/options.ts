import type { SecureContext } from "node:tls";
import type { Config } from "../config/types.ts";
import type { IdentityOf } from "./identity.ts";
import type { OwnAddress, UpstreamOptions } from "./types.ts";

const continueMs = 1000;

/** What the configuration says about upstreams. */
export function upstreamOptions(
  { proxy, dns }: Config,
  secureContext: SecureContext | undefined,
  ownAddresses: () => readonly OwnAddress[],
  identityOf?: IdentityOf,
): UpstreamOptions {
  const { timeouts, limits } = proxy;
  return {
    denyCidrs: proxy.upstreamDenyCidrs,
    allowMetadata: proxy.allowMetadata,
    resolver: dns.upstreamResolver,
    http2: proxy.upstreamHttp2,
    forwardProxy: proxy.upstreamProxy,
    secureContext,
    identityOf,
    timeouts: {
      connectMs: timeouts.upstreamConnectMs,
      responseHeaderMs: proxy.upstreamResponseHeaderTimeoutMs,
      bodyMs: timeouts.upstreamBodyMs,
      idleMs: timeouts.upstreamIdleMs,
      continueMs,
    },
    limits: { h1: limits, idlePerHost: limits.upstreamIdlePerHost, idleTotal: limits.upstreamIdleTotal },
    ownAddresses,
  };
}

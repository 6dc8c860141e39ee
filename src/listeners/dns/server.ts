import { getServers } from "node:dns";
import type { DnsConfig } from "../../config/types.ts";
import type { ListenerContext } from "../context.ts";
import type { Listener } from "../tcp.ts";
import { createForwarder, type ResolverAddress } from "./forwarder.ts";
import { type DnsAddress, listenDns } from "./listen.ts";
import { createRateLimit, type RateLimit } from "./rate.ts";
import { createResponder, type DnsStats } from "./responder.ts";
import { compileZone } from "./zone.ts";

export type { DnsStats } from "./responder.ts";

export interface DnsServerOptions {
  readonly context: Pick<ListenerContext, "pipeline" | "audit" | "nextId" | "debug">;
  /** Ports of the HTTP and HTTPS listeners as bound. */
  readonly ports: readonly number[];
  /** Whether a resolver at this address is this proxy itself. */
  readonly isOwn: (address: string, port: number) => boolean;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

/** The DNS server that leads workloads to the proxy. */
export interface DnsServer extends Listener {
  readonly stats: Readonly<DnsStats>;
  /** Puts other settings in place for queries that arrive from now on; the port stays. */
  configure(config: DnsConfig): void;
}

/** Where names that are let through are resolved: `dns.upstream_resolver`, or the system's resolvers. */
export function resolversOf(config: Pick<DnsConfig, "upstreamResolver">): ResolverAddress[] {
  const texts = config.upstreamResolver === undefined ? getServers() : [config.upstreamResolver];
  return texts.map(parseResolver);
}

/**
 * Starts the server.
 * @throws {ListenError}
 */
export async function startDnsServer(
  at: DnsAddress,
  config: DnsConfig,
  options: DnsServerOptions,
): Promise<DnsServer> {
  const { context } = options;
  let current = config;
  let zone = compileZone(config);
  let rate: RateLimit = rateOf(config);
  let servers: readonly ResolverAddress[] | undefined;
  const forwarder = createForwarder({
    // A server that asks itself would do so until the time is up.
    servers: () => (servers ??= resolversOf(current).filter(({ host, port }) => !options.isOwn(host, port))),
  });
  const responder = createResponder({
    zone: () => zone,
    pipeline: () => context.pipeline(),
    ports: [...new Set([443, 80, ...options.ports])],
    forwarder,
    rate: { take: (address) => rate.take(address) },
    audit: context.audit,
    nextId: () => context.nextId(),
    warn: options.warn,
    debug: (message, fields) => context.debug(message, fields),
  });
  const listener = await listenDns(at, responder);
  return {
    address: listener.address,
    ip: listener.ip,
    port: listener.port,
    stats: responder.stats,
    configure(next) {
      const sameRate =
        next.maxQueries === current.maxQueries && next.maxQueriesPerClient === current.maxQueriesPerClient;
      // A new limit would forget who has used up the old one.
      if (!sameRate) rate = rateOf(next);
      current = next;
      zone = compileZone(next);
      servers = undefined;
    },
    close() {
      listener.close();
      forwarder.close();
    },
  };
}

function rateOf({ maxQueries, maxQueriesPerClient }: DnsConfig): RateLimit {
  return createRateLimit({ inAll: maxQueries, perClient: maxQueriesPerClient });
}

/** `ip`, `ip:port` or `[ip]:port`, as the configuration and node write them. */
function parseResolver(text: string): ResolverAddress {
  const [, v6, v4, port] = /^(?:\[([^\]]+)\]|([0-9.]+)):([0-9]+)$/.exec(text) ?? [];
  return { host: v6 ?? v4 ?? text, port: port === undefined ? 53 : Number(port) };
}

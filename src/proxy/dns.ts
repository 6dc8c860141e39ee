import type { Issue, Locate } from "../config/issues.ts";
import { issueAt } from "../config/issues.ts";
import type { Config, DnsConfig } from "../config/types.ts";
import { type DnsServer, resolversOf, startDnsServer } from "../listeners/dns/server.ts";
import type { ListenerContext } from "../listeners/context.ts";
import { type Listener, ListenError } from "../listeners/tcp.ts";
import type { Logger } from "../log/logger.ts";
import { PatternError } from "../pipeline/glob.ts";
import { compileHostPattern } from "../pipeline/host-pattern.ts";
import { createGuard, type OwnAddress } from "../upstream/index.ts";

/** What is wrong with `dns.passthrough`, whose patterns are those of rules. */
export function checkDnsPassthrough(config: Config, locate: Locate, file: string | undefined): Issue[] {
  const place = { file: file ?? "(no configuration file)", locate };
  return config.dns.passthrough.flatMap((pattern, index) => {
    const issue = (severity: Issue["severity"], message: string): Issue =>
      issueAt(severity, place, ["dns", "passthrough", index], `dns.passthrough: ${message}`);
    const warnings: Issue[] = [];
    try {
      const { host, port } = compileHostPattern(pattern, (message) =>
        warnings.push(issue("warning", message)),
      );
      if (port !== undefined) return [issue("error", "a name has no port; leave it out")];
      if (host.kind === "exact" && host.host.kind !== "name") {
        return [issue("error", "nobody asks for the address of an address; give a name")];
      }
      return warnings;
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      return [issue("error", error.message)];
    }
  });
}

/**
 * Starts the DNS server that the configuration asks for; nothing where it asks for none.
 * @param served ports of the others
 * @throws {ListenError}
 */
export async function startDns(
  config: Config,
  context: ListenerContext,
  served: readonly Pick<Listener, "port">[],
  logger: Logger,
): Promise<DnsServer | undefined> {
  const { dns } = config;
  if (dns.listen === "off") return undefined;
  const own: OwnAddress[] = [];
  const guard = createGuard({ denyCidrs: [], allowMetadata: true, ownAddresses: () => own });
  const isOwn = (address: string, port: number) => guard.checkLoop(address, port) !== undefined;
  const server = await startDnsServer(dns.listen, dns, {
    context,
    ports: served.map(({ port }) => port),
    isOwn,
    warn: (message, fields) => logger.warn(message, fields),
  });
  own.push({ address: server.ip, port: server.port });
  checkResolver(dns, server, isOwn, logger);
  logger.info("dns server starting", { addr: server.address });
  return server;
}

/** The proxy's own look-ups must not end in its own DNS server, which would send it to itself (`proxy_loop`). */
function checkResolver(
  dns: DnsConfig,
  server: DnsServer,
  isOwn: (address: string, port: number) => boolean,
  logger: Logger,
): void {
  const resolvers = resolversOf(dns);
  if (!resolvers.some(({ host, port }) => isOwn(host, port))) return;
  if (dns.upstreamResolver === undefined) {
    const message =
      "the system's resolver is this proxy's own DNS server; set dns.upstream_resolver to another";
    logger.warn(message, { addr: server.address });
    return;
  }
  server.close();
  throw new ListenError(
    `dns.upstream_resolver: ${dns.upstreamResolver} is this proxy's own DNS server; name another resolver`,
  );
}

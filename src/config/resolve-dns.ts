import { isIPv4 } from "node:net";
import { AuthorityError, hostFromConfig } from "../http/authority.ts";
import { addressBytes } from "../http/ip-literal.ts";
import { fileListeners } from "./defaults.ts";
import { parseHostPort } from "./fields.ts";
import type { Path } from "./issues.ts";
import type { CheckedFile } from "./schema.ts";
import type { DnsConfig, Listen } from "./types.ts";

type Report = (path: Path, message: string) => void;

/** The `dns` section: what its keys mean together. */
export function resolveDns(dns: CheckedFile["dns"], error: Report): DnsConfig {
  const enabled = dns !== undefined && dns.enabled !== false;
  const { proxy_ip: proxyIp, proxy_ip6: proxyIp6 } = dns ?? {};
  if (enabled && proxyIp === undefined && proxyIp6 === undefined) {
    error(
      ["dns", "proxy_ip"],
      "dns.proxy_ip is required: the proxy's IPv4 address as workloads see it, or set dns.enabled to false",
    );
  } else if (enabled && proxyIp !== undefined && !isIPv4(proxyIp)) {
    error(["dns", "proxy_ip"], `invalid proxy_ip (must be IPv4): ${JSON.stringify(proxyIp.slice(0, 45))}`);
  }
  const listen = enabled ? (dns.listen ?? fileListeners.dns) : "off";
  if (isSame(listen, dns?.upstream_resolver)) {
    error(
      ["dns", "upstream_resolver"],
      "dns.upstream_resolver is dns.listen, so the proxy would ask itself; name another resolver",
    );
  }
  return {
    enabled,
    listen,
    proxyIp,
    proxyIp6,
    upstreamResolver: dns?.upstream_resolver,
    passthrough: dns?.passthrough ?? [],
    records: checkRecords(dns?.records ?? [], error),
    refuseDenied: dns?.refuse_denied ?? false,
    maxQueries: dns?.max_queries ?? 0,
    maxQueriesPerClient: dns?.max_queries_per_client ?? 0,
  };
}

/** The proxy finds out about addresses that mean every address when it has bound them. */
function isSame(listen: Listen, resolver: string | undefined): boolean {
  if (listen === "off" || resolver === undefined) return false;
  const { host = resolver, port } = parseHostPort(resolver) ?? { host: undefined, port: 53 };
  return listen.port === port && listen.host === host;
}

type Entry = DnsConfig["records"][number];

/** Checks records; names keep the spelling they are written in. */
function checkRecords(records: readonly Entry[], error: Report): readonly Entry[] {
  const types = new Map<string, Set<Entry["type"]>>();
  for (const [index, { name, type, value }] of records.entries()) {
    const path = ["dns", "records", index] as const;
    const place = `dns.records[${index}]`;
    const host = checkName(name, [...path, "name"], `${place}.name`, error);
    checkValue(type, value, [...path, "value"], `${place}.value`, error);
    if (host === undefined) continue;
    const others = types.get(host) ?? new Set();
    types.set(host, others.add(type));
    if (others.has("CNAME") && others.size > 1) {
      error(path, `${place}: a name with a CNAME has no other record (RFC 1034 section 3.6.2)`);
    }
  }
  return records;
}

function checkValue(type: Entry["type"], value: string, path: Path, key: string, error: Report): void {
  // What was wrong with its shape has been told, and left it empty.
  if (value === "") return;
  if (type === "CNAME") {
    checkName(value, path, key, error);
    return;
  }
  const fits = type === "A" ? isIPv4(value) : addressBytes(value)?.length === 16;
  if (!fits) error(path, `${key} must be an ${type === "A" ? "IPv4" : "IPv6"} address`);
}

/** The name in canonical form, where it is one. */
function checkName(text: string, path: Path, key: string, error: Report): string | undefined {
  if (text === "") return undefined;
  try {
    const host = hostFromConfig(text);
    if (host.kind === "name") return host.name;
    error(path, `${key} must be a name, not an address`);
  } catch (problem) {
    if (!(problem instanceof AuthorityError)) throw problem;
    error(path, `${key}: ${problem.message}`);
  }
  return undefined;
}

import { type Host, hostFromConfig, parseHost } from "../../http/authority.ts";
import { addressBytes } from "../../http/ip-literal.ts";
import type { DnsConfig } from "../../config/types.ts";
import { compileHostPattern, matchesHost } from "../../pipeline/host-pattern.ts";
import type { OwnRecord } from "./answer.ts";
import { encodeName, recordTypes } from "./message.ts";

/** What a name is to the server. */
export type NameKind =
  /** Answered from `dns.records`; `alias` is the target of a CNAME. */
  | { readonly kind: "static"; readonly records: readonly OwnRecord[]; readonly alias: Host | undefined }
  /** Answered by the resolver, with its real addresses. */
  | { readonly kind: "passthrough" }
  /** Answered with the proxy's addresses, where policy does not say otherwise. */
  | { readonly kind: "intercept"; readonly host: Host }
  /** Exists, and has nothing. */
  | { readonly kind: "empty" }
  | { readonly kind: "nowhere" };

/** Everything the configuration says about names. */
export interface Zone {
  kindOf(name: string | undefined): NameKind;
  /** The proxy's addresses as workloads reach it; none for the family that it does not have. */
  readonly proxyRecords: readonly OwnRecord[];
  /** Names that policy refuses do not exist. */
  readonly refuseDenied: boolean;
}

/** RFC 6761 section 6.3: this name never means another machine. */
const loopbackRecords: readonly OwnRecord[] = [
  { type: recordTypes.A, data: Uint8Array.of(127, 0, 0, 1) },
  { type: recordTypes.AAAA, data: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) },
];

/**
 * Compiles the `dns` section. Its addresses, patterns and names were checked when it was loaded.
 */
export function compileZone(dns: DnsConfig): Zone {
  const passthrough = dns.passthrough.map((pattern) => compileHostPattern(pattern).host);
  const records = Map.groupBy(dns.records, ({ name }) => hostFromConfig(name).name);
  const fixed = new Map<string, NameKind>();
  for (const [name, entries] of records) {
    const target = entries.find(({ type }) => type === "CNAME")?.value;
    const alias = target === undefined ? undefined : hostFromConfig(target);
    fixed.set(name, { kind: "static", records: entries.map(recordOf), alias });
  }
  const proxyRecords = [dns.proxyIp, dns.proxyIp6].flatMap((address) =>
    address === undefined ? [] : [addressRecord(address)],
  );
  return {
    proxyRecords,
    refuseDenied: dns.refuseDenied,
    kindOf(name) {
      if (name === undefined) return { kind: "nowhere" };
      const known = fixed.get(name) ?? special(name);
      if (known !== undefined) return known;
      const host = hostOf(name);
      // A name that no host can have leads nowhere, through the proxy neither.
      if (host === undefined) return { kind: "nowhere" };
      if (passthrough.some((matcher) => matchesHost(matcher, host))) return { kind: "passthrough" };
      return { kind: "intercept", host };
    },
  };
}

/** Names that programs ask for to learn how to resolve names; the answers keep them from going round us (attack 17). */
function special(name: string): NameKind | undefined {
  if (name === "") return { kind: "empty" };
  if (isUnder(name, "localhost")) return { kind: "static", records: loopbackRecords, alias: undefined };
  // RFC 9462: offers resolvers that speak DNS over HTTPS or TLS.
  if (isUnder(name, "resolver.arpa")) return { kind: "empty" };
  // Firefox turns to DNS over HTTPS unless this name does not exist.
  if (name === "use-application-dns.net") return { kind: "nowhere" };
  return undefined;
}

function isUnder(name: string, above: string): boolean {
  return name === above || name.endsWith(`.${above}`);
}

function hostOf(name: string): Host | undefined {
  try {
    const host = parseHost(name);
    return host.kind === "name" ? host : undefined;
  } catch {
    return undefined;
  }
}

function recordOf({ type, value }: DnsConfig["records"][number]): OwnRecord {
  if (type !== "CNAME") return addressRecord(value);
  return { type: recordTypes.CNAME, data: encodeName(hostFromConfig(value).name) };
}

function addressRecord(text: string): OwnRecord {
  const data = addressBytes(text) as Uint8Array;
  return { type: data.length === 4 ? recordTypes.A : recordTypes.AAAA, data };
}

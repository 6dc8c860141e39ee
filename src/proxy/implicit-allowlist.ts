import type { Path } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { Authority } from "../http/authority.ts";
import type { Caller, Rejection, Transform } from "../pipeline/types.ts";
import type { BuiltEntry } from "./build-transforms.ts";

const hostNotAllowed: Rejection = { kind: "reject", status: 403, reason: "host_not_allowed" };

/** Hosts that a message lists before it only counts them. */
const maxListed = 10;

/**
 * The policy of a file without an allowlist: only hosts that some credential is for can be reached, and the file's
 * owner is told so. None where the file has an allowlist, or says `proxy.default: allow`.
 */
export function implicitAllowlist(
  config: Config,
  built: readonly BuiltEntry[],
  warn: (path: Path, message: string) => void,
): Transform[] {
  if (config.transforms.some(({ name }) => name === "allowlist")) return [];
  if (config.proxy.default === "allow") {
    const message = "there is no allowlist, and proxy.default is allow: every host can be reached";
    warn(["proxy", "default"], message);
    return [];
  }
  warn(["transforms"], explanation(config, hostsOf(built)));
  const lists = built.flatMap(({ transform }) => transform.credentialRules ?? []);
  const verdict = (authority: Authority, caller: Caller | undefined): Rejection | undefined =>
    lists.some((rules) => rules.admits(authority, caller)) ? undefined : hostNotAllowed;
  return [
    {
      name: "allowlist",
      onTunnel: (tunnel) => verdict(tunnel.authority, tunnel.caller),
      onRequest: ({ authority, client }) => verdict(authority, client.caller),
      explain(exchange) {
        const why = "the configuration has no allowlist, and";
        return verdict(exchange.authority, exchange.client.caller) === undefined
          ? [`allowlist: allowed: ${why} a credential is for this host`]
          : [`allowlist: refused: ${why} no credential is for this host`];
      },
    },
  ];
}

/** Hosts and networks in the rules of credentials, each once, as they are written. */
function hostsOf(built: readonly BuiltEntry[]): string[] {
  const hosts = built.flatMap(({ transform, ruleLists }) =>
    ruleLists
      .filter(({ rules }) => transform.credentialRules?.includes(rules))
      .flatMap(({ configs }) => configs.map((rule) => rule.host ?? rule.cidr ?? "")),
  );
  return [...new Set(hosts)].filter((host) => host !== "");
}

function explanation(config: Config, hosts: readonly string[]): string {
  if (config.file === undefined && config.transforms.length === 0) {
    return "without a configuration file every request is refused; give one with --config";
  }
  if (hosts.length === 0)
    return "there is no allowlist, so every request is refused; add an allowlist transform";
  const more = hosts.length > maxListed ? ` and ${hosts.length - maxListed} more` : "";
  const list = hosts.slice(0, maxListed).join(", ");
  return `there is no allowlist, so only hosts that credentials are for can be reached: ${list}${more}`;
}

import { type Authority, defaultPorts, type Host, makeAuthority, parseHost } from "../http/authority.ts";
import { compileHostPattern, type HostMatcher } from "../pipeline/host-pattern.ts";
import type { Rules } from "../pipeline/rules.ts";
import type { RuleConfig } from "../pipeline/types.ts";

/**
 * Hosts and ports that a rule is for, enough of them to see whether two rules meet: two do when a sample of one is
 * admitted by the other. `undefined` for a rule that is for every host, or whose pattern has no plain sample.
 */
export function sampleAuthorities({ host, cidr }: RuleConfig): readonly Authority[] | undefined {
  try {
    if (host) {
      const pattern = compileHostPattern(host);
      const hosts = sampleHosts(pattern.host);
      const ports = typeof pattern.port === "number" ? [pattern.port] : Object.values(defaultPorts);
      return hosts?.flatMap((one) => ports.map((port) => makeAuthority(one, port)));
    }
    const address = parseHost(cidr?.split("/")[0] ?? "");
    return Object.values(defaultPorts).map((port) => makeAuthority(address, port));
  } catch {
    return undefined; // reported where the rule was compiled
  }
}

function sampleHosts(matcher: HostMatcher): readonly Host[] | undefined {
  switch (matcher.kind) {
    case "exact":
      return [matcher.host];
    case "suffix":
      return [parseHost(matcher.name), parseHost(`sample.${matcher.name}`)];
    case "any":
    case "glob":
      return undefined;
  }
}

/** Some rules, and what they were compiled from. */
interface RuleList {
  readonly configs: readonly RuleConfig[];
  readonly rules: Rules;
}

/** Whether some host and port may be in both lists. */
export function listsMeet(one: RuleList | undefined, other: RuleList | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return reaches(one, other) || reaches(other, one);
}

function reaches(from: RuleList, to: RuleList): boolean {
  return from.configs.some(
    (rule) => sampleAuthorities(rule)?.some((one) => to.rules.admits(one, undefined)) === true,
  );
}

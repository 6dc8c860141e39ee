import type { Host } from "../http/authority.ts";
import { parseCidr } from "../pipeline/cidr.ts";
import { compileHostPattern } from "../pipeline/host-pattern.ts";
import { type HostIndex, type HostScope, indexHosts, someRule } from "../pipeline/rule-index.ts";

/** Label of hosts that no rule is for. */
export const otherHosts = "other";

interface HostClass {
  readonly label: string;
  readonly scope: HostScope;
}

/**
 * Sorts hosts into those of the configuration's rules, for labels of metrics: `api.example.com`, `*.example.com`,
 * `10.0.0.0/8`. A workload chooses the hosts it names, so no name that it sent ever becomes a label (I12).
 */
export class HostClasses {
  readonly #index: HostIndex<HostClass>;

  /** @param patterns hosts and networks as rules write them; what is no pattern is left out */
  constructor(patterns: readonly string[]) {
    this.#index = indexHosts(patterns.flatMap((pattern) => compile(pattern) ?? []));
  }

  /** The label of the narrowest rule for a host: its own name, then the longest suffix, then the rest in order. */
  labelOf(host: Host): string {
    let label = otherHosts;
    someRule(this.#index, host, undefined, (rule) => {
      label = rule.label;
      return true;
    });
    return label;
  }
}

function compile(pattern: string): HostClass | undefined {
  try {
    if (pattern.includes("/")) return { label: pattern, scope: { kind: "cidr", cidr: parseCidr(pattern) } };
    const scope = compileHostPattern(pattern).host;
    return { label: labelOf(scope, pattern), scope };
  } catch {
    return undefined; // reported where the rule was compiled
  }
}

/** The same for all spellings and ports of one pattern. */
function labelOf(scope: HostScope, pattern: string): string {
  switch (scope.kind) {
    case "exact":
      return scope.host.name;
    case "suffix":
      return `*.${scope.name}`;
    case "any":
      return "*";
    case "glob":
    case "cidr":
      return pattern.toLowerCase().replace(/:(?:\d+|\*)$/, "");
  }
}

import type { Host } from "../http/authority.ts";
import { addressBytes } from "../http/ip-literal.ts";
import { cidrContains } from "./cidr.ts";
import type { Cidr } from "./cidr.ts";
import { matchesHost } from "./host-pattern.ts";
import type { HostMatcher } from "./host-pattern.ts";

/** Which hosts a rule is for. */
export type HostScope = HostMatcher | { readonly kind: "cidr"; readonly cidr: Cidr };

/** Rules sorted by what finds them, so that thousands of hosts cost one look-up and not thousands of globs. */
export interface HostIndex<Rule> {
  readonly exact: ReadonlyMap<string, readonly Rule[]>;
  readonly suffixes: ReadonlyMap<string, readonly Rule[]>;
  /** Lengths of the keys of `suffixes`: only tails as long as one of them are cut off and looked up. */
  readonly suffixLengths: ReadonlySet<number>;
  readonly networks: readonly Rule[];
  /** `*` and globs, tried one by one. */
  readonly others: readonly Rule[];
}

export function indexHosts<Rule extends { readonly scope: HostScope }>(
  rules: readonly Rule[],
): HostIndex<Rule> {
  const of = (kind: HostScope["kind"]) => rules.filter((rule) => rule.scope.kind === kind);
  const exact = Map.groupBy(of("exact"), ({ scope }) => (scope.kind === "exact" ? scope.host.name : ""));
  const suffixes = Map.groupBy(of("suffix"), ({ scope }) => (scope.kind === "suffix" ? scope.name : ""));
  return {
    exact,
    suffixes,
    suffixLengths: new Set([...suffixes.keys()].map((name) => name.length)),
    networks: of("cidr"),
    others: [...of("any"), ...of("glob")],
  };
}

/** Whether any rule for this host accepts the facts. */
export function someRule<Rule extends { readonly scope: HostScope }, Facts>(
  index: HostIndex<Rule>,
  host: Host,
  facts: Facts,
  accepts: (rule: Rule, facts: Facts) => boolean,
): boolean {
  const exact = index.exact.get(host.name);
  if (exact && someOf(exact, facts, accepts)) return true;
  if (index.suffixes.size > 0 && someSuffix(index, host.name, facts, accepts)) return true;
  for (const rule of index.others) if (isFor(rule.scope, host) && accepts(rule, facts)) return true;
  if (index.networks.length === 0 || host.kind === "name") return false;
  return index.networks.some((rule) => isFor(rule.scope, host) && accepts(rule, facts));
}

/** A network holds hosts that are literal addresses; names are never resolved to decide. */
export function isFor(scope: HostScope, host: Host): boolean {
  if (scope.kind !== "cidr") return matchesHost(scope, host);
  const address = host.kind === "name" ? undefined : addressBytes(host.name);
  return address !== undefined && cidrContains(scope.cidr, address);
}

function someSuffix<Rule, Facts>(
  index: HostIndex<Rule>,
  name: string,
  facts: Facts,
  accepts: (rule: Rule, facts: Facts) => boolean,
): boolean {
  for (let start = 0; ; ) {
    if (index.suffixLengths.has(name.length - start)) {
      const rules = index.suffixes.get(name.slice(start));
      if (rules && someOf(rules, facts, accepts)) return true;
    }
    const dot = name.indexOf(".", start);
    if (dot < 0) return false;
    start = dot + 1;
  }
}

function someOf<Rule, Facts>(
  rules: readonly Rule[],
  facts: Facts,
  accepts: (rule: Rule, facts: Facts) => boolean,
): boolean {
  for (const rule of rules) if (accepts(rule, facts)) return true;
  return false;
}

import type { Path } from "../config/issues.ts";
import type { Authority } from "../http/authority.ts";
import type { RuleConfig, TunnelRequest } from "../pipeline/types.ts";
import type { BuiltEntry, RuleList } from "./build-transforms.ts";
import { warnOfHeaderFilters } from "./header-filters.ts";
import { listsMeet, sampleAuthorities } from "./sample-authorities.ts";

type Warn = (path: Path, message: string) => void;

/** Warns of what is legal in each entry and yet suspicious in their company. */
export function crossCheck(built: readonly BuiltEntry[], warn: Warn): void {
  warnOfUnreachable(built, warn);
  warnOfHeaderFilters(built, warn);
  warnOfPlaceholders(built, warn);
}

/** A credential for a host that policy refuses is never used: one of the two has a slip of the pen. */
function warnOfUnreachable(built: readonly BuiltEntry[], warn: Warn): void {
  const policies = built.filter(({ transform }) => transform.onTunnel !== undefined);
  if (policies.length === 0) return;
  const allowed = policies.flatMap(({ ruleLists }) => ruleLists.flatMap(({ configs }) => configs));
  for (const { kind, ruleLists, config } of built) {
    if (!kind.credential) continue;
    for (const { path, configs, rules } of ruleLists) {
      for (const [index, rule] of configs.entries()) {
        const samples = sampleAuthorities(rule);
        if (samples === undefined || samples.some((one) => admittedByAll(policies, one))) continue;
        // The rule may be wider than the allowlist: then something allowed is in it.
        if (
          isPattern(rule) &&
          allowed.some(
            (other) => sampleAuthorities(other)?.some((one) => rules.admits(one, undefined)) !== false,
          )
        ) {
          continue;
        }
        const host = rule.host || rule.cidr;
        const credential = path[0] === "tools" ? declaredName(config, path) : "this credential";
        const message = `the allowlist refuses ${host}, so ${credential} is never used there`;
        warn([...path, index, rule.host ? "host" : "cidr"], message);
      }
    }
  }
}

/** What a credential that a tool declares is read from: its file and line alone say too little. */
function declaredName(config: unknown, path: Path): string {
  const element = path
    .slice(3, -1)
    .reduce<unknown>((value, step) => Reflect.get(value as object, step), config);
  const text = JSON.stringify(element);
  return /"(?:secret_ref|var)":"([^"\\]+)"/.exec(text)?.[1] ?? "this credential";
}

function isPattern({ host, cidr }: RuleConfig): boolean {
  return cidr !== undefined || host?.includes("*") === true;
}

function admittedByAll(policies: readonly BuiltEntry[], authority: Authority): boolean {
  const tunnel: TunnelRequest = {
    kind: "connect",
    authority,
    remoteAddress: "",
    caller: undefined,
    annotate: () => {},
  };
  return policies.every(({ transform }) => {
    const verdict = transform.onTunnel?.(tunnel);
    return verdict === undefined || verdict instanceof Promise;
  });
}

interface Placeholder {
  readonly text: string;
  readonly entry: number;
  readonly path: Path;
  readonly list: RuleList | undefined;
}

/**
 * Placeholders of one transform are swapped in one pass, longest first (I7), and compared there. Two transforms are
 * two passes: the first may swap a part of what the second looks for.
 */
function warnOfPlaceholders(built: readonly BuiltEntry[], warn: Warn): void {
  const placeholders = built.flatMap((one, entry) => placeholdersOf(one, entry));
  for (const [index, later] of placeholders.entries()) {
    for (const earlier of placeholders.slice(0, index)) {
      if (earlier.entry === later.entry || !listsMeet(earlier.list, later.list)) continue;
      const at = pathOfEntry(earlier.path);
      if (earlier.text === later.text) {
        warn(later.path, `the same placeholder as in ${at} for the same host; the earlier entry is used`);
      } else if (later.text.includes(earlier.text)) {
        const effect = "its transform runs first and swaps that part";
        warn(later.path, `the placeholder of ${at} is part of this one; ${effect}`);
      }
    }
  }
}

function pathOfEntry(path: Path): string {
  return path[0] === "tools" ? "a declared secret" : `transforms[${path[1]}].config.secrets[${path[4]}]`;
}

/** `secrets` entries of a file in their present and their older form. */
function placeholdersOf({ kind, config, entry, ruleLists }: BuiltEntry, index: number): Placeholder[] {
  if (kind.name !== "secrets") return [];
  type Replace = { proxy_value?: string | undefined };
  const { secrets = [] } = config as { secrets?: readonly (Replace & { replace?: Replace })[] };
  return secrets.flatMap((secret, at) => {
    const path = [...entry.path, "config", "secrets", at];
    const text = secret.replace?.proxy_value ?? secret.proxy_value ?? "";
    const list = ruleLists.find((one) => one.path[4] === at);
    const keys = secret.replace === undefined ? ["proxy_value"] : ["replace", "proxy_value"];
    return text === "" ? [] : [{ text, entry: index, path: [...path, ...keys], list }];
  });
}

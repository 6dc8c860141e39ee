import type { Path } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import type { Authority } from "../http/authority.ts";
import { compileRules, type Rules } from "../pipeline/rules.ts";
import type { RuleConfig, Transform } from "../pipeline/types.ts";
import type { BuiltEntry } from "./build-transforms.ts";
import { listsMeet, sampleAuthorities } from "./sample-authorities.ts";

type Report = (severity: "error" | "warning", path: Path, message: string) => void;

/** `tls.passthrough`, compiled. */
export interface Passthrough {
  readonly configs: readonly RuleConfig[];
  readonly rules: Rules;
}

/** Compiles the patterns of `tls.passthrough`; a mistake in one is reported at its place. */
export function compilePassthrough({ tls, proxy }: Config, report: Report): Passthrough {
  const configs = tls.passthrough.map((host) => ({ host }));
  const at = (path: Path): Path => ["tls", "passthrough", ...path.slice(0, 1)];
  const rules = compileRules(configs, {
    ports: proxy.rulePorts,
    callers: "all",
    error: (path, message) => report("error", at(path), message),
    warn: (path, message) => report("warning", at(path), message),
  });
  return { configs, rules };
}

/**
 * What is never opened is given no credential: an entry for such a host is an error, and one that only meets such hosts
 * is suspicious. A pattern whose hosts policy refuses passes nothing, which is said too.
 */
export function checkPassthrough(
  passthrough: Passthrough,
  built: readonly BuiltEntry[],
  transforms: readonly Transform[],
  report: Report,
): void {
  if (passthrough.configs.length === 0) return;
  for (const { kind, ruleLists } of built) {
    if (!kind.credential) continue;
    for (const { path, configs, rules } of ruleLists) {
      for (const [index, rule] of configs.entries()) {
        const place = [...path, index, rule.host ? "host" : "cidr"];
        const name = rule.host || rule.cidr || "";
        if (isInside(rule, passthrough)) {
          const message = `tls.passthrough lets ${name} through unopened, so this credential would never be attached`;
          report("error", place, `${message}; take one of the two out`);
        } else if (listsMeet({ configs: [rule], rules }, passthrough)) {
          const message = `tls.passthrough lets some of ${name} through unopened; there`;
          report("warning", place, `${message} this credential is never attached`);
        }
      }
    }
  }
  for (const [index, rule] of passthrough.configs.entries()) {
    const samples = sampleAuthorities(rule);
    if (samples === undefined || samples.some((one) => isAdmitted(transforms, one))) continue;
    const message = `policy refuses ${rule.host}, so nothing of it is passed through; allow it in the allowlist`;
    report("warning", ["tls", "passthrough", index], message);
  }
}

/** Everything that a rule is for passes unopened. */
function isInside(rule: RuleConfig, { configs, rules }: Passthrough): boolean {
  if (configs.some(({ host }) => host === rule.host)) return true;
  if (rule.host?.includes("*") === true) return false;
  return sampleAuthorities(rule)?.every((one) => rules.admits(one, undefined)) === true;
}

function isAdmitted(transforms: readonly Transform[], authority: Authority): boolean {
  const tunnel = {
    kind: "sni",
    authority,
    remoteAddress: "",
    caller: undefined,
    annotate: () => {},
  } as const;
  return transforms.every((transform) => {
    const verdict = transform.onTunnel?.(tunnel);
    return verdict === undefined || verdict instanceof Promise;
  });
}

/** Whether TLS for a host and port passes as it is, and by which setting; `undefined` where it is opened. */
export type Unopened = (authority: Authority) => "sni-only" | "passthrough" | undefined;

/** @param passthrough the patterns of `tls.passthrough` */
export function unopenedBy({ tls }: Config, passthrough: Rules): Unopened {
  if (tls.mode === "sni-only") return () => "sni-only";
  if (passthrough.size === 0) return () => undefined;
  return (authority) => (passthrough.admits(authority, undefined) ? "passthrough" : undefined);
}

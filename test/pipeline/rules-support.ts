import assert from "node:assert/strict";
import { parseAuthority } from "../../src/http/authority.ts";
import { compileRules } from "../../src/pipeline/rules.ts";
import type { Rules } from "../../src/pipeline/rules.ts";
import type { RuleConfig } from "../../src/pipeline/types.ts";

export interface Compiled {
  readonly rules: Rules;
  /** `path: message`. */
  readonly errors: string[];
  readonly warnings: string[];
}

/** Compiles rules and keeps what it says of them. */
export function compile(
  configs: readonly RuleConfig[] | undefined,
  ports: "scheme" | "any" = "scheme",
): Compiled {
  const errors: string[] = [];
  const warnings: string[] = [];
  const rules = compileRules(configs, {
    ports,
    callers: "unlimited",
    error: (path, message) => errors.push(`${path.join(".")}: ${message}`),
    warn: (path, message) => warnings.push(`${path.join(".")}: ${message}`),
  });
  return { rules, errors, warnings };
}

/** Rules of a configuration that must have no mistake. */
export function sound(configs: readonly RuleConfig[], ports: "scheme" | "any" = "scheme"): Rules {
  const { rules, errors } = compile(configs, ports);
  assert.deepEqual(errors, []);
  return rules;
}

/** What rules are asked about a request. */
export function facts(authority: string, method = "GET", path = "/") {
  return { authority: parseAuthority(authority, 443), method, path, caller: undefined };
}

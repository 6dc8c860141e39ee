import { variablesOf } from "../../config/environment.ts";
import { configKeys } from "../../config/schema.ts";
import type { Config, TransformEntry } from "../../config/types.ts";
import type { SecretHandle } from "../../sources/types.ts";
import type { Transform } from "../../pipeline/types.ts";
import { credentialVariables } from "../credential-variables.ts";
import { shapedPlaceholder } from "../../tools/shaped-placeholder.ts";

/**
 * What the child finds in each variable that an `env` source reads: the placeholder of the entry that swaps it, else
 * one of the value's shape. Variables that are not set are left out.
 */
export function placeholdersOf(
  transforms: readonly TransformEntry[],
  env: NodeJS.ProcessEnv,
): Map<string, string> {
  const found = new Map<string, string | undefined>();
  for (const { config } of transforms) findSources(config, undefined, found);
  const placeholders = new Map<string, string>();
  for (const [variable, placeholder] of found) {
    const value = env[variable] ?? "";
    if (value !== "") placeholders.set(variable, placeholder ?? shapedPlaceholder(value));
  }
  return placeholders;
}

/** Sources stand wherever a kind of transform wants them; each is a mapping with a type. */
function findSources(
  data: unknown,
  placeholder: string | undefined,
  found: Map<string, string | undefined>,
): void {
  if (typeof data !== "object" || data === null) return;
  const { type, var: variable, replace, proxy_value: legacy } = data as Record<string, unknown>;
  if (type === "env" && (typeof variable === "string" || typeof variable === "number")) {
    const name = String(variable);
    found.set(name, found.get(name) ?? placeholder);
  }
  const own = textOf((replace as { proxy_value?: unknown } | undefined)?.proxy_value) ?? textOf(legacy);
  for (const [key, value] of Object.entries(data)) {
    findSources(value, key === "source" ? own : undefined, found);
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/**
 * Variables that the child must not have: what sources and mechanisms read, and what configures the proxy itself,
 * which may hold the password of a proxy further on (attack 51).
 */
export function withheldVariables(
  config: Config,
  transforms: readonly Transform[],
  others: readonly SecretHandle[],
): Set<string> {
  const withheld = credentialVariables(config, transforms, others);
  for (const { variables = [] } of transforms) for (const name of variables) withheld.add(name);
  for (const key of configKeys()) for (const name of variablesOf(key)) withheld.add(name);
  return withheld;
}

import type { TransformEntry } from "../config/types.ts";
import { shapedFor } from "./shaped.ts";
import type { SandboxPlaceholder } from "./types.ts";

/** What a configuration's own `secrets` entries want of a sandbox's environment. */
export interface WrittenPlaceholders {
  /** One for each variable, in the order of the file. */
  readonly placeholders: readonly SandboxPlaceholder[];
  /** Entries whose placeholder has no variable: where they stand. */
  readonly unnamed: readonly string[];
}

/**
 * Placeholders of `secrets` entries that are written by hand. The variable is the one the credential is read from, else
 * the title of its 1Password item, else the placeholder itself where that is the name of a variable.
 * @param shaped whether entries that set a header of their own show a text like a key
 */
export function writtenPlaceholders(
  transforms: readonly TransformEntry[],
  shaped: boolean,
): WrittenPlaceholders {
  const placeholders = new Map<string, SandboxPlaceholder>();
  const unnamed: string[] = [];
  for (const { name: kind, config, path } of transforms) {
    if (kind !== "secrets" || path[0] !== "transforms") continue;
    const { secrets } = mapping(config);
    for (const [index, entry] of list(secrets).entries()) {
      const { source, inject, replace, proxy_value: legacy, rules } = mapping(entry);
      const chosen = text(mapping(replace)["proxy_value"]) ?? text(legacy);
      if (chosen === undefined && inject === undefined) continue; // an error, reported where it is built
      const name = nameOf(mapping(source)) ?? (isVariable(chosen) ? chosen : undefined);
      if (name === undefined) {
        if (chosen !== undefined) unnamed.push(`transforms[${path[1]}].config.secrets[${index}]`);
        continue;
      }
      const hosts = list(rules).flatMap((rule) => text(mapping(rule)["host"]) ?? []);
      // A rule without tools is for nobody who is limited to some.
      const tools = list(rules).flatMap((rule) =>
        list(mapping(rule)["tools"]).flatMap((tool) => text(tool) ?? []),
      );
      const known = placeholders.get(name);
      if (known?.mode === "replace" || (known !== undefined && chosen === undefined)) continue;
      placeholders.set(name, {
        name,
        placeholder: chosen ?? (shaped ? shapedFor(name, hosts) : name),
        mode: chosen === undefined ? "inject" : "replace",
        hosts,
        tools: [...new Set(tools)].sort(),
      });
    }
  }
  return { placeholders: [...placeholders.values()], unnamed };
}

function nameOf(source: Readonly<Record<string, unknown>>): string | undefined {
  const { type, var: variable, secret_ref: reference } = source;
  if (type === "env") return text(variable);
  if (type !== "1password" && type !== "1password_connect") return undefined;
  const item = /^op:\/\/[^/]+\/([^/]+)\//.exec(text(reference) ?? "")?.[1];
  return isVariable(item) ? item : undefined;
}

function isVariable(name: string | undefined): boolean {
  return name !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

function mapping(data: unknown): Readonly<Record<string, unknown>> {
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
}

function list(data: unknown): readonly unknown[] {
  return Array.isArray(data) ? data : [];
}

function text(data: unknown): string | undefined {
  return typeof data === "string" && data !== "" ? data : undefined;
}

import type { SandboxPlaceholder, Tool } from "./types.ts";

/**
 * The variables that a sandbox gets for what these tools declare, sorted by name; never a value. Entries that set a
 * header of their own have one too: a program that finds no key takes itself for unconfigured and asks nothing.
 *
 * Where one name is declared several times, a placeholder that is swapped counts before one that is not, and the first
 * tool by name before the others.
 */
export function sandboxPlaceholders(tools: readonly Tool[]): readonly SandboxPlaceholder[] {
  const found = new Map<string, SandboxPlaceholder>();
  for (const tool of [...tools].sort((one, other) => (one.name < other.name ? -1 : 1))) {
    for (const entry of tool.secrets) {
      if (entry.type !== "http") continue;
      const { name, mode, hosts } = entry;
      const placeholder = entry.mode === "replace" ? entry.placeholder : name;
      const known = found.get(name);
      const base =
        known === undefined || (known.mode === "inject" && mode === "replace")
          ? { placeholder, mode }
          : known;
      found.set(name, {
        name,
        placeholder: base.placeholder,
        mode: base.mode,
        hosts: union(known?.hosts, hosts),
        tools: union(known?.tools, [tool.name]),
      });
    }
  }
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

function union(one: readonly string[] | undefined, other: readonly string[]): readonly string[] {
  return [...new Set([...(one ?? []), ...other])].sort();
}

import { isBelow } from "./draft.ts";
import type { Issue, Locate, Path } from "./issues.ts";
import { nearest } from "./nearest.ts";
import { configKeys, type Key } from "./schema.ts";

/** Keys that iron-proxy's `IRON_*` variables override; `SALLYPORT_*` names every key with a plain value. */
const ironKeys: ReadonlySet<string> = new Set([
  "dns.enabled",
  "dns.listen",
  "dns.proxy_ip",
  "dns.upstream_resolver",
  "proxy.http_listen",
  "proxy.https_listen",
  "proxy.tunnel_listen",
  "proxy.max_request_body_bytes",
  "proxy.max_response_body_bytes",
  "proxy.upstream_response_header_timeout",
  "tls.mode",
  "tls.ca_cert",
  "tls.ca_key",
  "tls.cert_cache_size",
  "tls.leaf_cert_expiry_hours",
  "metrics.listen",
  "management.listen",
  "control_plane.poll_interval",
  "log.level",
]);

const prefix = "SALLYPORT_";

/** Variables that programs agree on; the first one set counts, as in Go's net/http. */
const sharedVariables: Readonly<Record<string, readonly string[]>> = {
  "proxy.upstream_proxy.http_proxy": ["HTTP_PROXY", "http_proxy"],
  "proxy.upstream_proxy.https_proxy": ["HTTPS_PROXY", "https_proxy"],
  "proxy.upstream_proxy.no_proxy": ["NO_PROXY", "no_proxy"],
};

/** Variables that override a key, strongest first. */
export function variablesOf(key: Key): readonly string[] {
  if (key.type === "section" || key.type === "list" || key.type === "any") return [];
  const path = key.path.join(".");
  const name = key.path.join("_").toUpperCase();
  const iron = ironKeys.has(path) ? [`IRON_${name}`] : [];
  return [`${prefix}${name}`, ...iron, ...(sharedVariables[path] ?? [])];
}

/** A value that an environment variable, or an option of a command line, gives to a key. */
export interface Override {
  readonly path: readonly string[];
  /** Name of the variable or option, for messages. */
  readonly variable: string;
  readonly value: unknown;
}

/**
 * Reads the variables that override keys of the file. An empty variable counts as unset.
 * @returns issues for variables whose text does not fit the key, and for near misses of a known name
 */
export function readOverrides(env: NodeJS.ProcessEnv): { overrides: Override[]; issues: Issue[] } {
  const overrides: Override[] = [];
  const issues: Issue[] = [];
  const known = new Set<string>();
  for (const key of configKeys()) {
    const variables = variablesOf(key);
    for (const variable of variables) known.add(variable);
    const variable = variables.find((name) => (env[name] ?? "") !== "");
    if (variable === undefined) continue;
    const value = convert(key, env[variable] ?? "");
    if (value !== undefined) overrides.push({ path: key.path, variable, value });
    else issues.push(variableIssue("error", variable, key.path, mismatch(key.type)));
  }
  const ownNames = [...known]
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length));
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith(prefix) || known.has(variable) || env[variable] === "") continue;
    const meant = nearest(variable.slice(prefix.length), ownNames);
    if (meant !== undefined && Math.abs(prefix.length + meant.length - variable.length) <= 2) {
      issues.push(
        variableIssue("warning", variable, [], `no such variable; did you mean ${prefix}${meant}?`),
      );
    }
  }
  return { overrides, issues };
}

/** Puts the values into the data of a file, which is changed. */
export function applyOverrides(data: Record<string, unknown>, overrides: readonly Override[]): void {
  for (const { path, value } of overrides) {
    let section = data;
    for (const step of path.slice(0, -1)) {
      const below = section[step];
      const usable = typeof below === "object" && below !== null && !Array.isArray(below);
      if (!usable && below !== undefined && below !== null) return; // reported by the schema: not a mapping
      section[step] = usable ? below : {};
      section = section[step] as Record<string, unknown>;
    }
    section[path.at(-1) as string] = value;
  }
}

/** Points at the variable where one gave the value, and into the file otherwise. */
export function locateOverrides(locate: Locate, overrides: readonly Override[]): Locate {
  return (path, part) => {
    const found = overrides.find((override) => isBelow(path, override.path));
    return found === undefined ? locate(path, part) : { line: 0, column: 0, variable: found.variable };
  };
}

/** By the grammar of Go's strconv, which iron-proxy reads its variables with. */
function convert(key: Key, text: string): string | number | boolean | undefined {
  switch (key.type) {
    case "boolean":
      if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
      return ["0", "f", "F", "FALSE", "false", "False"].includes(text) ? false : undefined;
    case "integer":
    case "integer or text":
      if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
      return key.type === "integer" ? undefined : text;
    default:
      return text;
  }
}

function mismatch(type: Key["type"]): string {
  return type === "boolean" ? "must be true or false" : "must be a whole number";
}

function variableIssue(severity: Issue["severity"], variable: string, path: Path, message: string): Issue {
  return { severity, file: variable, line: 0, column: 0, path: [...path], message };
}

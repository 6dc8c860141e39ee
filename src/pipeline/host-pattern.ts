import { AuthorityError, checkLabel, hostFromConfig, isLoopbackHost, isNumeric } from "../http/authority.ts";
import type { Host } from "../http/authority.ts";
import { compileGlob, literalOf, matchGlob, PatternError } from "./glob.ts";
import type { Glob } from "./glob.ts";

/** A host as rules, `domains:` and DNS passthrough name it, compiled. */
export interface HostPattern {
  readonly host: HostMatcher;
  /** `undefined` when none was written. */
  readonly port: number | "any" | undefined;
}

export type HostMatcher =
  /** `*`: every name and every address. */
  | { readonly kind: "any" }
  | { readonly kind: "exact"; readonly host: Host }
  /** `*.example.com`: names below it at any depth, and the name itself. */
  | { readonly kind: "suffix"; readonly name: string }
  /** One glob for each label; with `deeper` any labels may come before. */
  | {
      readonly kind: "glob";
      readonly labels: readonly Glob[];
      readonly deeper: boolean;
      readonly of: "name" | "ipv4";
    };

/**
 * Compiles a host pattern, label by label, so that no wildcard reaches across a dot (attack 6): `*`,
 * `api.example.com`, `*.example.com`, `git*.example.com`, `api.*.com`, `192.0.2.*`, `[2001:db8::1]`; each may be
 * followed by `:port` or `:*`.
 *
 * @param warn told of patterns that are legal but reach further, or less far, than they look
 * @throws PatternError
 */
export function compileHostPattern(text: string, warn: (message: string) => void = () => {}): HostPattern {
  try {
    const { hostText, port } = splitPort(text);
    const host = compileHost(hostText);
    const warning = suspicion(hostText, host);
    if (warning !== undefined) warn(`host ${JSON.stringify(text)} ${warning}`);
    return { host, port };
  } catch (error) {
    if (!(error instanceof PatternError || error instanceof AuthorityError)) throw error;
    throw new PatternError(`host ${JSON.stringify(text)}: ${error.message}`);
  }
}

export function matchesHost(matcher: HostMatcher, host: Host): boolean {
  switch (matcher.kind) {
    case "any":
      return true;
    case "exact":
      return matcher.host.name === host.name;
    case "suffix":
      return isUnder(host.name, matcher.name);
    case "glob":
      return matcher.of === host.kind && matchesLabels(matcher.labels, matcher.deeper, host.name);
  }
}

/** Whether a pattern without a port means every port, as it does for addresses and for this machine (I6). */
export function meansEveryPort(matcher: HostMatcher): boolean {
  switch (matcher.kind) {
    case "any":
      return false;
    case "exact":
      return matcher.host.kind !== "name" || isLoopbackHost(matcher.host);
    case "suffix":
      return isUnder(matcher.name, "localhost");
    case "glob":
      return matcher.of === "ipv4" || literalOf(matcher.labels.at(-1) ?? []) === "localhost";
  }
}

function isUnder(name: string, suffix: string): boolean {
  if (!name.endsWith(suffix)) return false;
  return name.length === suffix.length || name[name.length - suffix.length - 1] === ".";
}

function matchesLabels(globs: readonly Glob[], deeper: boolean, name: string): boolean {
  const labels = name.split(".");
  const extra = labels.length - globs.length;
  if (extra < 0 || (extra > 0 && !deeper)) return false;
  return globs.every((glob, index) => matchGlob(glob, labels[index + extra] as string));
}

function splitPort(text: string): { hostText: string; port: number | "any" | undefined } {
  if (/[/\\]/.test(text))
    throw new PatternError("this is not a host alone; leave out the scheme and the path");
  if (text.includes("@")) throw new PatternError("user information cannot stand before a host");
  const colon = text.lastIndexOf(":");
  const bareIpv6 = !text.startsWith("[") && text.indexOf(":") !== colon;
  if (colon < 0 || bareIpv6 || colon < text.lastIndexOf("]")) return { hostText: text, port: undefined };
  return { hostText: text.slice(0, colon), port: parsePort(text.slice(colon + 1)) };
}

function parsePort(text: string): number | "any" {
  if (text === "*") return "any";
  if (!/^[1-9][0-9]{0,4}$/.test(text) || Number(text) > 65535) {
    throw new PatternError("the port must be a number from 1 to 65535, or * for every port");
  }
  return Number(text);
}

function compileHost(text: string): HostMatcher {
  // Brackets around an address; anywhere else they are a class.
  if (/^\[.*:.*\]$/.test(text) || !/[*?[\]]/.test(text)) return { kind: "exact", host: hostFromConfig(text) };
  const pattern = (text.endsWith(".") ? text.slice(0, -1) : text).replace(/\*{2,}/g, "*");
  if (pattern === "*") return { kind: "any" };
  const deeper = pattern.startsWith("*.");
  const rest = deeper ? pattern.slice(2) : pattern;
  if (deeper && !/[*?[\]]/.test(rest)) {
    const host = hostFromConfig(rest);
    if (host.kind !== "name") throw new PatternError("nothing can stand below an IP address");
    return { kind: "suffix", name: host.name };
  }
  const labels = rest.split(".").map(compileLabel);
  const last = literalOf(labels.at(-1) ?? []);
  const numeric = /^[0-9*?.]+$/.test(pattern) && /[0-9]/.test(pattern);
  if (numeric ? labels.length !== 4 : last !== undefined && isNumeric(last)) {
    throw new PatternError(
      "an address with wildcards needs four parts (10.0.0.*); a network is written with cidr",
    );
  }
  return { kind: "glob", labels, deeper, of: numeric ? "ipv4" : "name" };
}

function compileLabel(text: string): Glob {
  if (!/[*?[\]]/.test(text)) {
    // A label of an internationalised name becomes its xn-- form, and must still be one label.
    const label = /^[\0-\x7f]*$/.test(text) ? text.toLowerCase() : hostFromConfig(text).name;
    checkLabel(label);
    return compileGlob(label);
  }
  const label = text.toLowerCase();
  if (!/^[a-z0-9_*?[\]^-]+$/.test(label)) {
    throw new PatternError(
      "a label with a wildcard has a character that no name may have (write the xn-- form)",
    );
  }
  return compileGlob(label);
}

/** Top-level names that belong to whoever runs the network, so that everything under them is one owner's. */
const privateTopLevels = new Set(["localhost", "internal", "local", "test", "lan", "corp", "home"]);

function suspicion(text: string, matcher: HostMatcher): string | undefined {
  if (matcher.kind === "any") return "matches every host; name the hosts that are needed";
  if (matcher.kind === "suffix") {
    if (matcher.name.includes(".") || privateTopLevels.has(matcher.name)) return undefined;
    return `matches every name under .${matcher.name}`;
  }
  if (matcher.kind !== "glob" || matcher.of === "ipv4") return undefined;
  const oneLabel = matcher.labels.length === 1 && !matcher.deeper;
  if (oneLabel) return "matches names of one label only, because a * does not cross a dot";
  if (literalOf(matcher.labels.at(-1) ?? []) === undefined) {
    return "leaves the top-level domain open: anyone can register a name that it matches";
  }
  if (/^\*+[^.*]/.test(text) && matcher.labels.length === 2) {
    return `also matches look-alike names; for everything below write *.${text.replace(/^\*+/, "")}`;
  }
  return undefined;
}

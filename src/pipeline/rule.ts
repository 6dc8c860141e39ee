import { parseCidr } from "./cidr.ts";
import { PatternError } from "./glob.ts";
import { compileHostPattern, meansEveryPort } from "./host-pattern.ts";
import { compilePathPattern, matchesPath } from "./path-pattern.ts";
import type { PathPattern } from "./path-pattern.ts";
import type { HostScope } from "./rule-index.ts";
import type { ConfigPath, RuleConfig } from "./types.ts";

export interface RuleOptions {
  /** What a rule without a port means: the ports of http and https, or every port (I6). */
  readonly ports: "scheme" | "any";
  /** Told of each mistake; a rule that has one matches nothing. */
  error(path: ConfigPath, message: string): void;
  warn(path: ConfigPath, message: string): void;
}

/** One rule, compiled. It matches when its scope, port, methods and paths all do. */
export interface Rule {
  /** As it stands in the configuration, for people; empty where nothing is said. */
  readonly written: { readonly host: string; readonly methods: string; readonly paths: string };
  readonly scope: HostScope;
  readonly port: number | "scheme" | "any";
  readonly methods: ReadonlySet<string> | "all";
  readonly paths: readonly PathPattern[] | "all";
}

/** @returns `undefined` when a mistake was reported; paths reported are relative to the rule: `["paths", 0]` */
export function compileRule(config: RuleConfig, options: RuleOptions): Rule | undefined {
  const reach = compileReach(config, options);
  const methods = compileMethods(config.methods, options);
  const paths = compilePaths(config.paths, options);
  if (!reach || !methods || !paths) return undefined;
  const written = {
    host: config.host || config.cidr || "",
    methods: methods === "all" ? "" : [...methods].join(", "),
    paths: config.paths?.join(", ") ?? "",
  };
  return { written, ...reach, methods, paths };
}

/** As a person would say it: `*.example.com GET /v1/*`. */
export function ruleText({ written }: Rule): string {
  return [written.host, written.methods, written.paths].filter((part) => part !== "").join(" ");
}

/** Rules that match the same requests have the same identity, however they are written. */
export function identityOf({ scope, port, methods, paths }: Rule): string {
  return JSON.stringify([
    scope,
    port,
    methods === "all" ? methods : [...methods].sort(),
    paths === "all" ? paths : paths.map((path) => JSON.stringify(path)).sort(),
  ]);
}

export function acceptsPort(rule: Rule, port: number): boolean {
  if (rule.port === "scheme") return port === 443 || port === 80;
  return rule.port === "any" || rule.port === port;
}

/** Methods are compared as sent: they are case-sensitive (RFC 9110 section 9.1). */
export function acceptsMethod(rule: Rule, method: string): boolean {
  return rule.methods === "all" || rule.methods.has(method);
}

/** @param path canonical (I3) */
export function acceptsPath(rule: Rule, path: string): boolean {
  if (rule.paths === "all") return true;
  for (const pattern of rule.paths) if (matchesPath(pattern, path)) return true;
  return false;
}

function compileReach(config: RuleConfig, options: RuleOptions): Pick<Rule, "scope" | "port"> | undefined {
  const { host, cidr } = config;
  if (host && cidr) {
    options.error([], "host and cidr are mutually exclusive");
    return undefined;
  }
  if (cidr) {
    const scope = orReport(["cidr"], options, () => ({ kind: "cidr" as const, cidr: parseCidr(cidr) }));
    if (scope?.cidr.bits === 0)
      options.warn(["cidr"], `cidr ${JSON.stringify(cidr)} holds every address of its kind`);
    return scope && { scope, port: "any" };
  }
  if (!host) {
    options.error([], "one of host or cidr is required");
    return undefined;
  }
  const warn = (message: string) => options.warn(["host"], message);
  const pattern = orReport(["host"], options, () => compileHostPattern(host, warn));
  if (!pattern) return undefined;
  const unwritten = options.ports === "any" || meansEveryPort(pattern.host) ? "any" : "scheme";
  return { scope: pattern.host, port: pattern.port ?? unwritten };
}

function compileMethods(
  methods: readonly string[] | undefined,
  options: RuleOptions,
): Rule["methods"] | undefined {
  if (!methods?.length || (methods.length === 1 && methods[0] === "*")) return "all";
  let valid = true;
  for (const [at, method] of methods.entries()) {
    if (method === "*") {
      options.warn(
        ["methods", at],
        "* beside other methods is no wildcard; leave methods out to allow all of them",
      );
    } else if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(method)) {
      options.error(["methods", at], `method ${JSON.stringify(method)} is not a token such as GET`);
      valid = false;
    }
  }
  return valid ? new Set(methods.map((method) => method.toUpperCase())) : undefined;
}

function compilePaths(paths: readonly string[] | undefined, options: RuleOptions): Rule["paths"] | undefined {
  if (!paths?.length) return "all";
  const patterns = paths.map((path, at) => {
    if (/\?[^/]*=/.test(path)) {
      options.warn(
        ["paths", at],
        "a ? in a path stands for one character; the query is never part of the path",
      );
    }
    return orReport(["paths", at], options, () => compilePathPattern(path));
  });
  return patterns.every((pattern) => pattern !== undefined) ? patterns : undefined;
}

function orReport<T>(path: ConfigPath, options: RuleOptions, compile: () => T): T | undefined {
  try {
    return compile();
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    options.error(path, error.message);
    return undefined;
  }
}

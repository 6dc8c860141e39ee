import { parseCidr } from "./cidr.ts";
import { PatternError } from "./glob.ts";
import { compileHostPattern, meansEveryPort } from "./host-pattern.ts";
import { compilePathPattern, matchesPath } from "./path-pattern.ts";
import type { PathPattern } from "./path-pattern.ts";
import type { HostScope } from "./rule-index.ts";
import type { Caller, ConfigPath, RuleConfig } from "./types.ts";

export interface RuleOptions {
  /** What a rule without a port means: the ports of http and https, or every port (I6). */
  readonly ports: "scheme" | "any";
  /**
   * Callers that a rule without `tools` is for. A policy is for all of them; a credential that no tool has declared
   * is not for a caller who is limited to tools.
   */
  readonly callers: "all" | "unlimited";
  /** Told of each mistake; a rule that has one matches nothing. */
  error(path: ConfigPath, message: string): void;
  warn(path: ConfigPath, message: string): void;
}

/** One rule, compiled. It matches when its scope, port, methods, paths and tools all do. */
export interface Rule {
  /** As it stands in the configuration, for people; empty where nothing is said. */
  readonly written: {
    readonly host: string;
    readonly methods: string;
    readonly paths: string;
    readonly tools: string;
  };
  readonly scope: HostScope;
  readonly port: number | "scheme" | "any";
  readonly methods: ReadonlySet<string> | "all";
  readonly paths: readonly PathPattern[] | "all";
  /** Limited callers need one of them; with `all` they need none, with none nothing helps them. */
  readonly tools: ReadonlySet<string> | "all";
}

/** @returns `undefined` when a mistake was reported; paths reported are relative to the rule: `["paths", 0]` */
export function compileRule(config: RuleConfig, options: RuleOptions): Rule | undefined {
  const reach = compileReach(config, options);
  const methods = compileMethods(config.methods, options);
  const paths = compilePaths(config.paths, options);
  const tools = compileTools(config.tools, options);
  if (!reach || !methods || !paths || !tools) return undefined;
  const written = {
    host: config.host || config.cidr || "",
    methods: methods === "all" ? "" : [...methods].join(", "),
    paths: config.paths?.join(", ") ?? "",
    tools: config.tools?.join(", ") ?? "",
  };
  return { written, ...reach, methods, paths, tools };
}

/** As a person would say it: `*.example.com GET /v1/*`, `*.example.com for search`. */
export function ruleText({ written }: Rule): string {
  const { host, methods, paths, tools } = written;
  return [host, methods, paths, tools && `for ${tools}`].filter((part) => part !== "").join(" ");
}

/** Rules that match the same requests have the same identity, however they are written. */
export function identityOf({ scope, port, methods, paths, tools }: Rule): string {
  return JSON.stringify([
    scope,
    port,
    methods === "all" ? methods : [...methods].sort(),
    paths === "all" ? paths : paths.map((path) => JSON.stringify(path)).sort(),
    tools === "all" ? tools : [...tools].sort(),
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

/** A caller who is not limited to tools, or not known at all, is held back by no rule's tools. */
export function acceptsCaller({ tools }: Rule, caller: Caller | undefined): boolean {
  if (caller?.tools === undefined || tools === "all") return true;
  for (const tool of caller.tools) if (tools.has(tool)) return true;
  return false;
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

function compileTools(tools: RuleConfig["tools"], options: RuleOptions): Rule["tools"] | undefined {
  if (tools === undefined) return options.callers === "all" ? "all" : new Set();
  if (tools.length === 0) {
    options.error(["tools"], "tools names no tool; leave it out where the rule does not depend on tools");
    return undefined;
  }
  const bad = tools.findIndex((tool) => tool.trim() === "");
  if (bad >= 0) options.error(["tools", bad], "the name of a tool is empty");
  return bad >= 0 ? undefined : new Set(tools);
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

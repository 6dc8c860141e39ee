import type { Authority } from "../http/authority.ts";
import {
  acceptsCaller,
  acceptsMethod,
  acceptsPath,
  acceptsPort,
  compileRule,
  identityOf,
  ruleText,
} from "./rule.ts";
import type { Rule, RuleOptions } from "./rule.ts";
import { indexHosts, isFor, someRule } from "./rule-index.ts";
import type { Caller, Exchange, RuleConfig } from "./types.ts";

export type { RuleOptions } from "./rule.ts";

/** The facts a rule decides on; an {@link Exchange} gives them, and so does a test or `explain`. */
export interface RequestFacts {
  readonly authority: Authority;
  readonly method: string;
  /** Canonical path (I3). */
  readonly path: string;
  /** Who asks; `undefined` where nobody has to say. */
  readonly caller: Caller | undefined;
}

/** What every rule decides on, and nothing else does: the same for all transforms (I3). */
export function requestFacts({ authority, client, request }: Exchange): RequestFacts {
  return { authority, method: request.method, path: request.canonicalPath, caller: client.caller };
}

/** Compiled rules of one transform entry. */
export interface Rules {
  /** Number of rules; none never match. */
  readonly size: number;
  /** True when any rule matches host, port, method, path and caller. */
  match(request: RequestFacts): boolean;
  /** True when any rule could match some request of this caller to this host and port (I2). */
  admits(authority: Authority, caller: Caller | undefined): boolean;
  /** True when any rule could match some request of this caller. */
  serves(caller: Caller | undefined): boolean;
  /** For people: the first matching rule as text, or why none did. */
  describe(request: RequestFacts): { readonly matched: boolean; readonly text: string };
}

/**
 * Compiles a list of rules; it matches when any rule does. Paths reported to `options` are relative to the list:
 * `[2, "host"]`.
 */
export function compileRules(configs: readonly RuleConfig[] | undefined, options: RuleOptions): Rules {
  const rules: NumberedRule[] = [];
  const firstAt = new Map<string, number>();
  for (const [at, config] of (configs ?? []).entries()) {
    const rule = compileRule(config, {
      ports: options.ports,
      callers: options.callers,
      error: (path, message) => options.error([at, ...path], message),
      warn: (path, message) => options.warn([at, ...path], message),
    });
    if (!rule) continue;
    rules.push({ ...rule, number: at + 1 });
    const identity = identityOf(rule);
    const first = firstAt.get(identity);
    if (first === undefined) firstAt.set(identity, at);
    else
      options.warn([at], `rule ${at + 1} (${ruleText(rule)}) matches the same requests as rule ${first + 1}`);
  }
  const index = indexHosts(rules);
  return {
    size: rules.length,
    match: (request) => someRule(index, request.authority.host, request, acceptsRequest),
    admits: (authority, caller) =>
      someRule(index, authority.host, { port: authority.port, caller }, acceptsTunnel),
    serves: (caller) => rules.some((rule) => acceptsCaller(rule, caller)),
    describe: (request) => describe(rules, request),
  };
}

interface NumberedRule extends Rule {
  /** Place in the list, from 1. */
  readonly number: number;
}

/** Rules for the right host that `describe` gives a reason for, before it only counts them. */
const maxDescribed = 5;

function acceptsRequest(rule: Rule, { authority, method, path, caller }: RequestFacts): boolean {
  return (
    acceptsPort(rule, authority.port) &&
    acceptsMethod(rule, method) &&
    acceptsPath(rule, path) &&
    acceptsCaller(rule, caller)
  );
}

function acceptsTunnel(rule: Rule, facts: { port: number; caller: Caller | undefined }): boolean {
  return acceptsPort(rule, facts.port) && acceptsCaller(rule, facts.caller);
}

function describe(rules: readonly NumberedRule[], request: RequestFacts): { matched: boolean; text: string } {
  const near = rules.filter((rule) => isFor(rule.scope, request.authority.host));
  const match = near.find((rule) => acceptsRequest(rule, request));
  if (match) return { matched: true, text: `rule ${match.number} (${ruleText(match)}) matches` };
  if (rules.length === 0) return { matched: false, text: "there are no rules" };
  if (near.length === 0)
    return { matched: false, text: `no rule is for the host ${request.authority.host.name}` };
  const reasons = near
    .slice(0, maxDescribed)
    .map((rule) => `rule ${rule.number}: host matches, ${objection(rule, request)}`);
  if (near.length > maxDescribed)
    reasons.push(`${near.length - maxDescribed} more rules for this host do not match`);
  return { matched: false, text: reasons.join("; ") };
}

function objection(rule: Rule, { authority, method, path, caller }: RequestFacts): string {
  if (!acceptsPort(rule, authority.port)) {
    return `port ${authority.port} is not ${rule.port === "scheme" ? "443 or 80" : rule.port}`;
  }
  if (!acceptsMethod(rule, method)) return `method ${method} is not one of ${rule.written.methods}`;
  if (!acceptsPath(rule, path)) return `path ${path} is not one of ${rule.written.paths}`;
  const tools = caller?.tools?.join(", ") || "no tool";
  const whom = rule.written.tools === "" ? "callers who are not limited to tools" : rule.written.tools;
  return `the caller may use ${tools}, and the rule is for ${whom}`;
}

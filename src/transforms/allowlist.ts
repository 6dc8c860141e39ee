import { z } from "zod";
import { overridingMethods } from "../pipeline/method-override.ts";
import { type RequestFacts, requestFacts, type Rules } from "../pipeline/rules.ts";
import type { Rejection, Transform, TransformKind } from "../pipeline/types.ts";
import { rulesSchema } from "./schemas.ts";

const schema = z.strictObject({
  domains: z
    .array(z.string())
    .optional()
    .describe("Hosts that may be reached: `api.example.com`, `*.example.com`."),
  cidrs: z
    .array(z.string())
    .optional()
    .describe("Networks that may be reached, for hosts that are IP addresses."),
  rules: rulesSchema.optional().describe("Requests that may be made: host or network, methods, paths."),
  warn: z
    .boolean()
    .optional()
    .describe("Lets everything pass and notes in the audit what would have been refused."),
});

/** `allowlist`: what may be reached at all. The union of its lists; nothing configured allows nothing. */
export const allowlist: TransformKind<typeof schema> = {
  name: "allowlist",
  credential: false,
  schema,
  build({ domains = [], cidrs = [], rules = [], warn = false }, context) {
    const lists = [
      context.rules(
        ["domains"],
        domains.map((host) => ({ host })),
      ),
      context.rules(
        ["cidrs"],
        cidrs.map((cidr) => ({ cidr })),
      ),
      context.rules(["rules"], rules),
    ].filter((list) => list.size > 0);
    if (domains.length + cidrs.length + rules.length === 0) {
      context.warn([], "the allowlist is empty: every request is refused");
    }
    if (warn) context.warn(["warn"], "`warn: true` refuses nothing; it only notes what would be refused");
    return allowlistTransform(lists, warn);
  },
};

/** Characters of an overriding method that the audit shows. */
const maxMethodShown = 32;

const hostNotAllowed: Rejection = { kind: "reject", status: 403, reason: "host_not_allowed" };
const requestNotAllowed: Rejection = { kind: "reject", status: 403, reason: "request_not_allowed" };

function allowlistTransform(lists: readonly Rules[], warn: boolean): Transform {
  return {
    name: "allowlist",
    // A rule with methods or paths still admits the tunnel to its host: they are decided per request (I2).
    onTunnel(tunnel) {
      if (lists.some((list) => list.admits(tunnel.authority, tunnel.caller))) return undefined;
      return refuse(tunnel, hostNotAllowed, warn);
    },
    onRequest(exchange) {
      const facts = requestFacts(exchange);
      if (matches(lists, facts)) {
        // A POST that says it is a DELETE has to be allowed as both (attack 35).
        const others = overridingMethods(exchange.request);
        if (others.every((method) => matches(lists, { ...facts, method }))) return undefined;
        exchange.annotate(
          "method_override",
          others.map((method) => method.slice(0, maxMethodShown)),
        );
      }
      const admitted = lists.some((list) => list.admits(exchange.authority, exchange.client.caller));
      return refuse(exchange, admitted ? requestNotAllowed : hostNotAllowed, warn);
    },
    explain(exchange) {
      const facts = requestFacts(exchange);
      const described = lists.map((list) => list.describe(facts));
      const matching = described.find(({ matched }) => matched);
      if (matching !== undefined) return [`allowlist: allowed: ${matching.text}`];
      const reasons = described.map(({ text }) => text).join("; ") || "it has no rules";
      return [`allowlist: ${warn ? "would be refused without warn" : "refused"}: ${reasons}`];
    },
  };
}

/** A plain loop: it runs for every request. */
function matches(lists: readonly Rules[], facts: RequestFacts): boolean {
  for (const list of lists) if (list.match(facts)) return true;
  return false;
}

function refuse(
  subject: { annotate(key: string, value: unknown): void },
  rejection: Rejection,
  warn: boolean,
): Rejection | undefined {
  if (!warn) return rejection;
  subject.annotate("action", "warn");
  return undefined;
}

import { lowerCaseName } from "../http/headers.ts";
import { secretsOf } from "./secrets-of.ts";
import type { Entry, PgDsnEntry, Problem, Tool } from "./types.ts";

/** One place of requests to one host that an entry writes to. */
interface Claim {
  readonly tool: string;
  readonly entry: Exclude<Entry, PgDsnEntry>;
  readonly host: string;
  /** What is written, for people: `Authorization`, `the placeholder KEY`. */
  readonly what: string;
  readonly identity: string;
}

/** The order in which types are rendered, and so tried. */
const order: readonly Entry["type"][] = ["http", "gcp_auth", "oauth_token", "hmac_sign", "aws_auth"];

/** Conflicts that are told of one place; a directory of copies has one cause. */
const most = 20;

/**
 * Warns where two entries with different credentials want the same place of the same requests: one of them is never used
 * there by a caller who may use both (I5).
 */
export function conflicts(tools: readonly Tool[]): readonly Problem[] {
  const places = Map.groupBy(tools.flatMap(claimsOf), ({ what }) => what.toLowerCase());
  return [...places.values()].flatMap((claims) => within(claims));
}

function within(claims: readonly Claim[]): readonly Problem[] {
  const sorted = claims.toSorted(
    (one, other) =>
      order.indexOf(one.entry.type) - order.indexOf(other.entry.type) ||
      (one.identity < other.identity ? -1 : 1),
  );
  const problems: Problem[] = [];
  const kept = new Map<string, Claim>();
  const wildcards: Claim[] = [];
  for (const claim of sorted) {
    const isWildcard = claim.host.startsWith("*");
    const others = isWildcard ? [...kept.values()] : [kept.get(claim.host), ...wildcards];
    const other = others.find(
      (one) => one !== undefined && one.identity !== claim.identity && meet(one.host, claim.host),
    );
    if (other !== undefined && problems.length < most) problems.push(conflict(other, claim));
    if (!kept.has(claim.host)) kept.set(claim.host, claim);
    if (isWildcard) wildcards.push(claim);
  }
  return problems;
}

function conflict(used: Claim, { tool, entry, host, what }: Claim): Problem {
  const both = `${used.entry.name} of ${used.tool} wants ${what} of requests to ${host} too`;
  const message = `${both}, comes first and is used there; let one of them go, or limit callers to one of the tools`;
  return { severity: "warning", ...entry.where, tool, entry: entry.name, key: undefined, message };
}

function claimsOf({ name: tool, secrets }: Tool): readonly Claim[] {
  return secrets.flatMap((entry) => {
    if (entry.type === "pg_dsn") return [];
    const identity = JSON.stringify([entry.type, secretsOf(entry)]);
    return [...new Set(entry.hosts)].flatMap((host) =>
      writesOf(entry).map((what): Claim => ({ tool, entry, host: host.toLowerCase(), what, identity })),
    );
  });
}

function writesOf(entry: Exclude<Entry, PgDsnEntry>): readonly string[] {
  switch (entry.type) {
    case "http": {
      if (entry.mode === "replace") return [`the placeholder ${entry.placeholder}`];
      const { target } = entry;
      return [target.kind === "header" ? target.header : `the parameter ${target.parameter}`];
    }
    case "oauth_token":
      return [entry.header ?? "Authorization"];
    case "gcp_auth":
    case "aws_auth":
      return ["Authorization"];
    case "hmac_sign":
      return [...new Set(entry.headers.map(({ name }) => lowerCaseName(name)))];
  }
}

function meet(one: string, other: string): boolean {
  return one === other || covers(one, other) || covers(other, one);
}

/** Whether a pattern such as `*.example.com` is for a host too. */
function covers(pattern: string, host: string): boolean {
  if (pattern === "*") return true;
  return pattern.startsWith("*.") && (host === pattern.slice(2) || host.endsWith(pattern.slice(1)));
}

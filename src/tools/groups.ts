import { type Entry, type PgDsnEntry, type RenderOptions, type SecretRef, type Where } from "./types.ts";

/** An entry with the tool that declares it. */
export interface Candidate {
  readonly tool: string;
  readonly entry: Exclude<Entry, PgDsnEntry>;
}

export interface RenderedRule {
  readonly host: string;
  readonly tools?: readonly string[];
}

/** Entries that are declared alike, rendered as one. */
export interface Group {
  readonly body: Readonly<Record<string, unknown>>;
  readonly rules: readonly RenderedRule[];
  /** The first declaration, by file and line. */
  readonly where: Where;
}

type Body = (entry: Candidate["entry"], options: RenderOptions) => Readonly<Record<string, unknown>>;

interface Member extends Candidate {
  /** What it is sorted and grouped by; says nothing of the source mode, so that the order does not depend on it. */
  readonly key: string;
}

/**
 * Entries of one type, those that differ in nothing but hosts and scopes as one, sorted.
 *
 * Tools that ask for different scopes share a token with the scopes of all, as long as nobody is limited. With `callers`
 * that token is for unlimited callers only, and each set of scopes gets a token of its own: a tool must not gain what
 * another one declares.
 */
export function groupEntries(
  candidates: readonly { readonly tool: string; readonly entry: Entry }[],
  type: Entry["type"],
  options: RenderOptions,
  bodyOf: Body,
): readonly Group[] {
  const neutral: RenderOptions = { ...options, mode: "env" };
  const members = candidates.flatMap(({ tool, entry }): Member[] => {
    if (entry.type !== type || entry.type === "pg_dsn") return [];
    return [{ tool, entry, key: JSON.stringify([sortName(entry), bodyOf(entry, neutral)]) }];
  });
  const groups = Map.groupBy(members, ({ key }) => key);
  return [...groups]
    .sort(([one], [other]) => compare(one, other))
    .flatMap(([, alike]) => byScopes(alike, options, bodyOf));
}

function byScopes(members: readonly Member[], options: RenderOptions, bodyOf: Body): readonly Group[] {
  const [first] = members as readonly [Member, ...Member[]];
  const body = bodyOf(first.entry, options);
  const sets = Map.groupBy(members, ({ entry }) => JSON.stringify(scopesOf(entry)));
  const group = (of: readonly Member[], callers: boolean): Group => {
    const scopes = [...new Set(of.flatMap(({ entry }) => scopesOf(entry)))].sort();
    return {
      body: scopes.length > 0 ? { ...body, scopes } : body,
      rules: rulesOf(of, callers),
      where: firstPlace(of),
    };
  };
  if (!options.callers || sets.size === 1) return [group(members, options.callers)];
  const each = [...sets].sort(([one], [other]) => compare(one, other)).map(([, alike]) => group(alike, true));
  return [group(members, false), ...each];
}

/** With `refresh_token` the scopes were settled when the token was granted. */
function scopesOf(entry: Candidate["entry"]): readonly string[] {
  if (entry.type !== "gcp_auth" && entry.type !== "oauth_token") return [];
  if (entry.type === "oauth_token" && entry.grant === "refresh_token") return [];
  return [...new Set(entry.scopes)].sort();
}

/** One rule for each host, with the tools that declare it. */
function rulesOf(members: readonly Member[], callers: boolean): readonly RenderedRule[] {
  const tools = new Map<string, Set<string>>();
  for (const { tool, entry } of members) {
    for (const host of entry.hosts) tools.set(host, (tools.get(host) ?? new Set()).add(tool));
  }
  return [...tools]
    .sort(([one], [other]) => compare(one, other))
    .map(([host, names]) => (callers ? { host, tools: [...names].sort() } : { host }));
}

function firstPlace(members: readonly Member[]): Where {
  const places = members.map(({ entry }) => entry.where);
  return places.reduce((one, other) => (isBefore(other, one) ? other : one));
}

function isBefore(one: Where, other: Where): boolean {
  return one.file === other.file ? one.line < other.line : one.file < other.file;
}

/** What people look for an entry by: its reference. */
function sortName(entry: Candidate["entry"]): readonly (string | undefined)[] {
  const named = (secret: SecretRef | undefined) => [secret?.ref, secret?.jsonKey];
  switch (entry.type) {
    case "http":
    case "gcp_auth":
      return named(entry.secret);
    case "oauth_token":
      return [entry.tokenEndpoint];
    case "hmac_sign":
      return named(entry.credentials.get("secret"));
    case "aws_auth":
      return named(entry.accessKeyId);
  }
}

/** By code unit: the same on every machine, whatever its language. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

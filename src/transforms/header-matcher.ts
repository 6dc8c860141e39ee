import { RE2JS } from "re2js";
import { lowerCaseName } from "../http/headers.ts";

/** How a header name was matched. */
export interface HeaderMatch {
  /** The spelling the configuration gives it; `undefined` when a pattern matched. */
  readonly spelling: string | undefined;
}

/** Names and patterns of headers, compiled. */
export interface HeaderMatcher {
  /** @param key lower-cased name */
  match(key: string): HeaderMatch | undefined;
}

/** Fields of the connection or the message itself; no credential is written there and no policy removes them. */
const protectedNames = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Fields a workload fills freely and that upstreams log or reflect; "all headers" does not mean them (I7, attack 41). */
const unsearchedNames = new Set(["cookie", "forwarded", "referer", "user-agent"]);

/** True for hop-by-hop and framing fields and for Host. @param key lower-cased name */
export function isProtectedHeader(key: string): boolean {
  return protectedNames.has(key);
}

/**
 * True where no credential may ever be written: protected fields, and the WebSocket handshake, whose answer is a hash
 * of what was sent (attack 30). @param key lower-cased name
 */
export function isForbiddenForCredentials(key: string): boolean {
  return protectedNames.has(key) || key.startsWith("sec-websocket-");
}

const name = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** RFC 9110 section 5.1: a field name is a token. */
export function isHeaderName(text: string): boolean {
  return name.test(text);
}

const byPattern: HeaderMatch = { spelling: undefined };

/** Every header there is. */
export const anyHeader: HeaderMatcher = { match: () => byPattern };

/** The headers that are searched for a placeholder when the configuration names none (I7). */
export const searchedHeaders: HeaderMatcher = {
  match: (key) => (isSearchedByDefault(key) ? byPattern : undefined),
};

function isSearchedByDefault(key: string): boolean {
  return !unsearchedNames.has(key) && !key.startsWith("x-forwarded-") && !isForbiddenForCredentials(key);
}

export interface HeaderMatcherOptions {
  /** What a pattern that matches every name stands for. */
  readonly everything: HeaderMatcher;
  /** Names that patterns do not match, whatever they say; lower case. */
  excluded(key: string): boolean;
  /** An entry that is no name and no pattern. */
  error(index: number, message: string): void;
}

/** Answers kept for names that patterns were tried on; bounded, because the workload chooses the names. */
const maxRemembered = 512;

/** Compiles names and `/patterns/` (RE2 syntax, unanchored, case ignored). The first that matches gives the spelling. */
export function compileHeaderMatcher(
  entries: readonly string[],
  options: HeaderMatcherOptions,
): HeaderMatcher {
  const literals = new Map<string, HeaderMatch>();
  const patterns: RE2JS[] = [];
  let rest: HeaderMatcher | undefined;
  for (const [index, entry] of entries.entries()) {
    if (isPattern(entry)) {
      const pattern = compilePattern(entry, (message) => options.error(index, message));
      if (pattern === undefined) continue;
      if (pattern.test("")) rest = options.everything;
      else patterns.push(pattern);
      continue;
    }
    if (!isHeaderName(entry)) {
      options.error(
        index,
        `${JSON.stringify(entry)} is not a header name; write a pattern between slashes: /^x-/`,
      );
      continue;
    }
    const key = lowerCaseName(entry);
    const earlier = rest?.match(key) ?? patterns.find((pattern) => pattern.test(key));
    if (!literals.has(key)) literals.set(key, earlier === undefined ? { spelling: entry } : byPattern);
  }
  if (patterns.length === 0) return { match: (key) => literals.get(key) ?? rest?.match(key) };
  const remembered = new Map<string, HeaderMatch | undefined>();
  return {
    match(key) {
      const literal = literals.get(key);
      if (literal !== undefined || remembered.has(key)) return literal ?? remembered.get(key);
      const matched = !options.excluded(key) && patterns.some((pattern) => pattern.test(key));
      const found = matched ? byPattern : rest?.match(key);
      if (remembered.size >= maxRemembered) remembered.clear();
      remembered.set(key, found);
      return found;
    },
  };
}

function isPattern(entry: string): boolean {
  return entry.length >= 2 && entry.startsWith("/") && entry.endsWith("/");
}

function compilePattern(entry: string, onError: (message: string) => void): RE2JS | undefined {
  try {
    return RE2JS.compile(entry.slice(1, -1), RE2JS.CASE_INSENSITIVE);
  } catch (error) {
    onError(
      `regex ${JSON.stringify(entry)}: ${error instanceof Error ? error.message : "cannot be compiled"}`,
    );
    return undefined;
  }
}

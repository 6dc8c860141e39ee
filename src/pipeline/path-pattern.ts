import { compileGlob, literalOf, matchGlob, PatternError } from "./glob.ts";
import type { Glob } from "./glob.ts";

/** What `paths:` of a rule holds, compiled. */
export type PathPattern =
  | { readonly kind: "any" }
  | { readonly kind: "exact"; readonly path: string }
  /** `/v1/*`: `/v1` itself and everything below. */
  | { readonly kind: "prefix"; readonly base: string; readonly below: string }
  /** One glob for each segment; with `deeper` further segments may follow. */
  | { readonly kind: "glob"; readonly segments: readonly Glob[]; readonly deeper: boolean };

/**
 * Compiles a path pattern: `/p/*` at the end means `/p` and everything below; elsewhere `*`, `?` and `[class]`
 * stay within one segment. Escapes are brought to the form that request paths have (I3), and characters that a
 * path can only carry escaped (a space, `é`) to their escapes.
 *
 * @throws PatternError
 */
export function compilePathPattern(text: string): PathPattern {
  if (!text.startsWith("/")) throw new PatternError(`path ${JSON.stringify(text)} must start with /`);
  try {
    return compile(text);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new PatternError(`path ${JSON.stringify(text)}: ${error.message}`);
  }
}

/** @param path canonical path of a request (I3) */
export function matchesPath(pattern: PathPattern, path: string): boolean {
  switch (pattern.kind) {
    case "any":
      return true;
    case "exact":
      return path === pattern.path;
    case "prefix":
      return path.startsWith(pattern.below) || path === pattern.base;
    case "glob":
      return matchesSegments(pattern.segments, pattern.deeper, path);
  }
}

function compile(text: string): PathPattern {
  if (text === "/*") return { kind: "any" };
  const canonical = canonicalPattern(text);
  const deeper = canonical.endsWith("/*");
  const segments = (deeper ? canonical.slice(0, -2) : canonical).slice(1).split("/").map(compileGlob);
  const literals = segments.map(literalOf);
  if (literals.some((literal) => literal === "." || literal === "..")) {
    throw new PatternError("requests with dot segments are refused, so this never matches");
  }
  if (literals.includes(undefined)) return { kind: "glob", segments, deeper };
  const path = `/${literals.join("/")}`;
  return deeper ? { kind: "prefix", base: path, below: `${path}/` } : { kind: "exact", path };
}

function canonicalPattern(text: string): string {
  if (text.includes("\\\\") || /%5c/i.test(text)) {
    throw new PatternError("requests with a backslash in the path are refused, so this never matches");
  }
  if (/%(?![0-9a-f]{2})/i.test(text)) throw new PatternError("a % is not followed by two hexadecimal digits");
  if (!text.isWellFormed()) throw new PatternError("half a character (a lone surrogate) stands in it");
  return (
    text
      .replace(/%[0-9a-f]{2}/gi, (escape) => {
        const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
        return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
      })
      // A question mark that stands for itself: no request has one in its path but as an escape.
      .replaceAll("\\?", "%3F")
      .replace(/[^\x21-\x7e]|#/gu, encodeURIComponent)
  );
}

function matchesSegments(segments: readonly Glob[], deeper: boolean, path: string): boolean {
  if (!path.startsWith("/")) return false;
  let start = 1;
  for (const glob of segments) {
    if (start > path.length) return false;
    const slash = path.indexOf("/", start);
    const end = slash < 0 ? path.length : slash;
    if (!matchGlob(glob, path.slice(start, end))) return false;
    start = end + 1;
  }
  return deeper || start > path.length;
}

import { lowerCaseName } from "../http/headers.ts";
import { anyHeader, compileHeaderMatcher, isProtectedHeader } from "../transforms/header-matcher.ts";
import { blanketHeaders } from "./entries-http.ts";
import type { Entry, Problem, Tool } from "./types.ts";

/** One `header_allowlist` of a configuration, as it stands there. */
export interface HeaderFilter {
  readonly headers: readonly string[];
  /** Hosts of its rules; `undefined` when it is for every request. */
  readonly hosts: readonly string[] | undefined;
}

/**
 * Warns of headers that tools declare and a `header_allowlist` then takes out of the request, with the credential that
 * was just put there.
 */
export function strippedHeaders(
  tools: readonly Tool[],
  filters: readonly HeaderFilter[],
): readonly Problem[] {
  const compiled = filters.map(({ headers, hosts }) => {
    const options = { everything: anyHeader, excluded: () => false, error: () => {} };
    return { kept: compileHeaderMatcher(headers, options), hosts };
  });
  return tools.flatMap(({ name: tool, secrets }) =>
    secrets.flatMap((entry) =>
      headersOf(entry).flatMap((header): Problem[] => {
        const key = lowerCaseName(header);
        const isLost = compiled.some(
          ({ kept, hosts }) => concerns(hosts, entry) && kept.match(key) === undefined,
        );
        if (!isLost || isProtectedHeader(key)) return [];
        const advice = `add the line "- ${header}" to its headers, or ${header} to tools.allow_headers`;
        const message = `header_allowlist removes ${header}, which this credential goes into; ${advice}`;
        return [{ severity: "warning", ...entry.where, tool, entry: entry.name, key: undefined, message }];
      }),
    ),
  );
}

/** Hosts are compared as they are written; patterns that only overlap are left to whoever wrote them. */
function concerns(hosts: readonly string[] | undefined, entry: Entry): boolean {
  if (hosts === undefined || hosts.includes("*")) return true;
  return entry.type !== "pg_dsn" && entry.hosts.some((host) => hosts.includes(host));
}

/** Headers that a credential is put into, as far as they are named. */
function headersOf(entry: Entry): readonly string[] {
  switch (entry.type) {
    case "http":
      if (entry.mode === "inject") return entry.target.kind === "header" ? [entry.target.header] : [];
      // Nobody named these for a service of their own.
      if (entry.matchHeaders === blanketHeaders) return [];
      return entry.matchHeaders.filter((name) => !name.startsWith("/"));
    case "gcp_auth":
      return ["Authorization"];
    case "oauth_token":
      return [entry.header ?? "Authorization"];
    case "hmac_sign":
      return entry.headers.map(({ name }) => name);
    case "aws_auth": {
      const token = entry.sessionToken === undefined ? [] : ["X-Amz-Security-Token"];
      return ["Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", ...token];
    }
    case "pg_dsn":
      return [];
  }
}

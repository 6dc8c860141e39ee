import type { Path } from "../config/issues.ts";
import { lowerCaseName } from "../http/headers.ts";
import { anyHeader, compileHeaderMatcher } from "../transforms/header-matcher.ts";
import type { BuiltEntry } from "./build-transforms.ts";
import { listsMeet } from "./sample-authorities.ts";

/**
 * Warns of header filters among credentials. A filter acts on what the request is when its turn comes: before a
 * credential it takes placeholders away and lets what is set later pass; after one it may take the credential away.
 */
export function warnOfHeaderFilters(
  built: readonly BuiltEntry[],
  warn: (path: Path, message: string) => void,
): void {
  for (const [index, filter] of built.entries()) {
    if (filter.kind.name !== "header_allowlist") continue;
    const at = [...filter.entry.path, "name"];
    const later = built.slice(index + 1).find(({ kind }) => kind.credential);
    if (later !== undefined) {
      const effect =
        "it removes headers with placeholders unless they are listed, and leaves what comes later alone";
      warn(at, `header_allowlist stands before ${later.kind.name}: ${effect}; put it last`);
    }
    for (const { kind, header } of removedBy(filter, built.slice(0, index))) {
      warn(at, `header_allowlist removes ${header}, which ${kind} sets before it; list it under headers`);
    }
  }
}

/** Headers that credentials were put into and that the filter then removes, each once. */
function removedBy(
  filter: BuiltEntry,
  earlier: readonly BuiltEntry[],
): readonly { kind: string; header: string }[] {
  const { headers = [] } = filter.config as { headers?: readonly string[] };
  const kept = compileHeaderMatcher(headers, {
    everything: anyHeader,
    excluded: () => false,
    error: () => {},
  });
  const lost = new Map<string, { kind: string; header: string }>();
  for (const entry of earlier) {
    // Of those that tools declare it has been said, with the name of each.
    if (!entry.kind.credential || entry.entry.path[0] === "tools" || !meets(filter, entry)) continue;
    for (const header of headersSetBy(entry)) {
      const key = lowerCaseName(header);
      if (kept.match(key) === undefined) lost.set(key, { kind: entry.kind.name, header });
    }
  }
  return [...lost.values()];
}

/** A filter without rules is for every request. */
function meets(filter: BuiltEntry, entry: BuiltEntry): boolean {
  if (filter.ruleLists.length === 0) return true;
  return filter.ruleLists.some((one) => entry.ruleLists.some((other) => listsMeet(one, other)));
}

/** Headers a credential writes of its own accord; where a placeholder stands is the workload's choice. */
function headersSetBy({ kind, config }: BuiltEntry): readonly string[] {
  const keys = config as {
    secrets?: readonly { inject?: { header?: string } }[];
    tokens?: readonly { header?: string }[];
    headers?: readonly { name?: string }[];
  };
  switch (kind.name) {
    case "secrets":
      return (keys.secrets ?? []).flatMap(({ inject }) => inject?.header || []);
    case "oauth_token":
      return (keys.tokens ?? []).map(({ header }) => header || "Authorization");
    case "hmac_sign":
      return (keys.headers ?? []).flatMap(({ name }) => name || []);
    case "aws_auth":
    case "gcp_auth":
    case "gcp_id_token":
      return ["Authorization"];
    default:
      return [];
  }
}

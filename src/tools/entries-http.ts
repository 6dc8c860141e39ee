import type { Path } from "../config/issues.ts";
import type { EntryKind, EntrySite } from "./entries.ts";
import type { Fields, Report } from "./fields.ts";
import type { InjectEntry, ReplaceEntry } from "./types.ts";

/**
 * Headers that a bare name is searched in: where services have been seen to want their keys. Centaur has
 * Proxy-Authorization as well, which is between the workload and this proxy and never goes on.
 */
export const blanketHeaders: readonly string[] = [
  "Authorization",
  "Api-Key",
  "Anthropic-Api-Key",
  "Auth-Token",
  "Jwt",
  "Cookie",
  "Apikey",
  "AccessKey",
  "Api-Access-Key",
  "Api-Signature",
  "FX-ACCESS-KEY",
  "FX-ACCESS-SIGN",
  "FX-ACCESS-PASSPHRASE",
  "X-CB-ACCESS-PASSPHRASE",
  "X-CB-ACCESS-SIGNATURE",
  "/^x-[a-z0-9-]*(api-key|apikey|secret|token|auth|key)$/",
];

/** A bare name in place of a table. */
export function legacyEntry(site: EntrySite, path: Path, report: Report): ReplaceEntry | undefined {
  const { name, secret, optional, where, toolHosts } = site;
  if (toolHosts === undefined) {
    report(path, "a bare name needs the tool's own hosts; write a table with hosts and match_headers");
    return undefined;
  }
  site.deprecated("a bare name is deprecated; write a table with hosts and match_headers");
  return {
    type: "http",
    mode: "replace",
    name,
    secret,
    optional,
    where,
    hosts: toolHosts,
    placeholder: name,
    matchHeaders: blanketHeaders,
    matchPath: false,
    matchQuery: false,
  };
}

/** Hosts of the entry or else of the tool. An empty list is a mistake rather than "the tool's". */
export function hostsOf(
  fields: Fields,
  toolHosts: readonly string[] | undefined,
): readonly string[] | undefined {
  if (!fields.has("hosts")) {
    if (toolHosts === undefined) fields.missing("hosts");
    else fields.texts("hosts");
    return toolHosts;
  }
  const hosts = fields.texts("hosts");
  return hosts?.length === 0 ? fields.fail("hosts", "is empty; name the hosts, or remove it") : hosts;
}

const searchKeys = ["match_headers", "match_path", "match_query"] as const;
const injectKeys = ["inject_header", "inject_query_param", "inject_formatter"] as const;

type Common = Pick<ReplaceEntry, "type" | "name" | "secret" | "optional" | "where" | "hosts">;

/** `type = "http"`: a placeholder is swapped, or a header or parameter is set. */
export const http: EntryKind = {
  keys: ["mode", "hosts", "replacer", ...searchKeys, ...injectKeys],
  oneSecret: true,
  read(fields, { name, secret, optional, where, toolHosts }) {
    const mode = fields.has("mode") ? fields.word("mode", ["replace", "inject"]) : "replace";
    const hosts = hostsOf(fields, toolHosts);
    if (mode === undefined) return undefined;
    const common: Common = { type: "http", name, secret, optional, where, hosts: hosts ?? [] };
    return mode === "replace" ? replaceEntry(fields, common) : injectEntry(fields, common);
  },
};

function replaceEntry(fields: Fields, common: Common): ReplaceEntry {
  fields.forbid(injectKeys, 'is for mode = "inject", and this entry swaps a placeholder; choose one');
  const placeholder = fields.has("replacer") ? fields.text("replacer") : common.name;
  const listed = fields.texts("match_headers");
  const matchHeaders = listed ?? [];
  const matchPath = fields.flag("match_path");
  const matchQuery = fields.flag("match_query");
  const isWrong = fields.has("match_headers") && listed === undefined;
  if (!fields.has("match_headers") && !fields.has("match_path") && !fields.has("match_query")) {
    fields.fail("", "no place to search: name the header in match_headers, or set match_query or match_path");
  } else if (matchHeaders.length === 0 && !matchPath && !matchQuery && !isWrong) {
    const key = searchKeys.find((one) => fields.has(one)) ?? "";
    fields.fail(
      key,
      "leaves no place to search: name a header in match_headers, or set match_query or match_path",
    );
  }
  return { ...common, mode: "replace", placeholder: placeholder ?? "", matchHeaders, matchPath, matchQuery };
}

function injectEntry(fields: Fields, common: Common): InjectEntry | undefined {
  fields.forbid(
    ["replacer", ...searchKeys],
    'is for mode = "replace", and this entry sets its target; choose one',
  );
  const header = fields.text("inject_header");
  const parameter = fields.text("inject_query_param");
  const formatter = fields.text("inject_formatter");
  const both = fields.has("inject_header") && fields.has("inject_query_param");
  if (both) return fields.fail("inject_query_param", "and inject_header exclude each other; keep one");
  if (header !== undefined)
    return { ...common, mode: "inject", target: { kind: "header", header, formatter } };
  if (fields.has("inject_formatter")) {
    fields.fail("inject_formatter", "needs inject_header; a query parameter is set as it is");
  }
  if (parameter !== undefined) return { ...common, mode: "inject", target: { kind: "query", parameter } };
  if (fields.has("inject_header") || fields.has("inject_query_param")) return undefined;
  return fields.fail("", 'mode = "inject" needs inject_header or inject_query_param');
}

import type { Exchange } from "../../pipeline/types.ts";
import type { Entry, ReplaceEntry } from "./entry.ts";
import { type Found, search } from "./search.ts";

/**
 * What each entry would do with a request, one line each: `secrets[0] OPENAI_API_KEY: rules match; placeholder found in
 * header Authorization; would be replaced`. Asks no source and changes nothing.
 * @param entries in the order of the configuration
 */
export function explainEntries(exchange: Exchange, entries: readonly Entry[]): string[] {
  const facts = {
    authority: exchange.authority,
    method: exchange.request.method,
    path: exchange.request.canonicalPath,
  };
  const matching = entries.filter((entry) => entry.rules.match(facts));
  const replacing = matching.filter((entry) => entry.kind === "replace");
  const found = search(exchange, replacing, exchange.request.body.bytes);
  const taken = new Set<string>();
  return entries.map((entry) => {
    const label = `secrets[${entry.index}] ${entry.handle.name}`;
    if (!matching.includes(entry)) return `${label}: rules do not match: ${entry.rules.describe(facts).text}`;
    if (entry.kind === "replace")
      return `${label}: rules match; ${explainReplace(exchange, entry, found, taken)}`;
    const target =
      entry.target.kind === "header" ? `header ${entry.target.name}` : `query ${entry.target.name}`;
    if (isTaken(exchange, taken, entry.place)) {
      return `${label}: rules match; would skip ${target}: an earlier entry has it`;
    }
    taken.add(entry.place);
    return `${label}: rules match; would set ${target}`;
  });
}

function explainReplace(
  exchange: Exchange,
  entry: ReplaceEntry,
  found: readonly Found[],
  taken: ReadonlySet<string>,
): string {
  const hits = found.filter(({ hits }) => hits.some(({ owner }) => owner === entry));
  if (hits.length === 0) {
    const unread =
      entry.body && exchange.request.body.bytes === undefined ? "; the body was not looked at" : "";
    const outcome = entry.require ? "would be refused (placeholder_missing)" : "nothing to replace";
    return `placeholder not found in ${places(entry)}; ${outcome}${unread}`;
  }
  const where = hits.map(({ location }) => location.replace(":", " ")).join(", ");
  const late = hits.every(({ place }) => isTaken(exchange, taken, place));
  return `placeholder found in ${where}; ${late ? "would skip: an earlier entry has it" : "would be replaced"}`;
}

function isTaken(exchange: Exchange, taken: ReadonlySet<string>, place: string): boolean {
  return taken.has(place) || exchange.claimed(place);
}

function places(entry: ReplaceEntry): string {
  const searched = [
    entry.headers === undefined ? [] : ["headers"],
    entry.query ? ["query"] : [],
    entry.path ? ["path"] : [],
    entry.body ? ["body"] : [],
  ];
  return searched.flat().join(", ");
}

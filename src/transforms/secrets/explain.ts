import { requestFacts } from "../../pipeline/rules.ts";
import type { Exchange } from "../../pipeline/types.ts";
import type { Entry, ReplaceEntry } from "./entry.ts";
import { type Found, search } from "./search.ts";

/** Places that an earlier entry would write. */
type Taken = Map<string, "inject" | "replace">;

/**
 * What each entry would do with a request, one line each: `secrets[0] OPENAI_API_KEY: rules match; placeholder found in
 * header Authorization; would be replaced`. Asks no source and changes nothing.
 * @param entries in the order of the configuration
 */
export function explainEntries(exchange: Exchange, entries: readonly Entry[]): string[] {
  const facts = requestFacts(exchange);
  const matching = entries.filter((entry) => entry.rules.match(facts));
  const replacing = matching.filter((entry) => entry.kind === "replace");
  const found = search(exchange, replacing, exchange.request.body.bytes);
  const taken: Taken = new Map();
  return entries.map((entry) => {
    const label = `secrets[${entry.index}] ${entry.handle.name}`;
    if (!matching.includes(entry)) return `${label}: rules do not match: ${entry.rules.describe(facts).text}`;
    if (entry.kind === "replace")
      return `${label}: rules match; ${explainReplace(exchange, entry, found, taken)}`;
    const target = entry.location.replace(":", " ");
    if (taken.has(entry.place) || exchange.claimed(entry.place)) {
      return `${label}: rules match; would skip ${target}: an earlier entry has it`;
    }
    taken.set(entry.place, "inject");
    return `${label}: rules match; would set ${target}`;
  });
}

function explainReplace(
  exchange: Exchange,
  entry: ReplaceEntry,
  found: readonly Found[],
  taken: Taken,
): string {
  const hits = found.filter(({ hits }) => hits.some(({ owner }) => owner === entry));
  if (hits.length === 0) {
    const unread =
      entry.body && exchange.request.body.bytes === undefined ? "; the body was not looked at" : "";
    const outcome = entry.require ? "would be refused (placeholder_missing)" : "nothing to replace";
    return `placeholder not found in ${places(entry)}; ${outcome}${unread}`;
  }
  const where = hits.map(({ location }) => location.replace(":", " ")).join(", ");
  // Replace entries share a place: they swap in one pass (I7).
  const free = hits.filter(({ place }) => taken.get(place) !== "inject" && !exchange.claimed(place));
  for (const { place } of free) taken.set(place, "replace");
  const late = free.length === 0;
  return `placeholder found in ${where}; ${late ? "would skip: an earlier entry has it" : "would be replaced"}`;
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

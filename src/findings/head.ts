import { Latin1Text } from "../http/latin1-text.ts";
import type { ExchangeRequest } from "../pipeline/types.ts";
import type { Automaton } from "../scrub/automaton.ts";
import type { Exposed } from "../scrub/forms.ts";
import { scanAll } from "./scan.ts";

/** Where in a head something was found. */
export type HeadPlace = "path" | "query" | "header";

/** The head at hand: none is looked at for longer than a call. */
const head = new Latin1Text();
/** Behind it no form goes on. */
const nul = 0;
/** Ends of the parts of the head at hand: path, query, then each header. */
const ends: number[] = [];

/**
 * Searches path, query and header values in one go.
 * @param found told of each form, with the lower-cased name of the header it is in
 */
export function scanHead(
  { path, query, headers }: ExchangeRequest,
  automaton: Automaton,
  found: (exposed: Exposed, place: HeadPlace, key: string) => void,
): void {
  head.clear();
  ends.length = 0;
  head.add(path, nul);
  ends.push(head.length);
  head.add(query ?? "", nul);
  ends.push(head.length);
  for (let index = 0; index < headers.size; index++) {
    head.add(headers.valueAt(index), nul);
    ends.push(head.length);
  }
  scanAll(automaton, head.bytes, head.length, (exposed, start) => {
    const part = ends.findIndex((end) => start < end);
    if (part < 2) found(exposed, part === 0 ? "path" : "query", "");
    else found(exposed, "header", headers.keyAt(part - 2));
  });
}

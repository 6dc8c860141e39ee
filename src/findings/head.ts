import type { ExchangeRequest } from "../pipeline/types.ts";
import type { Automaton } from "../scrub/automaton.ts";
import type { Exposed } from "../scrub/forms.ts";
import { scanAll } from "./scan.ts";

/** Where in a head something was found. */
export type HeadPlace = "path" | "query" | "header";

/** Heads as bytes, one after the other; longer ones get memory of their own. */
const scratch = Buffer.allocUnsafeSlow(32 * 1024);
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
  // No form goes on behind a NUL.
  let text = `${path}\0`;
  ends.length = 0;
  ends.push(text.length);
  text += `${query ?? ""}\0`;
  ends.push(text.length);
  for (let index = 0; index < headers.size; index++) {
    text += `${headers.valueAt(index)}\0`;
    ends.push(text.length);
  }
  let bytes = scratch;
  if (text.length <= scratch.length) scratch.write(text, 0, "latin1");
  else bytes = Buffer.from(text, "latin1");
  scanAll(automaton, bytes, text.length, (exposed, start) => {
    const part = ends.findIndex((end) => start < end);
    if (part < 2) found(exposed, part === 0 ? "path" : "query", "");
    else found(exposed, "header", headers.keyAt(part - 2));
  });
}

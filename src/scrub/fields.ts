import type { Headers } from "../http/headers.ts";
import { Latin1Text } from "../http/latin1-text.ts";
import type { Automaton } from "./automaton.ts";
import type { Exposed } from "./forms.ts";
import { scrubText } from "./rewriter.ts";

/**
 * Scrubs the reason phrase and the fields of a message, the values and the names: a field whose name holds a form is removed.
 * @param found told of every form, and of the field it was in, in lower case
 * @returns the reason phrase to send
 */
export function scrubHead(
  reason: string,
  headers: Headers,
  automaton: Automaton,
  found: (exposed: Exposed, where: string) => void,
): string {
  if (!mayHold(reason, headers, automaton)) return reason;
  for (let index = headers.size - 1; index >= 0; index--) {
    const key = headers.keyAt(index);
    let isNameClean = true;
    scrubText(headers.nameAt(index), automaton, (exposed) => {
      isNameClean = false;
      found(exposed, "header name");
    });
    if (!isNameClean) {
      headers.removeAt(index);
      continue;
    }
    const value = headers.valueAt(index);
    const scrubbed = scrubText(value, automaton, (exposed) => found(exposed, `header:${key}`));
    if (scrubbed !== value) headers.setValueAt(index, scrubbed);
  }
  return scrubText(reason, automaton, (exposed) => found(exposed, "reason"));
}

/** One look at all of it: nearly always there is nothing to find. */
function mayHold(reason: string, headers: Headers, automaton: Automaton): boolean {
  head.clear();
  head.add(reason, lineFeed);
  for (let index = 0; index < headers.size; index++) {
    head.add(headers.nameAt(index), lineFeed);
    head.add(headers.valueAt(index), lineFeed);
  }
  return automaton.test(head.bytes, head.length);
}

const lineFeed = 0x0a;
/** The same memory for all heads: none is looked at for longer than a call. */
const head = new Latin1Text();

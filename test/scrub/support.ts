import { Automaton } from "../../src/scrub/automaton.ts";
import type { Exposed } from "../../src/scrub/forms.ts";
import { Rewriter, type RewriterOptions } from "../../src/scrub/rewriter.ts";

export function exposed(value: string, replacement = "PLACEHOLDER", name = "KEY"): Exposed {
  return { value, replacement, name };
}

/** A rewriter, and all that it has let go so far. */
export function heard(automaton: () => Automaton, options: Partial<RewriterOptions> = {}) {
  let text = "";
  const emit = (bytes: Uint8Array): void => void (text += Buffer.from(bytes).toString("latin1"));
  return { rewriter: new Rewriter({ automaton, emit, found() {}, ...options }), output: () => text };
}

/** What comes out of a stream that arrives in pieces; byte strings in and out. */
export function rewrite(
  pieces: readonly string[],
  values: readonly Exposed[],
  options: Partial<RewriterOptions> = {},
): string {
  const automaton = new Automaton(values);
  const { rewriter, output } = heard(() => automaton, options);
  for (const piece of pieces) rewriter.write(Buffer.from(piece, "latin1"));
  rewriter.end();
  return output();
}

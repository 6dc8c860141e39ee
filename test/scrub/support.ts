import { Automaton } from "../../src/scrub/automaton.ts";
import type { Exposed } from "../../src/scrub/forms.ts";
import { Rewriter, type RewriterOptions } from "../../src/scrub/rewriter.ts";

export function exposed(value: string, replacement = "PLACEHOLDER", name = "KEY"): Exposed {
  return { value, replacement, name };
}

/** What comes out of a stream that arrives in pieces; byte strings in and out. */
export function rewrite(
  pieces: readonly string[],
  values: readonly Exposed[],
  options: Partial<RewriterOptions> = {},
): string {
  const automaton = new Automaton(values);
  let output = "";
  const rewriter = new Rewriter({
    automaton: () => automaton,
    emit: (bytes) => void (output += Buffer.from(bytes).toString("latin1")),
    found() {},
    ...options,
  });
  for (const piece of pieces) rewriter.write(Buffer.from(piece, "latin1"));
  rewriter.end();
  return output;
}

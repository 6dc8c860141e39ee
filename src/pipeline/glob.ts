/** A pattern in the configuration that means nothing. The message says what to write instead. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

/**
 * A shell glob over one label of a host or one segment of a path: `*` any run, `?` one character, `[a-z]` and
 * `[^a-z]` classes, `\` before a character that stands for itself.
 */
export type Glob = readonly Token[];

type Token =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly Range[] }
  | { readonly kind: "star" };

/** First and last character of a range, both included. */
type Range = readonly [low: string, high: string];

/** @throws PatternError for an unfinished class, a range written backwards or a `\` at the end */
export function compileGlob(text: string): Glob {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const character = text[at] as string;
    if (character === "[") {
      const { token, end } = compileClass(text, at + 1);
      tokens.push(token);
      at = end;
    } else if (character === "*") {
      if (tokens.at(-1)?.kind !== "star") tokens.push({ kind: "star" });
      at++;
    } else if (character === "?") {
      tokens.push({ kind: "one" });
      at++;
    } else {
      const { literal, end } = literalAt(text, at);
      const last = tokens.at(-1);
      if (last?.kind === "text") tokens.splice(-1, 1, { kind: "text", text: last.text + literal });
      else tokens.push({ kind: "text", text: literal });
      at = end;
    }
  }
  return tokens;
}

/** The only text that a glob without wildcards matches; `undefined` for others. */
export function literalOf(glob: Glob): string | undefined {
  const [token] = glob;
  if (token === undefined) return "";
  return glob.length === 1 && token.kind === "text" ? token.text : undefined;
}

/**
 * Whether a glob matches the whole text. A percent-escape of a canonical path counts as one character.
 *
 * Only the last `*` is ever tried again, which is enough for this grammar and keeps the time to the length of
 * the text times the length of the pattern: texts come from the workload.
 */
export function matchGlob(glob: Glob, text: string): boolean {
  let at = 0;
  let token = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length || token < glob.length) {
    const current = glob[token];
    if (current?.kind === "star") {
      if (token === glob.length - 1) return true;
      star = token++;
      starAt = at;
      continue;
    }
    const next = current ? step(current, text, at) : -1;
    if (next >= 0) {
      at = next;
      token++;
      continue;
    }
    if (star < 0 || starAt >= text.length) return false;
    starAt += widthAt(text, starAt);
    at = starAt;
    token = star + 1;
  }
  return true;
}

/** Position after what the token takes at `at`, or -1. */
function step(token: Token, text: string, at: number): number {
  if (token.kind === "text") return text.startsWith(token.text, at) ? at + token.text.length : -1;
  if (at >= text.length) return -1;
  if (token.kind === "class" && inRanges(token.ranges, text[at] as string) === token.negated) return -1;
  return at + widthAt(text, at);
}

function inRanges(ranges: readonly Range[], character: string): boolean {
  return ranges.some(([low, high]) => low <= character && character <= high);
}

function widthAt(text: string, at: number): number {
  return text[at] === "%" ? 3 : 1;
}

function compileClass(text: string, start: number): { token: Token; end: number } {
  const negated = text[start] === "^";
  const ranges: Range[] = [];
  let at = negated ? start + 1 : start;
  while (text[at] !== "]" || ranges.length === 0) {
    const low = classCharacterAt(text, at);
    const high = text[low.end] === "-" ? classCharacterAt(text, low.end + 1) : low;
    if (high.literal < low.literal) {
      throw new PatternError(`the range ${low.literal}-${high.literal} in a [class] is written backwards`);
    }
    ranges.push([low.literal, high.literal]);
    at = high.end;
  }
  return { token: { kind: "class", negated, ranges }, end: at + 1 };
}

function classCharacterAt(text: string, at: number): { literal: string; end: number } {
  const character = text[at];
  if (character === undefined) throw new PatternError("a [class] is not closed");
  if (character === "]") throw new PatternError("a [class] is empty or has an unfinished range");
  if (character === "-") throw new PatternError("a hyphen in a [class] that is no range is written \\-");
  if (character === "%")
    throw new PatternError("a [class] cannot hold a percent-escape or a character that needs one");
  return literalAt(text, at);
}

function literalAt(text: string, at: number): { literal: string; end: number } {
  if (text[at] !== "\\") return { literal: text[at] as string, end: at + 1 };
  const literal = text[at + 1];
  if (literal === undefined) throw new PatternError("there is nothing after the \\ at the end");
  return { literal, end: at + 2 };
}

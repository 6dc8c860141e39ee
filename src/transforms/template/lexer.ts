import { toByteString } from "../byte-string.ts";
import { TemplateSyntaxError } from "./error.ts";

/** A word of the language inside `{{ }}`. `at` is its offset in the template. */
export type Token =
  /** `.` alone has no names; `.Credentials.key` has two. */
  | { readonly kind: "field"; readonly names: readonly string[]; readonly at: number }
  /** `$`, `$x`, `$x.Name`. */
  | {
      readonly kind: "variable";
      readonly name: string;
      readonly names: readonly string[];
      readonly at: number;
    }
  /** `.Name` directly behind a closing parenthesis. */
  | { readonly kind: "access"; readonly names: readonly string[]; readonly at: number }
  | { readonly kind: "word"; readonly text: string; readonly at: number }
  | { readonly kind: "string"; readonly value: string; readonly at: number }
  | { readonly kind: "number"; readonly value: number; readonly at: number }
  | { readonly kind: "mark"; readonly text: "|" | "(" | ")" | ":=" | "="; readonly at: number };

/** A template is text (as bytes, one character each) and actions in turn; trim markers and comments are gone. */
export type Segment =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly tokens: readonly Token[]; readonly at: number; readonly end: number };

const leadingSpace = /^[ \t\r\n]+/;
const trailingSpace = /[ \t\r\n]+$/;

/**
 * Cuts a template into text and actions.
 * @throws {TemplateSyntaxError}
 */
export function scan(text: string): Segment[] {
  const segments: Segment[] = [];
  let position = 0;
  let trimNext = false;
  for (;;) {
    const open = text.indexOf("{{", position);
    const trimThis = open >= 0 && text[open + 2] === "-" && isSpace(text[open + 3]);
    let literal = text.slice(position, open < 0 ? text.length : open);
    if (trimNext) literal = literal.replace(leadingSpace, "");
    if (trimThis) literal = literal.replace(trailingSpace, "");
    if (literal !== "") segments.push({ kind: "text", text: toByteString(literal) });
    if (open < 0) return segments;
    let start = open + 2;
    if (trimThis) start = skipSpace(text, start + 1);
    const action = text.startsWith("/*", start) ? scanComment(text, start) : scanAction(text, open, start);
    if (action.tokens !== undefined) {
      segments.push({ kind: "action", tokens: action.tokens, at: open, end: action.end });
    }
    position = action.end;
    trimNext = action.trim;
  }
}

interface Scanned {
  readonly tokens: Token[] | undefined;
  readonly end: number;
  readonly trim: boolean;
}

function scanComment(text: string, start: number): Scanned {
  const close = text.indexOf("*/", start + 2);
  if (close < 0) throw new TemplateSyntaxError("comment is not closed with */", start);
  const end = closing(text, close + 2);
  if (end === undefined) throw new TemplateSyntaxError("a comment must end with */}}", close);
  return { tokens: undefined, ...end };
}

/** The `}}` or ` -}}` that stands at a position, if one does. */
function closing(text: string, position: number): { end: number; trim: boolean } | undefined {
  if (text.startsWith("}}", position)) return { end: position + 2, trim: false };
  const behind = skipSpace(text, position);
  if (behind > position && text.startsWith("-}}", behind)) return { end: behind + 3, trim: true };
  return undefined;
}

function scanAction(text: string, open: number, start: number): Scanned {
  const tokens: Token[] = [];
  let position = start;
  for (;;) {
    const end = closing(text, position) ?? closing(text, skipSpace(text, position));
    if (end !== undefined) return { tokens, ...end };
    position = skipSpace(text, position);
    if (position >= text.length) throw new TemplateSyntaxError("action is not closed with }}", open);
    const [token, next] = scanToken(text, position, tokens.at(-1));
    tokens.push(token);
    position = next;
  }
}

function scanToken(text: string, at: number, before: Token | undefined): [Token, number] {
  const char = text[at] as string;
  if (char === "|" || char === "(" || char === ")" || char === "=") {
    return [{ kind: "mark", text: char, at }, at + 1];
  }
  if (text.startsWith(":=", at)) return [{ kind: "mark", text: ":=", at }, at + 2];
  if (char === '"') return scanQuoted(text, at);
  if (char === "`") return scanRaw(text, at);
  if (char === ".") return scanField(text, at, before);
  if (char === "$") {
    const end = wordEnd(text, at + 1);
    const [names, behind] = scanNames(text, end);
    return [{ kind: "variable", name: text.slice(at, end), names, at }, delimited(text, behind, at)];
  }
  if (isDigit(char) || ((char === "-" || char === "+") && isDigit(text[at + 1]))) return scanNumber(text, at);
  const end = wordEnd(text, at);
  if (end === at) throw new TemplateSyntaxError(`unexpected ${JSON.stringify(char)}`, at);
  return [{ kind: "word", text: text.slice(at, end), at }, delimited(text, end, at)];
}

function scanField(text: string, at: number, before: Token | undefined): [Token, number] {
  const [names, end] = scanNames(text, at);
  if (names.length === 0) return [{ kind: "field", names, at }, delimited(text, at + 1, at)];
  const adjacent = before?.kind === "mark" && before.text === ")" && before.at === at - 1;
  return [{ kind: adjacent ? "access" : "field", names, at }, delimited(text, end, at)];
}

/** `.Name.Name` from a position on. */
function scanNames(text: string, start: number): [names: string[], end: number] {
  const names: string[] = [];
  let position = start;
  while (text[position] === ".") {
    const end = wordEnd(text, position + 1);
    if (end === position + 1) break;
    names.push(text.slice(position + 1, end));
    position = end;
  }
  return [names, position];
}

function scanNumber(text: string, at: number): [Token, number] {
  let end = at + 1;
  while (end < text.length && /[0-9A-Za-z_.]/.test(text[end] as string)) end++;
  const spelling = text.slice(at, end);
  const value = Number(spelling.replace(/^\+/, ""));
  const plain = /^[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/.test(spelling);
  if (!plain || (Number.isInteger(value) && !Number.isSafeInteger(value)) || /e/i.test(String(value))) {
    throw new TemplateSyntaxError(`number ${spelling} is not supported; write a plain decimal number`, at);
  }
  return [{ kind: "number", value, at }, delimited(text, end, at)];
}

function scanRaw(text: string, at: number): [Token, number] {
  const close = text.indexOf("`", at + 1);
  if (close < 0) throw new TemplateSyntaxError("raw string is not closed with `", at);
  // Go drops carriage returns from raw strings.
  return [
    { kind: "string", value: toByteString(text.slice(at + 1, close).replaceAll("\r", "")), at },
    close + 1,
  ];
}

const simpleEscapes: ReadonlyMap<string, string> = new Map([
  ["a", "\x07"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["v", "\v"],
  ["\\", "\\"],
  ['"', '"'],
]);

/** A string in double quotes. The value is a byte string: `\xff` is one byte, `\u00e9` the two of its UTF-8. */
function scanQuoted(text: string, at: number): [Token, number] {
  let value = "";
  let position = at + 1;
  for (;;) {
    const char = text[position];
    if (char === undefined || char === "\n") throw new TemplateSyntaxError('string is not closed with "', at);
    if (char === '"') return [{ kind: "string", value, at }, position + 1];
    if (char !== "\\") {
      const point = String.fromCodePoint(text.codePointAt(position) as number);
      value += toByteString(point);
      position += point.length;
      continue;
    }
    const simple = simpleEscapes.get(text[position + 1] ?? "");
    if (simple !== undefined) {
      value += simple;
      position += 2;
      continue;
    }
    const numeric = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))/.exec(
      text.slice(position, position + 10),
    );
    if (numeric === null) throw new TemplateSyntaxError("unknown escape in a string", position);
    value += numericEscape(numeric, position);
    position += numeric[0].length;
  }
}

function numericEscape(match: RegExpExecArray, at: number): string {
  const [, hex, short, long, octal] = match;
  if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
  if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
  const point = Number.parseInt(short ?? (long as string), 16);
  if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
    throw new TemplateSyntaxError("escape is not a Unicode character", at);
  }
  return toByteString(String.fromCodePoint(point));
}

/** A name or number must be followed by a space or a mark: `.Value"x"` is a slip, not two operands. */
function delimited(text: string, end: number, at: number): number {
  const next = text[end];
  if (next === undefined || isSpace(next) || "|()=:".includes(next) || text.startsWith("}}", end)) return end;
  throw new TemplateSyntaxError(`unexpected ${JSON.stringify(next)} after ${text.slice(at, end)}`, end);
}

function wordEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && /[\p{L}\p{Nd}_]/u.test(text[end] as string)) end++;
  return end;
}

function skipSpace(text: string, start: number): number {
  let position = start;
  while (isSpace(text[position])) position++;
  return position;
}

function isSpace(char: string | undefined): boolean {
  return char === " " || char === "\t" || char === "\r" || char === "\n";
}

function isDigit(char: string | undefined): boolean {
  return char !== undefined && char >= "0" && char <= "9";
}

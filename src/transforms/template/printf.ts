import { TemplateError, TemplateSyntaxError } from "./error.ts";
import type { Builtin } from "./functions.ts";
import { describeType, stringType, toText, type Typed, type Value } from "./values.ts";

/** One `%` verb and the argument it prints, or text between verbs. */
type Piece = string | { readonly verb: Verb; readonly arg: Typed };
type Verb = "s" | "d" | "v" | "q" | "x";

const accepts: Record<Verb, readonly string[]> = {
  s: ["string"],
  d: ["number"],
  v: ["string", "number", "bool"],
  q: ["string"],
  x: ["string", "number"],
};

/**
 * `printf` with the verbs %s %d %v %q %x and %%. The format is a literal, so that a verb without its argument, or of
 * another type, is an error at load; Go prints `%!d(string=...)` in the middle of a header instead.
 */
export const printf: Builtin = {
  arity: [1, Number.POSITIVE_INFINITY],
  build(args, at) {
    const [format, ...rest] = args;
    if (typeof format?.literal !== "string") {
      throw new TemplateSyntaxError("printf needs its format as a string in quotes", at);
    }
    const pieces = parseFormat(format.literal, rest, format.at);
    return {
      type: stringType,
      run: (frame) =>
        pieces
          .map((piece) => (typeof piece === "string" ? piece : print(piece.verb, piece.arg.run(frame))))
          .join(""),
    };
  },
};

function parseFormat(format: string, args: readonly Typed[], at: number): Piece[] {
  const pieces: Piece[] = [];
  let used = 0;
  let position = 0;
  for (;;) {
    const percent = format.indexOf("%", position);
    pieces.push(percent < 0 ? format.slice(position) : format.slice(position, percent));
    if (percent < 0) break;
    const letter = format[percent + 1] ?? "";
    position = percent + 2;
    if (letter === "%") {
      pieces.push("%");
      continue;
    }
    if (!isVerb(letter)) {
      throw new TemplateSyntaxError(`printf has no verb %${letter}; there are %s %d %v %q %x %%`, at);
    }
    const arg = args[used++];
    if (arg === undefined) throw new TemplateSyntaxError(`printf has no argument for %${letter}`, at);
    if (arg.type.kind !== "any" && !accepts[letter].includes(arg.type.kind)) {
      throw new TemplateSyntaxError(`%${letter} cannot print ${describeType(arg.type)}`, arg.at);
    }
    pieces.push({ verb: letter, arg });
  }
  const extra = args[used];
  if (extra !== undefined) throw new TemplateSyntaxError("printf has an argument without a verb", extra.at);
  return pieces;
}

function isVerb(letter: string): letter is Verb {
  return letter !== "" && Object.hasOwn(accepts, letter);
}

function print(verb: Verb, value: Value): string {
  const kind = typeof value === "boolean" ? "bool" : typeof value;
  const whole = typeof value !== "number" || Number.isInteger(value);
  if (!accepts[verb].includes(kind) || (verb !== "v" && !whole)) {
    throw new TemplateError(`printf cannot print a ${kind} with %${verb}`);
  }
  if (verb === "q") return quote(value as string);
  if (verb !== "x") return toText(value);
  return typeof value === "number"
    ? value.toString(16)
    : Buffer.from(value as string, "latin1").toString("hex");
}

const shortEscapes: ReadonlyMap<string, string> = new Map([
  ["\x07", "\\a"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\v", "\\v"],
  ["\\", "\\\\"],
  ['"', '\\"'],
]);

/** Go's strconv.Quote of a byte string; bytes that are not printable UTF-8 become escapes. */
function quote(bytes: string): string {
  const raw = Buffer.from(bytes, "latin1");
  const decoded = raw.toString("utf8");
  // Bytes that are not UTF-8 would come back as U+FFFD: those strings are quoted byte for byte.
  const faithful = Buffer.from(decoded, "utf8").equals(raw);
  let quoted = '"';
  for (const char of faithful ? decoded : bytes) {
    const short = shortEscapes.get(char);
    const code = char.codePointAt(0) as number;
    if (short !== undefined) quoted += short;
    else if (code >= 0x20 && code < 0x7f) quoted += char;
    else if (faithful && /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char))
      quoted += Buffer.from(char, "utf8").toString("latin1");
    else if (code < 0x80 || !faithful) quoted += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 0x10000) quoted += `\\u${code.toString(16).padStart(4, "0")}`;
    else quoted += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return `${quoted}"`;
}

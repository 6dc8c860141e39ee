import { hash } from "node:crypto";
import { base64, TemplateError, type TemplateFunction } from "../template/index.ts";
import { parseParameters } from "./parameters.ts";

/** Any number of arguments, joined without a separator as `base64` joins them. */
const joined: TemplateFunction["arity"] = [1, Number.POSITIVE_INFINITY];

/**
 * What signing schemes need beyond Go's own functions. All of them take and give byte strings, so that a digest can
 * go into another one, or into a signature, without a detour over text: `sha256 .Body` is 32 bytes, `sha256 .Body | hex`
 * is 64 letters.
 */
export const signingFunctions: Readonly<Record<string, TemplateFunction>> = {
  sha256: digest("sha256"),
  sha512: digest("sha512"),
  sha1: digest("sha1"),
  md5: digest("md5"),
  hex: { arity: joined, call: (args) => bytes(args).toString("hex") },
  base64,
  base64url: { arity: joined, call: (args) => bytes(args).toString("base64url") },
  // Only ASCII: the bytes of a UTF-8 letter are not letters themselves.
  lower: {
    arity: [1, 1],
    call: ([text = ""]) => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()),
  },
  upper: {
    arity: [1, 1],
    call: ([text = ""]) => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase()),
  },
  /** A JSON string with its quotes: a path with a quotation mark must not add claims to a token. */
  json: { arity: [1, 1], call: ([text = ""]) => JSON.stringify(text) },
  add: { arity: [2, 2], call: ([left = "", right = ""]) => String(integer(left) + integer(right)) },
  param: { arity: [2, 2], call: ([name = "", text = ""]) => parameter(name, text) },
  jsonField: { arity: [2, 2], call: ([name = "", text = ""]) => jsonField(name, text) },
  sortedParams: {
    arity: [3, 3],
    call: ([between = "", after = "", text = ""]) => sortedParameters(between, after, text),
  },
};

function digest(algorithm: "sha256" | "sha512" | "sha1" | "md5"): TemplateFunction {
  return { arity: joined, call: (args) => hash(algorithm, bytes(args), "latin1") };
}

function bytes(args: readonly string[]): Buffer {
  return Buffer.from(args.length === 1 ? (args[0] as string) : args.join(""), "latin1");
}

function integer(text: string): bigint {
  // Longer ones have no use and would cost the square of their length to print.
  if (!/^-?[0-9]{1,40}$/.test(text)) throw new TemplateError("add takes whole decimal numbers");
  return BigInt(text);
}

/** The decoded value of one parameter; which of two a venue would take is anyone's guess. */
function parameter(name: string, text: string): string {
  const found = parseParameters(text).filter((parameter) => parameter.name === name);
  if (found.length === 0) throw new TemplateError("param found no parameter of that name");
  if (found.length > 1) throw new TemplateError("param found that name more than once");
  return (found[0] as { value: string }).value;
}

/** A string of a JSON object, or a number as it is written there: a nonce may be larger than a double is exact. */
function jsonField(name: string, text: string): string {
  let field: string | undefined;
  try {
    const source = Buffer.from(text, "latin1").toString("utf8");
    const parsed: unknown = JSON.parse(source, numbersAsWritten);
    if (
      typeof parsed === "object" &&
      parsed !== null &&
      !Array.isArray(parsed) &&
      Object.hasOwn(parsed, name)
    ) {
      const value: unknown = (parsed as Record<string, unknown>)[name];
      if (value instanceof Written) field = value.text;
      else if (typeof value === "string") field = Buffer.from(value, "utf8").toString("latin1");
    }
  } catch {
    throw new TemplateError("jsonField needs a JSON object");
  }
  if (field === undefined) throw new TemplateError("jsonField found no string or number of that name");
  return field;
}

/** A number of a JSON text, in its own digits. */
class Written {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

function numbersAsWritten(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" ? new Written(context?.source ?? String(value)) : value;
}

/**
 * Every decoded name and value, by name and then by value in the order of their bytes. The same name with the same
 * value counts once, as Twilio's libraries do it.
 */
function sortedParameters(between: string, after: string, text: string): string {
  const parameters = parseParameters(text).sort((one, other) =>
    one.name === other.name ? compare(one.value, other.value) : compare(one.name, other.name),
  );
  const unlike = parameters.filter(({ name, value }, index) => {
    const last = parameters[index - 1];
    return last === undefined || last.name !== name || last.value !== value;
  });
  return unlike.map(({ name, value }) => name + between + value).join(after);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

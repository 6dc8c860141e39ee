import { TemplateError, TemplateSyntaxError } from "./error.ts";
import { printf } from "./printf.ts";
import {
  anyType,
  boolType,
  describeType,
  isTrue,
  numberType,
  stringType,
  toText,
  type Typed,
  type Value,
  type ValueType,
} from "./values.ts";

/** A function that a user of the engine adds. Byte strings in, a byte string out. */
export interface TemplateFunction {
  /** Fewest and most arguments. */
  readonly arity: readonly [min: number, max: number];
  call(args: readonly string[]): string;
}

/** A built-in function: checks its arguments at load and gives the expression that runs. */
export interface Builtin {
  readonly arity: readonly [min: number, max: number];
  /** @throws {TemplateSyntaxError} where the arguments cannot be right */
  build(args: readonly Typed[], at: number): Pick<Typed, "type" | "run">;
}

const unlimited = Number.POSITIVE_INFINITY;

/** Go's `base64` of the reference's formatters: its arguments joined, in standard padded base64. */
export const base64: TemplateFunction = {
  arity: [0, unlimited],
  call: (args) => Buffer.from(args.join(""), "latin1").toString("base64"),
};

/** The functions every template has. */
export const builtins: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["printf", printf],
  ["print", { arity: [0, unlimited], build: (args) => text(args, print) }],
  [
    "urlquery",
    { arity: [0, unlimited], build: (args) => text(args, (values) => queryEscape(print(values))) },
  ],
  ["index", { arity: [2, 2], build: buildIndex }],
  ["len", { arity: [1, 1], build: buildLength }],
  ["eq", { arity: [2, unlimited], build: (args) => comparison(args, equalsAny) }],
  ["ne", { arity: [2, 2], build: (args) => comparison(args, (values) => !equalsAny(values)) }],
  ["and", { arity: [1, unlimited], build: (args) => choice(args, false) }],
  ["or", { arity: [1, unlimited], build: (args) => choice(args, true) }],
  [
    "not",
    { arity: [1, 1], build: ([arg]) => ({ type: boolType, run: (frame) => !isTrue(only(arg).run(frame)) }) },
  ],
]);

/** Wraps a user's function: its arguments must be strings. */
export function adopt(name: string, added: TemplateFunction): Builtin {
  return {
    arity: added.arity,
    build(args) {
      for (const arg of args) {
        if (arg.type.kind !== "string" && arg.type.kind !== "any") {
          throw new TemplateSyntaxError(`${name} takes strings, not ${describeType(arg.type)}`, arg.at);
        }
      }
      return {
        type: stringType,
        run(frame) {
          const values: string[] = [];
          for (const arg of args) {
            const value = arg.run(frame);
            if (typeof value !== "string") throw new TemplateError(`${name} takes strings`);
            values.push(value);
          }
          return added.call(values);
        },
      };
    },
  };
}

/** @throws {TemplateSyntaxError} for a map: printing one would print every credential in it */
export function requirePrintable(arg: Typed): void {
  if (arg.type.kind !== "map" && arg.type.kind !== "data") return;
  throw new TemplateSyntaxError(
    `${describeType(arg.type)} cannot be printed; name one of its fields`,
    arg.at,
  );
}

function text(args: readonly Typed[], join: (values: Value[]) => string): Pick<Typed, "type" | "run"> {
  for (const arg of args) requirePrintable(arg);
  return { type: stringType, run: (frame) => join(args.map((arg) => arg.run(frame))) };
}

/** Go's Sprint: a space stands between two values when neither is a string. */
function print(values: readonly Value[]): string {
  let joined = "";
  let before: Value = "";
  for (const value of values) {
    if (typeof value !== "string" && typeof before !== "string") joined += " ";
    joined += toText(value);
    before = value;
  }
  return joined;
}

/** Go's url.QueryEscape, on bytes. */
function queryEscape(bytes: string): string {
  return bytes.replace(/[^A-Za-z0-9_.~-]/g, (byte) =>
    byte === " " ? "+" : `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

function buildIndex(args: readonly Typed[], at: number): Pick<Typed, "type" | "run"> {
  const [map, key] = [only(args[0]), only(args[1])];
  if (map.type.kind !== "map")
    throw new TemplateSyntaxError(`index needs a map, not ${describeType(map.type)}`, at);
  if (key.type.kind !== "string" && key.type.kind !== "any") {
    throw new TemplateSyntaxError(`index needs a string, not ${describeType(key.type)}`, key.at);
  }
  if (typeof key.literal === "string") requireKey(map.type, key.literal, key.at);
  return {
    type: stringType,
    run(frame) {
      const value = (map.run(frame) as ReadonlyMap<string, string>).get(key.run(frame) as string);
      // Go gives "" here; a signature over a missing credential must not be sent.
      if (value === undefined) throw new TemplateError("index found no such key");
      return value;
    },
  };
}

/** @throws {TemplateSyntaxError} when a map has no such key */
export function requireKey(type: ValueType & { kind: "map" }, key: string, at: number): void {
  if (type.keys.has(key)) return;
  const known = [...type.keys].join(", ") || "none";
  throw new TemplateSyntaxError(`unknown key ${JSON.stringify(key)}; there are: ${known}`, at);
}

function buildLength(args: readonly Typed[], at: number): Pick<Typed, "type" | "run"> {
  const arg = only(args[0]);
  if (arg.type.kind === "map") {
    return { type: numberType, run: (frame) => (arg.run(frame) as ReadonlyMap<string, string>).size };
  }
  if (arg.type.kind !== "string") throw new TemplateSyntaxError(`len of ${describeType(arg.type)}`, at);
  return { type: numberType, run: (frame) => (arg.run(frame) as string).length };
}

function comparison(
  args: readonly Typed[],
  decide: (values: Value[]) => boolean,
): Pick<Typed, "type" | "run"> {
  const first = only(args[0]);
  for (const arg of args) {
    if (arg.type.kind === "map" || arg.type.kind === "data") {
      throw new TemplateSyntaxError(`${describeType(arg.type)} cannot be compared`, arg.at);
    }
    if (arg.type.kind !== "any" && first.type.kind !== "any" && arg.type.kind !== first.type.kind) {
      const kinds = `${describeType(first.type)} and ${describeType(arg.type)}`;
      throw new TemplateSyntaxError(`${kinds} cannot be compared`, arg.at);
    }
  }
  return { type: boolType, run: (frame) => decide(args.map((arg) => arg.run(frame))) };
}

function equalsAny(values: readonly Value[]): boolean {
  return values.indexOf(values[0] as Value, 1) >= 0;
}

/** `or` gives its first true argument and `and` its first false one, else the last; the rest is not run. */
function choice(args: readonly Typed[], wanted: boolean): Pick<Typed, "type" | "run"> {
  const first = only(args[0]);
  for (const arg of args) requirePrintable(arg);
  const same = args.every((arg) => arg.type.kind === first.type.kind);
  return {
    type: same ? first.type : anyType,
    run(frame) {
      let value: Value = false;
      for (const arg of args) {
        value = arg.run(frame);
        if (isTrue(value) === wanted) break;
      }
      return value;
    },
  };
}

/** Arguments that the arity has vouched for. */
function only(arg: Typed | undefined): Typed {
  return arg as Typed;
}

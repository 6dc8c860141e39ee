import { TemplateError } from "./error.ts";

/** What is known at load about a value: enough to refuse there what would fail on a request. */
export type ValueType =
  | { readonly kind: "string" | "number" | "bool" | "any" }
  /** The data the template is given. */
  | { readonly kind: "data" }
  /** Strings by name, such as credentials; the names are known at load. */
  | { readonly kind: "map"; readonly keys: ReadonlySet<string> };

/** A value while a template runs. Strings are byte strings: one character for each byte, as Go counts them. */
export type Value = string | number | boolean | ReadonlyMap<string, string> | TemplateData;

/** What a template is rendered with: a string or a map for every declared field. */
export type TemplateData = Readonly<Record<string, string | ReadonlyMap<string, string>>>;

/** The state of one rendering. */
export interface Frame {
  readonly data: TemplateData;
  dot: Value;
  readonly variables: Value[];
}

export type Evaluate = (frame: Frame) => Value;

/** An expression ready to run, and what it gives. */
export interface Typed {
  readonly type: ValueType;
  readonly run: Evaluate;
  /** Its value, where it is written in the template. */
  readonly literal?: string | number | boolean;
  readonly at: number;
}

export const stringType: ValueType = { kind: "string" };
export const numberType: ValueType = { kind: "number" };
export const boolType: ValueType = { kind: "bool" };
export const anyType: ValueType = { kind: "any" };

/** A type as people read it. */
export function describeType(type: ValueType): string {
  return type.kind === "data" ? "the data itself" : `a ${type.kind}`;
}

/** Go's truth: everything but false, 0, the empty string and an empty map. */
export function isTrue(value: Value): boolean {
  if (value instanceof Map) return value.size > 0;
  return value !== false && value !== 0 && value !== "";
}

/**
 * A string, number or boolean as Go prints it.
 * @throws {TemplateError} for a map: printing one would print every credential in it
 */
export function toText(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value === "object") throw new TemplateError("a map cannot be printed");
  return String(value);
}

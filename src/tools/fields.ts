import type { Path } from "../config/issues.ts";
import { nearest } from "../config/nearest.ts";
import type { SecretRef } from "./types.ts";

/** Tells of something wrong at a place of the file. */
export type Report = (path: Path, message: string, part?: "key" | "value") => void;

/** The keys of one table, read one by one; every mistake is reported with its place. */
export class Fields {
  readonly #table: Readonly<Record<string, unknown>>;
  readonly #path: Path;
  readonly #report: Report;

  constructor(table: Readonly<Record<string, unknown>>, path: Path, report: Report) {
    this.#table = table;
    this.#path = path;
    this.#report = report;
  }

  /** Reports a mistake in the value of a key; with an empty key in the whole table. */
  fail(key: string, message: string): undefined {
    if (key === "") this.#report(this.#path, message);
    else this.#report([...this.#path, key], `${key} ${message}`);
    return undefined;
  }

  has(key: string): boolean {
    return this.#table[key] !== undefined;
  }

  /** Reports the keys that are there and must not be, because of something else that is. */
  forbid(keys: readonly string[], reason: string): void {
    for (const key of keys) {
      if (this.has(key)) this.#report([...this.#path, key], `${key} ${reason}`, "key");
    }
  }

  /** Text with something in it. */
  text(key: string): string | undefined {
    const value = this.#table[key];
    if (value === undefined) return undefined;
    if (typeof value !== "string") return this.fail(key, `must be text, not ${kindOf(value)}`);
    return value.trim() === "" ? this.fail(key, "is empty") : value;
  }

  /** Text that has to be there. */
  neededText(key: string): string | undefined {
    return this.has(key) ? this.text(key) : this.missing(key);
  }

  missing(key: string): undefined {
    this.#report(this.#path, `${key} is missing`);
    return undefined;
  }

  word<Word extends string>(key: string, words: readonly Word[]): Word | undefined {
    const value = this.text(key);
    const found = words.find((word) => word === value);
    if (value === undefined || found !== undefined) return found;
    const meant = nearest(value, words);
    // Longer ones are not quoted: a credential may have slipped into the wrong line (I14).
    const got = value.length <= 24 ? JSON.stringify(value) : "something else";
    const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
    return this.fail(key, `must be one of ${words.join(", ")}; got ${got}${hint}`);
  }

  flag(key: string): boolean {
    const value = this.#table[key];
    if (typeof value === "boolean" || value === undefined) return value === true;
    this.fail(key, `must be true or false, not ${kindOf(value)}`);
    return false;
  }

  /** A list of texts with something in them; `undefined` when one of them is wrong. */
  texts(key: string): readonly string[] | undefined {
    const value = this.#table[key];
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.fail(key, `must be a list of texts, not ${kindOf(value)}`);
    const texts: string[] = [];
    for (const [index, one] of value.entries()) {
      if (typeof one === "string" && one.trim() !== "") texts.push(one);
      else {
        const found = typeof one === "string" ? "an empty one" : kindOf(one);
        this.#report([...this.#path, key, index], `${key} must be a list of texts; [${index}] is ${found}`);
      }
    }
    return texts.length === value.length ? texts : undefined;
  }

  /** A list of tables, each to be read by itself. */
  tables(key: string): readonly Fields[] | undefined {
    const value = this.#table[key];
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.fail(key, `must be a list of tables, not ${kindOf(value)}`);
    return value.flatMap((one: unknown, index) => {
      const path = [...this.#path, key, index];
      if (isTable(one)) return [new Fields(one, path, this.#report)];
      this.#report(path, `${key}[${index}] must be a table, not ${kindOf(one)}`);
      return [];
    });
  }

  /** Which credential a key names: `"REF"` or `{ secret_ref = "REF", json_key = "field" }`. */
  secret(key: string): SecretRef | undefined {
    const value = this.#table[key];
    if (value === undefined) return undefined;
    if (!isTable(value)) {
      const ref = this.text(key);
      return ref === undefined ? undefined : { ref, jsonKey: undefined };
    }
    const fields = new Fields(value, [...this.#path, key], this.#report);
    const ref = fields.neededText("secret_ref");
    const jsonKey = fields.text("json_key");
    fields.only(["secret_ref", "json_key"], `in ${key}`);
    return ref === undefined ? undefined : { ref, jsonKey };
  }

  /** A table of credentials under names of the author's own, sorted by name; empty ones are refused. */
  secrets(key: string): ReadonlyMap<string, SecretRef> {
    const found = new Map<string, SecretRef>();
    const value = this.#table[key];
    if (value === undefined) return found;
    if (!isTable(value)) this.fail(key, `must be a table, not ${kindOf(value)}`);
    else if (Object.keys(value).length === 0) this.fail(key, "is an empty table; remove it or fill it");
    else {
      const fields = new Fields(value, [...this.#path, key], this.#report);
      for (const name of Object.keys(value).sort()) {
        const secret = fields.secret(name);
        if (secret !== undefined) found.set(name, secret);
      }
    }
    return found;
  }

  /** Reports every other key. @param where for the message: `in an http entry` */
  only(known: readonly string[], where: string, hints: Readonly<Record<string, string>> = {}): void {
    for (const key of Object.keys(this.#table)) {
      if (known.includes(key)) continue;
      this.#report([...this.#path, key], unknownKey(key, where, known, hints), "key");
    }
  }
}

/** `unknown key "x" in an http entry`, with the key that was probably meant. */
export function unknownKey(
  key: string,
  where: string,
  known: Iterable<string>,
  hints: Readonly<Record<string, string>> = {},
): string {
  const meant = nearest(key, known);
  const hint = hints[key] ?? (meant === undefined ? "remove it" : `did you mean "${meant}"?`);
  const shown = /^[\w.-]{1,40}$/.test(key) ? ` "${key}"` : "";
  return `unknown key${shown} ${where}; ${hint}`;
}

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The kind of a value; the value itself might be a credential in the wrong place (I14). */
export function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "number" || typeof value === "bigint") return "a number";
  if (typeof value === "boolean") return "true or false";
  return typeof value === "string" ? "text" : "a table";
}

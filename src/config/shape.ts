import type { z } from "zod";
import { Draft, isBelow, valueAt } from "./draft.ts";
import { type Issue, issueAt, type Locate, type Path, pathText } from "./issues.ts";
import { nearest } from "./nearest.ts";

export interface ShapeOptions {
  readonly file: string;
  readonly locate: Locate;
  /** Where `data` stands in the file. */
  readonly path: Path;
  /** How errors call the outermost mapping, as in `unknown key "x" at the top level`. */
  readonly root: string;
  /** What names of keys in errors begin with: `["transforms", 0]` for `transforms[0].name`. */
  readonly naming?: Path;
  /** Keys that stand elsewhere in the configuration, for "belongs under proxy": key → sections. */
  readonly elsewhere?: ReadonlyMap<string, readonly string[]>;
}

/** What a schema made of some data. */
export interface Shape<T> {
  /** Complete when there are no issues; otherwise what is left when the wrong parts are taken out, if that fits. */
  readonly value: T | undefined;
  readonly issues: readonly Issue[];
  /** What was taken out, as paths below `data`: complaints about these would only repeat the first. */
  readonly removed: readonly Path[];
  /** Path below `data` of what stands at a path of `value`, where entries of lists were taken out before it. */
  original(path: Path): Path;
}

/** A round mends every fault that the last one found, so that few are needed; this ends the unforeseen. */
const maxRounds = 50;

/**
 * Checks data of a configuration against a schema and reports everything that is wrong with it.
 *
 * As lenient as the reader iron-proxy's files were written for: null counts as absent, an unquoted number or
 * boolean is accepted as its text where text is wanted, and `yes`, `no`, `on` and `off` where a boolean is.
 */
export function checkShape<T>(schema: z.ZodType<T>, data: unknown, options: ShapeOptions): Shape<T> {
  const draft = new Draft(data);
  const issues: Issue[] = [];
  const done = (value: T | undefined): Shape<T> => {
    return { value, issues, removed: draft.removed, original: (path) => draft.original(path) };
  };
  for (let round = 0; round < maxRounds; round++) {
    const known = new Map<string, readonly string[]>();
    const result = schema.safeParse(draft.data, {
      error(issue) {
        if (issue.code === "unrecognized_keys") {
          known.set(pathText((issue.path ?? []) as Path), keysOf(issue.inst));
        }
        return undefined;
      },
    });
    if (result.success) return done(result.data);
    const before = [...draft.removed];
    let changed = false;
    for (const issue of result.error.issues) {
      const path = issue.path as Path;
      const original = draft.original(path);
      if (mend(draft, issue, original, options)) {
        changed = true;
        continue;
      }
      if (issue.code === "unrecognized_keys") {
        for (const key of issue.keys) {
          const at = [...original, key];
          const message = unknownKey(key, original, known.get(pathText(path)) ?? [], options);
          issues.push(issueAt("error", options, [...options.path, ...at], message, "key"));
          draft.remove([...path, key]);
        }
        changed = true;
        continue;
      }
      if (!before.some((gone) => isBelow(original, gone))) {
        const message = complaint(issue, original, draft.at(path), options);
        issues.push(issueAt("error", options, [...options.path, ...original], message));
      }
      const goneNow = draft.removed.slice(before.length).some((gone) => isBelow(original, gone));
      if (!goneNow && draft.takeOut(path)) changed = true;
    }
    if (!changed) break;
    draft.sweep();
  }
  return done(undefined);
}

/** Forgives what the reference's reader forgives. True when the data changed. */
function mend(draft: Draft, issue: z.core.$ZodIssue, original: Path, options: ShapeOptions): boolean {
  const path = issue.path as Path;
  const wanted = wantedTypes(issue);
  if (wanted.size === 0) return false;
  const value = draft.at(path);
  if (value === null && typeof path.at(-1) === "string") return draft.drop(path);
  const { text, value: meaning } = options.locate([...options.path, ...original]);
  if (wanted.has("string") && (typeof value === "number" || typeof value === "boolean")) {
    return draft.replace(path, text ?? String(value));
  }
  if (typeof value !== "string" || text !== value) return false;
  if (wanted.has("number") && typeof meaning === "number") return draft.replace(path, meaning);
  if (wanted.has("boolean")) {
    if (typeof meaning === "boolean") return draft.replace(path, meaning);
    if (/^(?:y|yes|on)$/i.test(value)) return draft.replace(path, true);
    if (/^(?:n|no|off)$/i.test(value)) return draft.replace(path, false);
  }
  return false;
}

/** The JSON types a schema would have taken where it refused the type that stands there. */
function wantedTypes(issue: z.core.$ZodIssue): Set<string> {
  if (issue.code === "invalid_type") return new Set([issue.expected === "int" ? "number" : issue.expected]);
  if (issue.code === "invalid_value") return new Set(issue.values.map((value) => typeof value));
  if (issue.code !== "invalid_union") return new Set();
  const here = issue.errors.flat().filter((inner) => inner.path.length === 0);
  return new Set(here.flatMap((inner) => [...wantedTypes(inner)]));
}

function unknownKey(key: string, path: Path, known: readonly string[], options: ShapeOptions): string {
  const where = path.length === 0 ? options.root : `in ${pathText([...(options.naming ?? []), ...path])}`;
  const text = `unknown key ${JSON.stringify(key)} ${where}`;
  const meant = synonyms.get(key)?.find((name) => known.includes(name)) ?? nearest(key, known);
  if (meant !== undefined) return `${text}; did you mean ${JSON.stringify(meant)}?`;
  const sections = options.elsewhere?.get(key);
  if (sections !== undefined)
    return `${text}; ${JSON.stringify(key)} belongs under ${alternatives(sections)}`;
  const list = known.length <= 16 ? known : known.slice(0, 16).concat("...");
  return list.length === 0 ? text : `${text}; known keys: ${list.join(", ")}`;
}

/** Words of other proxies' configurations, and of iron-proxy's own documentation. */
const synonyms: ReadonlyMap<string, readonly string[]> = new Map([
  ["domain", ["host"]],
  ["hosts", ["host", "domains"]],
  ["url", ["host"]],
  ["placeholder", ["proxy_value"]],
  ["method", ["methods"]],
  ["path", ["paths"]],
]);

/** One sentence about a fault. `path` is relative to the checked data. */
function complaint(issue: z.core.$ZodIssue, path: Path, value: unknown, options: ShapeOptions): string {
  const subject = pathText([...(options.naming ?? []), ...path]) || "the configuration";
  switch (issue.code) {
    case "invalid_type":
      return value === undefined
        ? `${subject} is required`
        : `${subject} must be ${typeName(issue.expected)}, not ${describe(value)}`;
    case "invalid_value": {
      if (value === undefined) return `${subject} is required`;
      const words = issue.values.filter((one) => one !== "").map((one) => JSON.stringify(one));
      return `${subject} must be ${alternatives(words)}${got(value)}`;
    }
    case "invalid_union": {
      if (value === undefined) return `${subject} is required`;
      const inner = bestBranch(issue.errors);
      if (inner === undefined) return `${subject} is not one of the forms it can have`;
      const below = inner.path as Path;
      return complaint(inner, [...path, ...below], valueAt(value, below), options);
    }
    case "too_small":
    case "too_big":
      return `${subject} must ${bound(issue)}${got(value)}`;
    case "custom":
      return named(subject, issue.params?.["subject"], issue.message);
    default:
      return `${subject}: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`;
  }
}

/** Puts the key's name before a message that asked for it, as its subject or as a heading. */
function named(subject: string, form: unknown, message: string): string {
  if (form === "subject") return `${subject} ${message}`;
  return form === "heading" ? `${subject}: ${message}` : message;
}

/** The alternative that got furthest: its complaint is about the thing the person meant to write. */
function bestBranch(branches: readonly (readonly z.core.$ZodIssue[])[]): z.core.$ZodIssue | undefined {
  const reach = (branch: readonly z.core.$ZodIssue[]): number =>
    Math.max(0, ...branch.map((issue) => issue.path.length + (issue.code === "invalid_type" ? 0 : 1)));
  return branches.toSorted((a, b) => reach(b) - reach(a))[0]?.[0];
}

function bound(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const small = issue.code === "too_small";
  const limit = small ? issue.minimum : issue.maximum;
  if (issue.origin === "string") return `have ${small ? "at least" : "at most"} ${limit} characters`;
  if (issue.origin === "array") return `have ${small ? "at least" : "at most"} ${limit} entries`;
  return `be ${small ? (issue.inclusive === false ? "more than" : "at least") : "at most"} ${limit}`;
}

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a whole number", // no key takes fractions
  int: "a whole number",
  boolean: "true or false",
  object: "a mapping (key: value)",
  record: "a mapping (key: value)",
  array: "a list",
};

function typeName(expected: string): string {
  return typeNames[expected] ?? expected;
}

/** The kind of a value; the value itself might be a credential in the wrong place (I14). */
function describe(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number") return Number.isInteger(value) ? "a number" : "a fraction";
  return typeof value === "string" ? "text" : typeof value === "boolean" ? "true or false" : "a mapping";
}

/** Shows numbers and words too short for a credential, as they stand. */
function got(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return `; got ${value}`;
  return typeof value === "string" && /^[\w.:-]{0,16}$/.test(value) ? `; got ${JSON.stringify(value)}` : "";
}

function alternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} or ${last}`;
}

/** Known keys of the object schema that refused a key. */
function keysOf(schema: unknown): readonly string[] {
  const def = (schema as { _zod?: { def?: { shape?: object } } } | undefined)?._zod?.def;
  return Object.keys(def?.shape ?? {});
}

import type { z } from "zod";
import { nearest } from "../config/nearest.ts";
import type { CommonKeys, SourceKind } from "./kind.ts";

/** A source object as it stands in the configuration. */
export interface SourceConfig {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** Reports an error at a place below the source object. */
export type SourceConfigError = (path: (string | number)[], message: string) => void;

/** Checks a source object against its kind's keys. Never quotes a value but that of a duration (I14). */
export function checkedConfig(
  kind: SourceKind,
  source: SourceConfig,
  error: SourceConfigError,
): (Record<string, unknown> & CommonKeys) | undefined {
  const known = Object.keys(kind.schema.shape);
  const given: Record<string, unknown> = {};
  let good = true;
  for (const [key, value] of Object.entries(source)) {
    if (!known.includes(key)) {
      error([key], `unknown key "${key}" in ${kind.name} source; ${hint(key, known)}`);
      good = false;
    } else if (value !== null && value !== "") {
      given[key] = value; // as in Go, where an empty value cannot be told from an absent one
    }
  }
  const result = kind.schema.safeParse(given);
  if (!result.success) {
    for (const issue of result.error.issues) {
      const [key = ""] = issue.path.map(String);
      if (given[key] === undefined) error([], `${kind.name} source requires "${key}" field`);
      else error([key], issue.code === "custom" ? issue.message : `"${key}" must be ${expected(issue)}`);
    }
    return undefined;
  }
  const config = result.data as Record<string, unknown> & CommonKeys;
  if (config.max_stale !== undefined && !config.ttl) {
    error(["max_stale"], "max_stale needs a ttl: without one the value is never read again");
    good = false;
  }
  return good ? config : undefined;
}

function expected(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type" && issue.expected === "boolean") return "true or false";
  if (issue.code === "invalid_value") return `one of ${issue.values.map(String).join(", ")}`;
  return "text";
}

/** What to try instead of an unknown word. */
export function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === undefined ? `known: ${known.join(", ")}` : `did you mean "${near}"?`;
}

import type { Dispatcher } from "undici";
import { z } from "zod";
import { parseDuration } from "../config/duration.ts";
import type { OnePasswordClient } from "./1password.ts";
import type { SecretSource } from "./types.ts";

/** What a source may use while it is built and when it reads. */
export interface SourceContext {
  /** Environment of the proxy; read when a value is fetched, never when a source is built. */
  readonly env: NodeJS.ProcessEnv;
  /** Dialler for sources that speak HTTP themselves; `undefined` means undici's own. */
  readonly dispatcher: Dispatcher | undefined;
  /** Makes 1Password's client from a service account token; `undefined` means the real one. */
  readonly onePassword: ((token: string) => Promise<OnePasswordClient>) | undefined;
  /** Something the operator should mend though the value could be read. Nothing in it is secret (I14). */
  readonly onWarning: (name: string, message: string) => void;
  /**
   * Something that sources of one registry share, such as a client: made by `make` when first asked for.
   * @param key starts with the kind's name
   */
  readonly shared: <T>(key: string, make: () => T) => T;
}

/** A kind of source: the keys of its configuration and how to build one. One row in `registry.ts`. */
export interface SourceKind {
  /** The `type` in the configuration. */
  readonly name: string;
  /** A strict object with `type` and every key of the kind. */
  readonly schema: z.ZodObject;
  /**
   * Makes the source without any I/O.
   * @param config output of the schema
   * @param error an error in the value of a key that the schema cannot see
   */
  readonly build: (config: Record<string, unknown>, context: SourceContext, error: KeyError) => SecretSource;
}

export type KeyError = (key: string, message: string) => void;

/** Keys that the cache reads, whatever the kind; durations in milliseconds. */
export interface CommonKeys {
  readonly ttl?: number | undefined;
  readonly failure_ttl?: number | undefined;
  readonly max_stale?: number | undefined;
  readonly timeout?: number | undefined;
  readonly json_key?: string | undefined;
}

/** Makes a row of the table of kinds; `config` in `build` is typed by `keys`. */
export function sourceKind<Keys extends z.ZodRawShape>(kind: {
  name: string;
  keys: Keys;
  build: (config: z.output<z.ZodObject<Keys>>, context: SourceContext, error: KeyError) => SecretSource;
}): SourceKind {
  const schema = z.strictObject({ type: z.literal(kind.name), ...kind.keys });
  return { name: kind.name, schema, build: kind.build as unknown as SourceKind["build"] };
}

/**
 * Text. A number or a boolean is taken as it was probably written, as YAML readers in Go do. The registry takes
 * an empty text for an absent key, so a text that is there has a character.
 */
export const text = z.union([z.string(), z.number(), z.boolean()]).transform(String);

/** A duration in Go's grammar, in milliseconds; `key` names it in errors. */
function duration(key: string) {
  return text.transform((value, context) => {
    const ms = parseDuration(value);
    const problem = ms === undefined ? "not a duration such as 45s, 10m or 1h30m" : "must not be negative";
    if (ms !== undefined && ms >= 0) return ms;
    context.addIssue({ code: "custom", message: `parsing ${key} "${value}": ${problem}` });
    return z.NEVER;
  });
}

const longestTimeout = 600_000;

/** Key that every kind has. */
export const jsonKey = {
  json_key: text.optional().describe("the value is a JSON object; use this string field of it"),
};

/** Keys of every kind whose value can change while the proxy runs. */
export const cacheKeys = {
  ttl: duration("ttl").optional().describe("read the value again at this age; absent or 0: never"),
  failure_ttl: duration("failure_ttl")
    .optional()
    .describe("remember a failure for so long while there is no value; 60s if absent or 0"),
  max_stale: duration("max_stale")
    .optional()
    .describe("how long after its ttl an old value may serve while reading fails; absent: for ever"),
  timeout: duration("timeout")
    .refine((ms) => ms > 0 && ms <= longestTimeout, {
      error: 'parsing timeout: must be more than 0 and at most "10m"',
    })
    .optional()
    .describe("longest wait for one read; 10s if absent"),
  ...jsonKey,
};

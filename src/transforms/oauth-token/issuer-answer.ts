import { toByteString } from "../byte-string.ts";

/** The answer of an issuer, with placeholders where the tokens were. Byte strings. */
export interface CapturedAnswer {
  readonly text: string;
  /** Each token and what stands in its place. */
  readonly replaced: ReadonlyMap<string, string>;
}

/** Keeps a token; gives its placeholder. */
export type Capture = (value: string, kind: "access" | "refresh", seconds: number | undefined) => string;

/** Fields with tokens (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3), and what tells how long each lives. */
const tokenFields = {
  access_token: ["access", "expires_in"],
  id_token: ["access", "expires_in"],
  refresh_token: ["refresh", "refresh_token_expires_in", "refresh_expires_in"],
} as const satisfies Record<string, readonly ["access" | "refresh", ...string[]]>;

/** Issuers put tokens of a user beside those of an app, one level down. */
const maxDepth = 4;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Puts placeholders in the place of the tokens of an answer: JSON, or a form as GitHub's is.
 * @param text as bytes
 * @returns `undefined` where it is neither, or cannot be written anew without its tokens
 */
export function captureTokens(text: string, type: string, capture: Capture): CapturedAnswer | undefined {
  const replaced = new Map<string, string>();
  const take = (value: string, field: keyof typeof tokenFields, fields: Fields): string => {
    const [kind, ...lifetimes] = tokenFields[field];
    const seconds = lifetimes.map((name) => secondsOf(fields[name])).find((some) => some !== undefined);
    const placeholder = replaced.get(value) ?? capture(value, kind, seconds);
    replaced.set(value, placeholder);
    return placeholder;
  };
  if (type === "application/x-www-form-urlencoded") {
    const form = new URLSearchParams(Buffer.from(text, "latin1").toString("utf8"));
    const fields = Object.fromEntries(form);
    for (const field of fieldNames) {
      const value = form.get(field);
      if (value !== null && value !== "") form.set(field, take(value, field, fields));
    }
    return { text: replaced.size === 0 ? text : form.toString(), replaced };
  }
  let data: unknown;
  try {
    data = JSON.parse(Buffer.from(text, "latin1").toString("utf8"));
  } catch {
    return undefined;
  }
  const changed = withPlaceholders(data, take, 0);
  return { text: replaced.size === 0 ? text : toByteString(JSON.stringify(changed)), replaced };
}

const fieldNames = Object.keys(tokenFields) as (keyof typeof tokenFields)[];

function withPlaceholders(
  data: unknown,
  take: (value: string, field: keyof typeof tokenFields, fields: Fields) => string,
  depth: number,
): unknown {
  if (typeof data !== "object" || data === null || depth > maxDepth) return data;
  if (Array.isArray(data)) return data.map((item) => withPlaceholders(item, take, depth + 1));
  const entries = Object.entries(data as Fields).map(([name, value]) => {
    const field = fieldNames.find((known) => known === name);
    if (field !== undefined && typeof value === "string" && value !== "") {
      return [name, take(value, field, data as Fields)] as const;
    }
    return [name, withPlaceholders(value, take, depth + 1)] as const;
  });
  return Object.fromEntries(entries);
}

/** Some issuers write numbers as text. */
function secondsOf(value: unknown): number | undefined {
  const seconds = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof seconds === "number" && Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}

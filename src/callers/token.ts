// `sbx1.<claims>.<signature>`: who a sandbox is and which tools it may use, so that no replica has to be asked.
import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";

/** What a token says. Times are in seconds since 1970, as in a JWT (RFC 7519 section 4.1). */
export interface Claims {
  /** Name of the sandbox; the audit shows it. */
  readonly name: string;
  /** Tools whose secrets it may use; `undefined` means all, an empty list none. */
  readonly tools: readonly string[] | undefined;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What a token is asked for with, and cannot be made of. The message names what is wrong and repeats nothing. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

export const tokenPrefix = "sbx1";

/** Longer texts are no tokens (I12); this one holds some hundred names of tools. */
export const maxTokenLength = 8192;

/** Seconds a token lives unless it is asked for another time. */
export const defaultTtl = 2 * 60 * 60;
/** Nothing but its end takes a token back, short of a new key. */
export const maxTtl = 30 * 24 * 60 * 60;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;
/** What a directory of a tool may be called; a comma parts names on command lines. */
const toolPattern = /^[\x21-\x2b\x2d-\x7e]{1,128}$/;

/** What a token is to say. */
export interface TokenRequest {
  readonly name: string;
  readonly tools?: readonly string[] | undefined;
  /** Seconds it is to live. */
  readonly ttl?: number | undefined;
}

/**
 * Makes a token.
 * @param now milliseconds since 1970
 * @throws {TokenError} for a name, a tool or a time that no token can have
 */
export function issueToken(
  { name, tools, ttl = defaultTtl }: TokenRequest,
  key: KeyObject,
  now: number,
): { readonly token: string; readonly claims: Claims } {
  if (!namePattern.test(name)) {
    throw new TokenError(
      "the name of a sandbox is 1 to 128 letters, digits or . _ : @ / -, the first one a letter or a digit",
    );
  }
  const distinct = tools === undefined ? undefined : [...new Set(tools)].sort();
  if (distinct?.every((tool) => toolPattern.test(tool)) === false) {
    throw new TokenError("the name of a tool is 1 to 128 printable characters without space or comma");
  }
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > maxTtl) {
    throw new TokenError(`a token lives for a whole number of seconds from 1 to ${maxTtl} (30 days)`);
  }
  const issuedAt = Math.floor(now / 1000);
  const claims: Claims = { name, tools: distinct, issuedAt, expiresAt: issuedAt + ttl };
  const token = signed(`${tokenPrefix}.${encodeClaims(claims)}`, key);
  if (token.length > maxTokenLength) {
    throw new TokenError(`a token has at most ${maxTokenLength} characters; name fewer tools`);
  }
  return { token, claims };
}

/**
 * Reads a token. There is one answer for one that was altered, that another key signed, that has expired or that is
 * none, and it takes the same time for any signature.
 * @param now milliseconds since 1970
 */
export function verifyToken(token: string, key: KeyObject, now: number): Claims | undefined {
  if (token.length > maxTokenLength) return undefined;
  const dot = token.lastIndexOf(".");
  const input = token.slice(0, Math.max(dot, 0));
  if (!input.startsWith(`${tokenPrefix}.`)) return undefined;
  const given = Buffer.from(token);
  const expected = Buffer.from(signed(input, key));
  // The texts, not what they decode to: base64 has several spellings for the same bytes.
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const claims = decodeClaims(input.slice(tokenPrefix.length + 1));
  return claims !== undefined && claims.expiresAt * 1000 > now ? claims : undefined;
}

/** The prefix is signed too: a later version of this token cannot be passed off as this one. */
function signed(input: string, key: KeyObject): string {
  return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
}

function encodeClaims({ name, tools, issuedAt, expiresAt }: Claims): string {
  const claims = { sub: name, ...(tools === undefined ? {} : { tools }), iat: issuedAt, exp: expiresAt };
  return Buffer.from(JSON.stringify(claims)).toString("base64url");
}

/** What somebody else signed with the same key, for a purpose of their own, is no token of ours. */
function decodeClaims(text: string): Claims | undefined {
  let data: unknown;
  try {
    data = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof data !== "object" || data === null) return undefined;
  const { sub: name, tools, iat: issuedAt, exp: expiresAt } = data as Record<string, unknown>;
  if (typeof name !== "string" || !namePattern.test(name)) return undefined;
  if (tools !== undefined && !isNames(tools)) return undefined;
  if (!Number.isSafeInteger(issuedAt) || !Number.isSafeInteger(expiresAt)) return undefined;
  return { name, tools, issuedAt: issuedAt as number, expiresAt: expiresAt as number };
}

function isNames(tools: unknown): tools is readonly string[] {
  return Array.isArray(tools) && tools.every((tool) => typeof tool === "string" && toolPattern.test(tool));
}

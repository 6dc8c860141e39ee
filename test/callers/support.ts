import { randomBytes } from "node:crypto";
import { readSigningKeys, type SigningKeys } from "../../src/callers/keys.ts";

/** Some moment, in milliseconds. */
export const now = Date.UTC(2026, 10, 22, 9, 0, 0);

export function newKey(): string {
  return randomBytes(32).toString("hex");
}

export function keysOf(current: string, previous?: string): SigningKeys {
  return readSigningKeys({
    SANDBOX_SIGNING_KEY: current,
    ...(previous === undefined ? {} : { SANDBOX_SIGNING_KEY_PREVIOUS: previous }),
  }) as SigningKeys;
}

/** As clients send a URL's user and password. */
export function basic(token: string, user = "sbx"): string {
  return `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;
}

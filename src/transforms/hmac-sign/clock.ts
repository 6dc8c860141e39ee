import { randomBytes } from "node:crypto";

/** Milliseconds since 1970 as a signature wants them. */
export const timestampFormats: ReadonlyMap<string, (milliseconds: number) => string> = new Map([
  ["unix_seconds", (now) => String(Math.floor(now / 1000))],
  ["unix_millis", (now) => String(now)],
  ["unix_nanos", (now) => `${now}000000`],
  ["rfc3339", (now) => new Date(now).toISOString().replace(/\.\d+Z$/, "Z")],
  ["rfc3339_millis", (now) => new Date(now).toISOString()],
]);

/**
 * Numbers that only grow, near the time in milliseconds. They live in memory: after a restart the time goes on from
 * there, unless more than a thousand a second were taken or the clock was set back.
 */
export function makeCounter(now: () => number): () => string {
  let last = 0;
  return () => {
    last = Math.max(last + 1, now());
    return String(last);
  };
}

/** 128 random bits as hexadecimal digits. */
export function randomNonce(): string {
  return randomBytes(16).toString("hex");
}

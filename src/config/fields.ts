import { isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { parseDuration } from "./duration.ts";
import type { Listen } from "./types.ts";

/**
 * Adds an error. The key's name is the subject of its sentence (`say(context, "must be positive")`) or its
 * heading (`say(context, "invalid CIDR", "heading")`).
 */
export function say(
  context: z.RefinementCtx,
  message: string,
  form: "subject" | "heading" = "subject",
): never {
  context.addIssue({ code: "custom", message, params: { subject: form } });
  return z.NEVER;
}

/** Text; empty counts as absent. */
export function text(description: string) {
  return z
    .string()
    .transform((value): string | undefined => (value === "" ? undefined : value))
    .optional()
    .describe(description);
}

/**
 * One of some words; empty counts as absent.
 * @param noun what the words are, for keys whose error has always been "unknown <noun>"
 */
export function word<const Word extends string>(
  words: readonly [Word, ...Word[]],
  standard: NoInfer<Word>,
  description: string,
  noun?: string,
) {
  const list = `${words.slice(0, -1).map(quote).join(", ")} or ${quote(words.at(-1) as string)}`;
  return z
    .string()
    .optional()
    .transform((value, context): Word => {
      if (value === undefined || value === "") return standard;
      const found = words.find((one) => one === value);
      if (found !== undefined) return found;
      // Longer ones are not quoted: a credential may have slipped into the wrong line (I14).
      const got = value.length <= 16 ? quote(value) : "something else";
      if (noun === undefined) return say(context, `must be ${list}; got ${got}`);
      return say(context, `unknown ${noun}: ${got}; must be ${list}`, "heading");
    })
    .meta({ description, enum: words, default: standard });
}

function quote(value: string): string {
  return JSON.stringify(value);
}

export function flag(standard: boolean, description: string) {
  return z.boolean().default(standard).meta({ description, default: standard });
}

/** A whole number of at least 1; 0 counts as absent. */
export function count(standard: number, description: string) {
  return z
    .int()
    .transform((value, context) => {
      if (value < 0) return say(context, `must be positive; got ${value}`);
      return value === 0 ? standard : value;
    })
    .default(standard)
    .meta({ description, default: standard });
}

/** Bytes; 0 counts as absent, and a negative number means as much as `unlimited` says. */
export function bytes(standard: number, unlimited: number, description: string) {
  return z
    .int()
    .transform((value) => (value < 0 ? unlimited : value === 0 ? standard : value))
    .default(standard)
    .meta({ description, default: Number.isFinite(standard) ? standard : 0 });
}

/** A duration in Go's grammar; absent, empty and zero mean the standard. Gives milliseconds. */
export function duration(standard: string, description: string) {
  const standardMs = parseDuration(standard) as number;
  return z
    .string()
    .transform((value, context) => {
      if (value === "") return standardMs;
      const ms = parseDuration(value);
      if (ms === undefined) {
        const why = /^\d+$/.test(value) ? "the unit is missing" : "write it like 30s, 5m or 1h30m";
        return say(context, `invalid duration ${quote(value.slice(0, 40))}: ${why}`, "heading");
      }
      if (ms < 0) return say(context, `must be positive; got ${value}`);
      if (ms > longestTimer) return say(context, `must be at most 24 days; got ${value}`);
      return ms === 0 ? standardMs : ms;
    })
    .default(standardMs)
    .meta({ description, default: standard });
}

/** Timers hold 2^31 - 1 milliseconds; a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1;

/** `off`, `:port`, `host:port` or `[IPv6]:port`; empty counts as absent. */
export function listen(description: string) {
  return z
    .string()
    .transform((value, context): Listen | undefined => {
      if (value === "") return undefined;
      if (value === "off") return "off";
      const address = parseHostPort(value);
      if (address !== undefined) return address;
      const hint = /^\d+$/.test(value) ? `; did you mean ":${value}"?` : "";
      return say(context, `must be off, :PORT, HOST:PORT or [IPv6]:PORT, with a number for PORT${hint}`);
    })
    .optional()
    .describe(description);
}

/** `host:port` as listeners and resolvers are written; `undefined` when it is something else. */
export function parseHostPort(value: string): { host: string | undefined; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]*)):(\d{1,5})$/.exec(value);
  if (match === null) return undefined;
  const [, v6, name, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return undefined;
  if (v6 !== undefined && !isIPv6(v6)) return undefined;
  return { host: v6 ?? (name === "" ? undefined : name), port };
}

/** Networks in CIDR notation, spaces around them dropped. */
export function cidrs(description: string) {
  return z
    .array(
      z.string().transform((value, context) => {
        const entry = value.trim();
        if (entry === "") return say(context, "is an empty CIDR entry; remove it");
        if (isCidr(entry)) return entry;
        const shown = /^[\w.:/%-]{1,60}$/.test(entry) ? ` ${quote(entry)}` : "";
        const example = { 0: "10.0.0.0/8", 4: `${entry}/32`, 6: `${entry}/128` }[isIP(entry)];
        return say(context, `invalid CIDR${shown}: must be CIDR notation (${example})`, "heading");
      }),
    )
    .optional()
    .describe(description);
}

function isCidr(entry: string): boolean {
  const [, address = "", bits = ""] = /^([^/%]+)\/(\d{1,3})$/.exec(entry) ?? [];
  const family = isIP(address);
  return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}

const proxySchemes = ["http", "https", "socks5", "socks5h"];

/**
 * What is wrong with a forward proxy's URL, or `undefined`. Never quotes it: it may hold a password (I14).
 * A URL without a scheme is taken as `http://`, as everywhere where HTTPS_PROXY is read.
 */
export function proxyUrlProblem(value: string): string | undefined {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(value)?.[1]?.toLowerCase();
  const want = "want http://HOST:PORT, https://, socks5:// or socks5h://";
  if (scheme !== undefined && !proxySchemes.includes(scheme)) return `has an unknown scheme; ${want}`;
  const url = URL.parse(withScheme(value));
  if (url === null || url.hostname === "" || /[\s\\]/.test(value)) return `is not a proxy URL; ${want}`;
  if (!["", "/"].includes(url.pathname) || url.search !== "" || url.hash !== "") {
    return `must end after the port; ${want}`;
  }
  return undefined;
}

/** What is wrong with the URL of a webhook, without repeating it: a secret may be in it. */
export function webhookProblem(value: string): string | undefined {
  if (value === "") return "is required";
  const url = URL.parse(value);
  if (url === null || url.hostname === "") return "is not an absolute URL; want https://HOST/PATH";
  if (url.username !== "" || url.password !== "") return "must have no user name or password in it";
  const isLocal = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === "https:" || (url.protocol === "http:" && isLocal)) return undefined;
  return "must begin with https://; http is for 127.0.0.1, [::1] and localhost";
}

export function withScheme(value: string): string {
  return value.includes("://") ? value : `http://${value}`;
}

/** URL of a forward proxy, with a scheme. */
export function proxyUrl(description: string) {
  return z
    .string()
    .transform((value, context): string | undefined => {
      if (value === "") return undefined;
      const problem = proxyUrlProblem(value);
      return problem === undefined ? withScheme(value) : say(context, problem);
    })
    .optional()
    .describe(description);
}

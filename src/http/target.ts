import { AuthorityError, defaultPorts, parseAuthority } from "./authority.ts";
import type { Authority } from "./authority.ts";
import type { Reason } from "../reasons.ts";

/** A request target taken apart (RFC 9112 section 3.2); nothing of it was decoded or moved. */
export interface Target {
  readonly form: "origin" | "absolute" | "authority" | "asterisk";
  /** Only in absolute form. */
  readonly scheme: "http" | "https" | undefined;
  /** In absolute and authority form. */
  readonly authority: Authority | undefined;
  /** Path as it goes upstream, byte for byte: `/` where an absolute form has none, empty for authority form. */
  readonly path: string;
  /** Without the question mark; `undefined` when there was none, empty for a bare `?`. */
  readonly query: string | undefined;
  /**
   * The form of `path` that rules see (I3): escapes of unreserved characters decoded, other escapes in upper
   * case. Equal for every spelling that RFC 3986 section 6.2.2 calls equivalent.
   */
  readonly canonicalPath: string;
}

export type TargetReason = Extract<Reason, "invalid_target" | "ambiguous_path" | "invalid_host">;

/** A target that is refused. The message says what is wrong and never repeats what was sent. */
export class TargetError extends Error {
  override readonly name = "TargetError";
  readonly reason: TargetReason;

  constructor(reason: TargetReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Request target of HTTP/1.1, or `:path` of HTTP/2, in the four forms of RFC 9112 section 3.2. Nothing is
 * repaired: a byte outside 0x21 to 0x7E, a fragment, user information or an ambiguous path (I3) is refused.
 *
 * @param method as sent; it decides between authority form (CONNECT) and the others
 * @throws TargetError
 */
export function parseTarget(method: string, target: string): Target {
  if (method === "CONNECT") return authorityForm(target);
  if (target.startsWith("/")) return pathAndQuery("origin", undefined, undefined, target, 0);
  if (target !== "*") return absoluteForm(method, target);
  if (method !== "OPTIONS") throw invalid("the target * is for OPTIONS only");
  return targetOf("asterisk", undefined, undefined, "*", undefined, "*");
}

/**
 * The form of a path that rules see (I3): escapes of unreserved characters decoded, other escapes in upper case,
 * everything else as it was, `//` included (RFC 3986 section 6.2.2). Idempotent.
 *
 * @param path begins with `/`, no query
 * @throws TargetError `invalid_target` for a malformed escape or a byte outside 0x21 to 0x7E;
 *   `ambiguous_path` where servers disagree about what the path names
 */
export function canonicalizePath(path: string): string {
  if (!path.startsWith("/")) throw invalid("the path does not begin with a slash");
  const scan = scanPath(path, 0);
  if (scan.end < path.length) throw invalid("the path has a question mark");
  return scan.plain ? path : canonicalize(path);
}

function authorityForm(target: string): Target {
  if (target.includes("/")) throw invalid("the target of CONNECT is host:port");
  return targetOf("authority", undefined, authorityOf(target, undefined), "", undefined, "");
}

function absoluteForm(method: string, target: string): Target {
  const match = /^(https?):\/\//i.exec(target);
  if (!match) throw invalid("the target is neither a path nor a URL with the scheme http or https");
  const scheme = (match[1] as string).toLowerCase() as "http" | "https";
  const start = match[0].length;
  const length = target.slice(start).search(/[/?#]/);
  const end = length < 0 ? target.length : start + length;
  const authority = authorityOf(target.slice(start, end), defaultPorts[scheme]);
  if (target.charCodeAt(end) === slash) return pathAndQuery("absolute", scheme, authority, target, end);
  // A URL without path and query asks about the server as a whole (RFC 9112 section 3.2.4).
  if (end === target.length && method === "OPTIONS") {
    return targetOf("absolute", scheme, authority, "*", undefined, "*");
  }
  return pathAndQuery("absolute", scheme, authority, `/${target.slice(end)}`, 0);
}

function authorityOf(text: string, defaultPort: number | undefined): Authority {
  try {
    return parseAuthority(text, defaultPort);
  } catch (error) {
    if (error instanceof AuthorityError) throw new TargetError("invalid_host", error.message);
    throw error;
  }
}

/** `target` has its path at `start`, which is a slash. */
function pathAndQuery(
  form: Target["form"],
  scheme: Target["scheme"],
  authority: Authority | undefined,
  target: string,
  start: number,
): Target {
  const { end, plain } = scanPath(target, start);
  const path = target.slice(start, end);
  const query = end === target.length ? undefined : target.slice(end + 1);
  if (query !== undefined) checkQuery(query);
  return targetOf(form, scheme, authority, path, query, plain ? path : canonicalize(path));
}

/** One place makes them all, so that every target has the same hidden class. */
function targetOf(
  form: Target["form"],
  scheme: Target["scheme"],
  authority: Authority | undefined,
  path: string,
  query: string | undefined,
  canonicalPath: string,
): Target {
  return { form, scheme, authority, path, query, canonicalPath };
}

const hash = 0x23;
const percent = 0x25;
const dot = 0x2e;
const slash = 0x2f;
const semicolon = 0x3b;
const question = 0x3f;
const backslash = 0x5c;

/** Finds the end of the path and whether it is `plain`: its own canonical form, and surely not ambiguous. */
function scanPath(text: string, start: number): { end: number; plain: boolean } {
  let plain = true;
  let previous = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === question) return { end: at, plain };
    checkByte(code);
    if (code === percent || code === backslash || code === semicolon) plain = false;
    else if (code === dot && previous === slash) plain = false;
    previous = code;
  }
  return { end: text.length, plain };
}

function checkQuery(query: string): void {
  for (let at = 0; at < query.length; at++) checkByte(query.charCodeAt(at));
}

function checkByte(code: number): void {
  if (code < 0x21 || code > 0x7e) throw invalid("the target has a byte that is not printable ASCII");
  if (code === hash) throw invalid("the target has a fragment");
}

/** What each byte's escape becomes: the character itself where it is unreserved, else the escape in upper case. */
const canonicalEscapes = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (/[A-Za-z0-9._~-]/.test(character)) return character;
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
});

function canonicalize(path: string): string {
  let canonical = "";
  let copied = 0;
  for (let at = path.indexOf("%"); at >= 0; at = path.indexOf("%", copied)) {
    const byte = hexByte(path.charCodeAt(at + 1), path.charCodeAt(at + 2));
    if (byte < 0) throw invalid("the path has a malformed percent-escape");
    canonical += path.slice(copied, at) + canonicalEscapes[byte];
    copied = at + 3;
  }
  refuseAmbiguous(decodeFully(path));
  return canonical + path.slice(copied);
}

/**
 * Refuses what one server takes for another path than the next one: dot segments, with parameters or with
 * whatever a second decoding makes a query of (attack 34); backslashes, which some take for slashes; NUL and line
 * breaks, where some stop reading; overlong UTF-8, the oldest spelling of a hidden dot or slash.
 */
function refuseAmbiguous(decoded: string): void {
  if (/(?:^|\/)\.\.?(?:[/;?#]|$)/.test(decoded)) throw ambiguous("a dot segment");
  if (decoded.includes("\\")) throw ambiguous("a backslash");
  if (/[\0\r\n]/.test(decoded)) throw ambiguous("an encoded NUL or line break");
  if (/[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]|\xf0\x80[\x80\x81][\x80-\xbf]/.test(decoded)) {
    throw ambiguous("overlong UTF-8");
  }
}

/**
 * The path with its escapes decoded until none is left, however often they were encoded: `%25252e` is a dot. A
 * character that completes an escape is decoded as soon as it is written, so the time is linear where
 * decoding again and again would take a square of the length.
 */
function decodeFully(path: string): string {
  const codes = Buffer.allocUnsafe(path.length);
  let length = 0;
  for (let at = 0; at < path.length; at++) {
    codes[length++] = path.charCodeAt(at);
    while (length >= 3 && codes[length - 3] === percent) {
      const byte = hexByte(codes[length - 2] as number, codes[length - 1] as number);
      if (byte < 0) break;
      length -= 2;
      codes[length - 1] = byte;
    }
  }
  return codes.toString("latin1", 0, length);
}

/** Byte of two hexadecimal digits, or -1 where one is none. */
function hexByte(high: number, low: number): number {
  const first = hexDigit(high);
  const second = hexDigit(low);
  return first < 0 || second < 0 ? -1 : first * 16 + second;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function invalid(message: string): TargetError {
  return new TargetError("invalid_target", message);
}

function ambiguous(what: string): TargetError {
  return new TargetError("ambiguous_path", `the path has ${what}, which servers read in different ways`);
}

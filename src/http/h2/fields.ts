import { isTarget, isToken, isFieldText } from "../h1/grammar.ts";
import { isForbiddenTrailer, noBody, parseContentLength } from "../h1/framing.ts";
import { Headers } from "../headers.ts";
import type { Framing, RequestHead, ResponseHead } from "../message.ts";
import { malformed } from "./errors.ts";
import type { FieldEntry } from "./hpack/entry.ts";

/** A decoded header block, as far as it was within the limits. */
export interface FieldList {
  readonly entries: FieldEntry[];
  /** Bytes of names and values, without those of `:path`. */
  size: number;
  /** There were more fields or bytes than are taken; those are not among `entries`. */
  tooLarge: boolean;
  /** Bytes of the block and its frames on the wire. */
  wireSize: number;
}

/** What is known of one field by itself; a text says what is wrong with it. */
type Verdict = "pseudo" | "regular" | "te" | "cookie" | { readonly flaw: string };

/** Fields of one connection, which HTTP/2 has other means for (RFC 9113 section 8.2.2). */
const connectionFields = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

const lowerToken = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** The grammar is HTTP/1.1's, with lower case (I9, attack 24; RFC 9113 section 8.2.1). */
function judge({ name, value }: FieldEntry): Verdict {
  if (!isFieldText(value)) return flaw(name, "has a control byte in its value");
  if (/^[ \t]|[ \t]$/.test(value)) return flaw(name, "has whitespace around its value");
  if (name.startsWith(":")) return "pseudo";
  if (!lowerToken.test(name)) {
    return { flaw: isToken(name) ? "a field name in upper case" : "a field name that is not a token" };
  }
  if (connectionFields.has(name)) return flaw(name, "is not for HTTP/2");
  if (name === "cookie") return "cookie";
  if (name !== "te") return "regular";
  return value.toLowerCase() === "trailers" ? "te" : flaw("te", "is not `trailers`");
}

function flaw(name: string, what: string): Verdict {
  return { flaw: `${lowerToken.test(name) || /^:[a-z]+$/.test(name) ? name : "a field"} ${what}` };
}

function verdictOf(entry: FieldEntry): Verdict {
  const known = entry.verdict as Verdict | undefined;
  if (known !== undefined) return known;
  const verdict = judge(entry);
  entry.verdict = verdict;
  return verdict;
}

/** Pseudo-header fields of a message, taken from its beginning. */
type Pseudo = Record<string, string | undefined>;

/**
 * Takes a list apart. Pseudo-header fields come first, each once (RFC 9113 section 8.3, attack 25). Crumbs of a
 * cookie are put together (section 8.2.3): rules and HTTP/1.1 upstreams see one.
 */
function readList(entries: readonly FieldEntry[], allowed: readonly string[], pseudo: Pseudo): Headers {
  const names: string[] = [];
  const values: string[] = [];
  let cookieAt = -1;
  for (const entry of entries) {
    const verdict = verdictOf(entry);
    if (typeof verdict === "object") throw malformed(verdict.flaw);
    const { name, value } = entry;
    if (verdict === "pseudo") {
      if (names.length > 0) throw malformed("a pseudo-header field behind other fields");
      if (!allowed.includes(name)) throw malformed("a pseudo-header field that does not belong here");
      if (pseudo[name] !== undefined) throw malformed(`${name} is repeated`);
      pseudo[name] = value;
    } else if (verdict === "cookie" && cookieAt >= 0) {
      values[cookieAt] = `${values[cookieAt]}; ${value}`;
    } else {
      if (verdict === "cookie") cookieAt = names.length;
      names.push(name);
      values.push(value);
    }
  }
  return new Headers(names, names.slice(), values);
}

const requestPseudo = [":method", ":scheme", ":authority", ":path", ":protocol"];
const responsePseudo = [":status"];

/** What makes a request that is well formed one we do not take. */
export interface RequestRules {
  /** The only scheme that requests on this connection may have. */
  readonly scheme: "http" | "https";
}

/**
 * Makes the head of a request (RFC 9113 section 8.3.1). `host` is there whenever `:authority` is, in front where the
 * client did not send it.
 * @throws {StreamError} for a malformed request
 */
export function requestHead(list: FieldList, endStream: boolean, rules: RequestRules): RequestHead {
  const pseudo: Pseudo = {};
  const headers = readList(list.entries, requestPseudo, pseudo);
  const { ":method": method, ":authority": authority, ":protocol": protocol } = pseudo;
  if (method === undefined || !isToken(method)) throw malformed(":method is missing or not a token");
  const target =
    method === "CONNECT" && protocol === undefined ? connectTarget(pseudo) : path(pseudo, method, rules);
  if (protocol !== undefined) {
    if (method !== "CONNECT") throw malformed(":protocol in a request that is not CONNECT");
    if (!isToken(protocol)) throw malformed(":protocol is not a token");
    if (endStream) throw malformed("an extended CONNECT that ends with its head");
  }
  addHost(headers, authority);
  const framing = messageFraming(headers, endStream);
  return {
    // Whoever asks for a WebSocket asks for the same thing in both versions (RFC 8441 section 5).
    method: protocol === undefined ? method : "GET",
    target,
    version: 20,
    headers,
    framing,
    keepAlive: true,
    expectContinue: expectsContinue(headers),
    size: list.wireSize,
    authority,
    protocol,
  };
}

function connectTarget(pseudo: Pseudo): string {
  const authority = pseudo[":authority"];
  if (authority === undefined || pseudo[":scheme"] !== undefined || pseudo[":path"] !== undefined) {
    throw malformed("CONNECT has :authority, and neither :scheme nor :path");
  }
  return authority;
}

function path(pseudo: Pseudo, method: string, { scheme }: RequestRules): string {
  const target = pseudo[":path"];
  if (target === undefined || !(target.startsWith("/") || (target === "*" && method === "OPTIONS"))) {
    throw malformed(":path is missing or not a path");
  }
  if (!isTarget(target)) throw malformed(":path has a byte that is not printable ASCII");
  if (pseudo[":scheme"]?.toLowerCase() !== scheme) throw malformed(`:scheme is missing or not ${scheme}`);
  return target;
}

function addHost(headers: Headers, authority: string | undefined): void {
  const at = headers.indexOf("host");
  if (at >= 0 && headers.indexOf("host", at + 1) >= 0) throw malformed("host is repeated");
  if (at < 0 && authority !== undefined) headers.prepend("host", authority);
}

function expectsContinue(headers: Headers): boolean {
  const at = headers.indexOf("expect");
  return (
    at >= 0 && headers.indexOf("expect", at + 1) < 0 && headers.valueAt(at).toLowerCase() === "100-continue"
  );
}

/** What `content-length` says, or that only the end will tell. A message that ends at once has no body. */
function messageFraming(headers: Headers, endStream: boolean): Framing {
  const length = contentLength(headers);
  if (endStream && (length ?? 0) > 0) throw malformed("content-length announces a body that does not come");
  if (length !== undefined) return { kind: "length", length };
  return endStream ? noBody : openEnded;
}

/** What `content-length` says there is of no consequence, but of two readers one might believe it. */
function bodilessFraming(headers: Headers): Framing {
  contentLength(headers);
  return noBody;
}

const openEnded: Framing = { kind: "chunked" };

function contentLength(headers: Headers): number | undefined {
  const at = headers.indexOf("content-length");
  if (at < 0) return undefined;
  const length = parseContentLength(headers.valueAt(at));
  if (length === undefined || headers.indexOf("content-length", at + 1) >= 0) {
    throw malformed("content-length is repeated or not a number of bytes");
  }
  return length;
}

/**
 * Makes the head of a response (RFC 9113 section 8.3.2).
 * @param method of the request: an answer to HEAD, or one that accepts a CONNECT, has no body, whatever it announces
 * @throws {StreamError} for a malformed response
 */
export function responseHead(list: FieldList, endStream: boolean, method: string): ResponseHead {
  const pseudo: Pseudo = {};
  const headers = readList(list.entries, responsePseudo, pseudo);
  const text = pseudo[":status"];
  if (text === undefined || !/^[1-5][0-9]{2}$/.test(text))
    throw malformed(":status is missing or not a status");
  const status = Number(text);
  if (status === 101) throw malformed("101 does not exist in HTTP/2");
  if (status < 200 && endStream) throw malformed("an interim response that ends the stream");
  const bodiless =
    status < 200 ||
    status === 204 ||
    status === 304 ||
    method === "HEAD" ||
    (method === "CONNECT" && status < 300);
  return {
    status,
    reason: "",
    version: 20,
    headers,
    framing: bodiless ? bodilessFraming(headers) : messageFraming(headers, endStream),
    keepAlive: true,
    size: list.wireSize,
  };
}

/**
 * Fields of a trailer section (RFC 9113 section 8.1).
 * @param strict refuses what may not stand there (a request's), instead of leaving it out (a response's)
 * @throws {StreamError}
 */
export function trailerFields(list: FieldList, strict: boolean): Headers | undefined {
  const headers = readList(list.entries, [], {});
  for (let index = headers.size - 1; index >= 0; index--) {
    if (!isForbiddenTrailer(headers.keyAt(index))) continue;
    if (strict) throw malformed(`${headers.keyAt(index)} is not allowed in trailers`);
    headers.removeAt(index);
  }
  return headers.size === 0 ? undefined : headers;
}

import type { Headers } from "../../http/headers.ts";

/** A header as it is signed: lower-cased name, value in canonical form. */
export type SignedHeader = readonly [name: string, value: string];

/** Services whose paths are encoded once; everybody else's are encoded twice and normalised. */
const singleEncoding = new Set(["s3", "s3-outposts", "s3-object-lambda", "s3express"]);

/** S3 and its kin: single path encoding, declared payload hashes, aws-chunked bodies. */
export function isS3(service: string): boolean {
  return singleEncoding.has(service);
}

/** What each byte is in a canonical URI or query: itself where unreserved (RFC 3986 section 2.3), else `%XX`. */
const encoded = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9._~-]/.test(character)
    ? character
    : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
});

/**
 * Canonical URI of a path as it goes upstream. For S3 the escapes are decoded and everything but the slash is
 * encoded once, as S3 does with the key it decoded; an escaped slash is a slash there. For all others empty segments
 * go and the path on the wire is encoded once more.
 * @param path begins with `/`; its escapes are well-formed (the parser of targets has seen to that)
 */
export function canonicalPath(path: string, service: string): string {
  if (isS3(service)) return plain.test(path) ? path : reencode(path, "%2B", "/");
  const normalized = path.includes("//") ? path.replace(/\/{2,}/g, "/") : path;
  return plain.test(normalized) ? normalized : encodeOnceMore(normalized);
}

/**
 * Canonical query string: names and values decoded and encoded again, sorted by name, then by value.
 * @param query without the question mark
 * @returns `undefined` where an escape is malformed, which servers read in different ways
 */
export function canonicalQuery(query: string | undefined): string | undefined {
  if (query === undefined || query === "") return "";
  if (malformedEscape.test(query)) return undefined;
  const pairs: [name: string, value: string][] = [];
  for (const field of query.split("&")) {
    if (field === "") continue;
    const at = field.indexOf("=");
    const name = at < 0 ? field : field.slice(0, at);
    pairs.push([reencode(name, "%20"), at < 0 ? "" : reencode(field.slice(at + 1), "%20")]);
  }
  if (pairs.length > 1) pairs.sort(([a, x], [b, y]) => order(a, b) || order(x, y));
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

/**
 * The headers that a new signature covers, in canonical order: Host, those that say what the body is and under which
 * conditions the request applies, and every `x-amz-*`. No others: what the proxy or a hop behind it may rewrite
 * (Accept-Encoding, Via, User-Agent, the connection's own fields) would break the signature.
 * @param host as it goes upstream
 * @param contentLength as it will be written; `undefined` where no length is sent
 */
export function headersToSign(
  headers: Headers,
  host: string,
  contentLength: number | undefined,
): SignedHeader[] {
  const signed: SignedHeader[] = [["host", canonicalValue(host)]];
  if (contentLength !== undefined) signed.push(["content-length", String(contentLength)]);
  for (let index = 0; index < headers.size; index++) {
    const name = headers.keyAt(index);
    if (!isSigned(name)) continue;
    const first = headers.indexOf(name);
    const value = canonicalValue(headers.valueAt(index));
    if (first === index) signed.push([name, value]);
    else append(signed, name, value);
  }
  return signed.sort(([a], [b]) => order(a, b));
}

const plain = /^[A-Za-z0-9._~/-]*$/;
const malformedEscape = /%(?![0-9A-Fa-f]{2})/;

function isSigned(name: string): boolean {
  if (name.startsWith("x-amz-") || name.startsWith("if-") || name === "range") return true;
  return name.startsWith("content-") && name !== "content-length";
}

/** Repeated fields are one, with their values in a list. */
function append(signed: SignedHeader[], name: string, value: string): void {
  const at = signed.findIndex(([known]) => known === name);
  signed[at] = [name, `${(signed[at] as SignedHeader)[1]},${value}`];
}

function canonicalValue(value: string): string {
  return /^[ \t]|[ \t]$|[ \t]{2}|\t/.test(value) ? value.trim().replace(/[ \t]+/g, " ") : value;
}

/** Decodes escapes and encodes every byte. `plus` and `slash` are what those two become where they stand bare. */
function reencode(text: string, plus: string, slash?: string): string {
  let result = "";
  for (let at = 0; at < text.length; at++) {
    let code = text.charCodeAt(at);
    if (code === 0x2b) {
      result += plus;
      continue;
    }
    if (code === 0x25) {
      code = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    }
    result += code === 0x2f && slash !== undefined ? slash : (encoded[code] as string);
  }
  return result;
}

function encodeOnceMore(path: string): string {
  let result = "";
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    result += code === 0x2f ? "/" : (encoded[code] as string);
  }
  return result;
}

/** By code unit, as the signature asks; never by locale. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

import type { Headers } from "../headers.ts";
import type { Framing, HttpVersion } from "../message.ts";
import type { H1Error, Refuse } from "./errors.ts";

/** What the header fields say about the end of a message and of its connection. */
export interface FramingFields {
  readonly contentLength: number | undefined;
  readonly chunked: boolean;
  /** What this message leaves of the connection, as far as `Connection` and the version say. */
  readonly keepAlive: boolean;
  readonly hostCount: number;
  /** Exactly one `Expect: 100-continue`, in a version that has it. */
  readonly expectContinue: boolean;
}

export const noBody: Framing = { kind: "none" };
const chunkedBody: Framing = { kind: "chunked" };
export const closeBody: Framing = { kind: "close" };

/**
 * Reads the framing fields and refuses whatever two implementations could read differently (I9, attack 20;
 * RFC 9112 section 6). Content-Length is one field of digits; Transfer-Encoding is one field that says
 * `chunked`. Any other coding is a 400 too, not a 501: nobody needs one, and every tolerant reading of
 * that list has been an attack.
 * @throws {H1Error}
 */
export function framingFields(headers: Headers, version: HttpVersion, refuse: Refuse): FramingFields {
  let contentLength: number | undefined;
  let chunked = false;
  let close = false;
  let keepAlive = false;
  let hostCount = 0;
  let expectCount = 0;
  let expectContinue = false;
  for (let index = 0; index < headers.size; index++) {
    const key = headers.keyAt(index);
    // Comparing lengths first spares most fields the comparison of strings.
    switch (key.length) {
      case 4:
        if (key === "host") hostCount++;
        break;
      case 6:
        if (key !== "expect") break;
        expectCount++;
        expectContinue = headers.valueAt(index).toLowerCase() === "100-continue";
        break;
      case 10:
        if (key !== "connection") break;
        close ||= listHas(headers.valueAt(index), "close");
        keepAlive ||= listHas(headers.valueAt(index), "keep-alive");
        break;
      case 14:
        if (key !== "content-length") break;
        if (contentLength !== undefined) throw malformed(refuse, "Content-Length is repeated");
        contentLength = parseContentLength(headers.valueAt(index));
        if (contentLength === undefined) throw malformed(refuse, "Content-Length is not a number of bytes");
        break;
      case 17:
        if (key !== "transfer-encoding") break;
        if (chunked) throw malformed(refuse, "Transfer-Encoding is repeated");
        if (headers.valueAt(index).toLowerCase() !== "chunked") {
          throw malformed(refuse, "Transfer-Encoding is not exactly `chunked`");
        }
        chunked = true;
        break;
      default:
    }
  }
  if (chunked && contentLength !== undefined) {
    throw malformed(refuse, "both Content-Length and Transfer-Encoding");
  }
  if (chunked && version === 10) throw malformed(refuse, "Transfer-Encoding in HTTP/1.0");
  return {
    contentLength,
    chunked,
    keepAlive: !close && (version === 11 || keepAlive),
    hostCount,
    expectContinue: version === 11 && expectCount === 1 && expectContinue,
  };
}

/** The framing these fields announce, or `otherwise` where they announce none. */
export function announcedFraming(fields: FramingFields, otherwise: Framing): Framing {
  if (fields.chunked) return chunkedBody;
  if (fields.contentLength !== undefined) return { kind: "length", length: fields.contentLength };
  return otherwise;
}

/** `1*DIGIT` up to 2^53-1, or `undefined`: no sign, no list, no other base (RFC 9110 section 8.6). */
export function parseContentLength(value: string): number | undefined {
  if (value.length === 0) return undefined;
  let length = 0;
  for (let index = 0; index < value.length; index++) {
    const digit = value.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    length = length * 10 + digit;
    if (length > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return length;
}

/** Whether a comma-separated list of tokens has this one; `token` is lower case (RFC 9110 section 5.6.1). */
function listHas(list: string, token: string): boolean {
  if (list.length < token.length) return false;
  const lower = list.toLowerCase();
  if (lower === token) return true;
  return lower.includes(",") && lower.split(",").some((item) => trimWhitespace(item) === token);
}

/** Without SP and HTAB at both ends. Not `trim`, which takes obs-text such as U+00A0 for a space. */
function trimWhitespace(text: string): string {
  return text.replace(/^[ \t]+/, "").replace(/[ \t]+$/, "");
}

const forbiddenTrailers = new Set([
  "authorization",
  "connection",
  "content-length",
  "cookie",
  "expect",
  "host",
  "keep-alive",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

/**
 * Whether a field may not stand in a trailer section, because it frames, routes or authenticates the message
 * and whoever merges trailers into headers would believe it (RFC 9110 section 6.5.1).
 * @param key lower-cased name
 */
export function isForbiddenTrailer(key: string): boolean {
  return forbiddenTrailers.has(key) || key.startsWith("proxy-");
}

function malformed(refuse: Refuse, message: string): H1Error {
  return refuse(400, "malformed_request", message);
}

/** Writes bytes into the place a placeholder stood. Byte strings in and out. */
export type Escape = (bytes: string) => string;

/** As the value of a query or form parameter; a space becomes %20, which form and URI parsers read alike. */
export const escapeForm: Escape = (bytes) => bytes.replace(/[^A-Za-z0-9_.~-]/g, percentEncode);

/** As part of one path segment (RFC 3986 section 3.3): `/` does not become a separator. */
export const escapeSegment: Escape = (bytes) => bytes.replace(/[^A-Za-z0-9_.~$&+,:;=@-]/g, percentEncode);

/** Inside a JSON string (RFC 8259 section 7). */
export const escapeJson: Escape = (bytes) => JSON.stringify(bytes).slice(1, -1);

export const escapeNothing: Escape = (bytes) => bytes;

function percentEncode(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Basic credentials taken apart (RFC 7617). */
export interface BasicCredentials {
  /** Scheme and spaces, as they were. */
  readonly prefix: string;
  /** `user:password`, as bytes. */
  readonly decoded: string;
}

/**
 * Takes the value of an Authorization field apart if it is Basic. The scheme may have any case; the alphabet may be
 * the standard or the URL-safe one, padded or not. `undefined` for everything else.
 */
export function parseBasic(value: string): BasicCredentials | undefined {
  if (value.length < 7 || value.charCodeAt(5) !== 0x20) return undefined;
  if (value.slice(0, 5).toLowerCase() !== "basic") return undefined;
  let start = 6;
  while (value.charCodeAt(start) === 0x20) start++;
  let end = value.length;
  while (end > start && value.charCodeAt(end - 1) === 0x3d && value.length - end < 2) end--;
  if (end === start || (end - start) % 4 === 1) return undefined;
  for (let at = start; at < end; at++) if (!isBase64(value.charCodeAt(at))) return undefined;
  return {
    prefix: value.slice(0, start),
    decoded: Buffer.from(value.slice(start, end), "base64").toString("latin1"),
  };
}

/** The field's value again, in standard padded base64. */
export function formatBasic(prefix: string, decoded: string): string {
  return prefix + Buffer.from(decoded, "latin1").toString("base64");
}

function isBase64(code: number): boolean {
  if (code >= 0x30 && code <= 0x39) return true;
  const letter = code | 0x20;
  if (letter >= 0x61 && letter <= 0x7a) return true;
  // + / - _
  return code === 0x2b || code === 0x2f || code === 0x2d || code === 0x5f;
}

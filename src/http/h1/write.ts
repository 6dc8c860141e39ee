import type { Headers } from "../headers.ts";
import type { Framing } from "../message.ts";
import { isForbiddenTrailer, parseContentLength } from "./framing.ts";
import { isFieldText, isTarget, isToken } from "./grammar.ts";

/**
 * Messages are built from their parts here, never copied (I9): every name, value and start line is checked
 * against the grammar the parser checks, so that nothing a transform, a template or a secret put there
 * can end a line (attack 33). What is refused is a TypeError that names the place, not the value (I14).
 */

/**
 * Request line, fields and the blank line as text of one-byte characters (RFC 9112 section 3).
 *
 * The framing field is made from `framing`: where the message had its own, position and casing are kept,
 * otherwise it is appended; every other Content-Length and Transfer-Encoding is left out. Framing `none` has
 * no such field.
 * @throws {TypeError} when a part does not match its grammar, or for framing `close`, which requests lack
 */
export function requestHeadText(method: string, target: string, headers: Headers, framing: Framing): string {
  if (!isToken(method)) throw new TypeError("cannot send a request: its method is not a token");
  if (!isTarget(target)) {
    throw new TypeError("cannot send a request: its target holds bytes that have to be percent-encoded");
  }
  if (framing.kind === "close")
    throw new TypeError("cannot send a request whose body ends with the connection");
  return `${method} ${target} HTTP/1.1\r\n${fieldLines(headers, framing, false)}\r\n`;
}

/**
 * Status line, fields and the blank line (RFC 9112 section 4), with the framing field as in
 * {@link requestHeadText}. A 1xx or 204 never has one (RFC 9110 section 8.6).
 * @param connection adds a Connection field with this option at the end
 * @param keepsLength for framing `none`: leaves one valid Content-Length where it stands. It is what an answer
 *   to HEAD, or a 304, says about the body it does not have.
 * @throws {TypeError} when a part does not match its grammar
 */
export function responseHeadText(
  status: number,
  reason: string,
  headers: Headers,
  framing: Framing,
  connection: "close" | "keep-alive" | undefined,
  keepsLength = false,
): string {
  if (!Number.isInteger(status) || status < 100 || status > 599) {
    throw new TypeError("cannot send a response: its status is not within 100 to 599");
  }
  if (!isFieldText(reason)) {
    throw new TypeError("cannot send a response: its reason phrase holds a control or non-latin1 character");
  }
  const hasFraming = status >= 200 && status !== 204;
  const fields = fieldLines(headers, hasFraming ? framing : noFraming, hasFraming && keepsLength);
  const last = connection === undefined ? "" : `Connection: ${connection}\r\n`;
  return `HTTP/1.1 ${status} ${reason}\r\n${fields}${last}\r\n`;
}

/**
 * The line before the data of a chunk; the data is followed by CRLF (RFC 9112 section 7.1).
 * @param length bytes of data, at least 1: a chunk of 0 bytes would end the body
 * @throws {RangeError}
 */
export function chunkHeader(length: number): string {
  if (!Number.isSafeInteger(length) || length < 1) throw new RangeError("a chunk holds at least one byte");
  return `${length.toString(16)}\r\n`;
}

/**
 * The last chunk, the trailer section and the end of a chunked body. Fields that may not stand in trailers
 * are left out (RFC 9110 section 6.5.1).
 * @throws {TypeError} when a trailer does not match the grammar
 */
export function lastChunk(trailers: Headers | undefined): string {
  let text = "0\r\n";
  if (trailers !== undefined) {
    for (let index = 0; index < trailers.size; index++) {
      if (!isForbiddenTrailer(trailers.keyAt(index)))
        text += line(trailers.nameAt(index), trailers.valueAt(index));
    }
  }
  return `${text}\r\n`;
}

/** Head text and an optional part of the body in one Buffer, for one write. */
export function joinHead(text: string, body: Uint8Array | undefined): Buffer {
  if (body === undefined || body.length === 0) return Buffer.from(text, "latin1");
  const bytes = Buffer.allocUnsafe(text.length + body.length);
  bytes.write(text, 0, "latin1");
  bytes.set(body, text.length);
  return bytes;
}

const noFraming: Framing = { kind: "none" };

function fieldLines(headers: Headers, framing: Framing, keepsLength: boolean): string {
  let key = "";
  let value = "";
  if (framing.kind === "length") {
    key = "content-length";
    value = lengthText(framing.length);
  } else if (framing.kind === "chunked") {
    key = "transfer-encoding";
    value = "chunked";
  } else if (keepsLength) {
    key = "content-length";
  }
  let text = "";
  for (let index = 0; index < headers.size; index++) {
    const name = headers.nameAt(index);
    if (!isFramingKey(headers.keyAt(index))) {
      text += line(name, headers.valueAt(index));
    } else if (headers.keyAt(index) === key) {
      // Once only: the field is written here, and nothing with its name after it.
      if (value !== "") text += line(name, value);
      else if (keepsLength) text += keptLength(headers, index);
      key = "";
    }
  }
  if (key !== "" && value !== "")
    text += `${key === "content-length" ? "Content-Length" : "Transfer-Encoding"}: ${value}\r\n`;
  return text;
}

function isFramingKey(key: string): boolean {
  return key === "content-length" || key === "transfer-encoding";
}

/** The Content-Length of a message without a body, where there is exactly one and it is valid. */
function keptLength(headers: Headers, index: number): string {
  const value = headers.valueAt(index);
  if (headers.indexOf("content-length", index + 1) >= 0 || parseContentLength(value) === undefined) return "";
  return line(headers.nameAt(index), value);
}

function lengthText(length: number): string {
  if (!Number.isSafeInteger(length) || length < 0)
    throw new TypeError("a Content-Length is a number of bytes");
  return String(length);
}

function line(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError("cannot send a header field: its name is not a token");
  if (!isFieldText(value)) {
    throw new TypeError(`cannot send ${name}: its value holds a control or non-latin1 character`);
  }
  return `${name}: ${value}\r\n`;
}

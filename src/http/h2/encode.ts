import { isForbiddenTrailer, parseContentLength } from "../h1/framing.ts";
import { isFieldText, isTarget, isToken } from "../h1/grammar.ts";
import type { Headers } from "../headers.ts";
import type { Framing } from "../message.ts";
import { frameHeaderSize } from "./frames.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

/**
 * Header blocks are built from parts that are checked as HTTP/1.1's are, so that nothing a transform, a template
 * or a secret put there becomes another field behind some gateway (I9, attacks 24 and 33). What is refused is a
 * TypeError that names the place, not the value (I14). Every block has room for a frame's header in front.
 */

/** A request as it goes out. */
export interface RequestFields {
  readonly method: string;
  readonly scheme: string;
  /** Origin-form, or `*`. */
  readonly target: string;
  /** With `host`, whose value becomes `:authority`. */
  readonly headers: Headers;
  readonly framing: Framing;
  /** Of an extended CONNECT (RFC 8441), which this is then. */
  readonly protocol?: string | undefined;
  /** Lower-cased names of fields that hold a credential: no table may keep them. */
  readonly sensitive: ReadonlySet<string> | undefined;
}

const noNames: ReadonlySet<string> = new Set();

/**
 * Header block of a request (RFC 9113 section 8.3.1).
 * @throws {TypeError} when a part does not match its grammar
 */
export function requestBlock(encoder: HpackEncoder, request: RequestFields): Buffer {
  const { method, scheme, target, headers, protocol, framing, sensitive } = request;
  if (!isToken(method)) throw new TypeError("cannot send a request: its method is not a token");
  if (!isTarget(target)) {
    throw new TypeError("cannot send a request: its target holds bytes that have to be percent-encoded");
  }
  checkFields(headers);
  const host = headers.get("host");
  encoder.begin(frameHeaderSize);
  encoder.field(":method", protocol === undefined ? method : "CONNECT", false);
  encoder.field(":scheme", scheme, false);
  if (host !== undefined) encoder.field(":authority", host, false);
  encoder.field(":path", target, sensitive?.has(":path") === true);
  if (protocol !== undefined) encoder.field(":protocol", protocol, false);
  fields(encoder, headers, framing, false, sensitive ?? noNames);
  return encoder.end();
}

/**
 * Header block of a response (RFC 9113 section 8.3.2).
 * @param keepsLength for framing `none`: leaves one valid Content-Length, as in an answer to HEAD
 * @throws {TypeError} when a part does not match its grammar
 */
export function responseBlock(
  encoder: HpackEncoder,
  status: number,
  headers: Headers,
  framing: Framing,
  keepsLength = false,
): Buffer {
  if (!Number.isInteger(status) || status < 100 || status > 599 || status === 101) {
    throw new TypeError("cannot send a response: its status is not within 100 to 599, or 101");
  }
  checkFields(headers);
  encoder.begin(frameHeaderSize);
  encoder.field(":status", String(status), false);
  const hasFraming = status >= 200 && status !== 204;
  fields(encoder, headers, hasFraming ? framing : noFraming, hasFraming && keepsLength, noNames);
  return encoder.end();
}

/**
 * Header block of a trailer section; `undefined` when no field may stand there.
 * @throws {TypeError} when a part does not match its grammar
 */
export function trailerBlock(encoder: HpackEncoder, trailers: Headers): Buffer | undefined {
  checkFields(trailers);
  let any = false;
  for (let index = 0; index < trailers.size; index++) {
    if (isForbiddenTrailer(trailers.keyAt(index))) continue;
    if (!any) encoder.begin(frameHeaderSize);
    any = true;
    encoder.field(trailers.keyAt(index), trailers.valueAt(index), false);
  }
  return any ? encoder.end() : undefined;
}

const noFraming: Framing = { kind: "none" };

/** Before anything is encoded: a block that was begun has changed the tables of both ends. */
function checkFields(headers: Headers): void {
  for (let index = 0; index < headers.size; index++) {
    const name = headers.keyAt(index);
    if (!isToken(name)) throw new TypeError("cannot send a header field: its name is not a token");
    if (!isFieldText(headers.valueAt(index))) {
      throw new TypeError(`cannot send ${name}: its value holds a control or non-latin1 character`);
    }
  }
}

/** Fields in their order; `content-length` where the message has one, made anew from its framing. */
function fields(
  encoder: HpackEncoder,
  headers: Headers,
  framing: Framing,
  keepsLength: boolean,
  sensitive: ReadonlySet<string>,
): void {
  let length = framing.kind === "length" ? String(framing.length) : "";
  for (let index = 0; index < headers.size; index++) {
    const key = headers.keyAt(index);
    switch (key) {
      case "host":
      case "transfer-encoding":
        continue;
      case "content-length": {
        const value = length === "" && keepsLength ? keptLength(headers, index) : length;
        length = "";
        if (value !== "") encoder.field(key, value, false);
        continue;
      }
      default:
        encoder.field(key, headers.valueAt(index), sensitive.has(key));
    }
  }
  if (length !== "") encoder.field("content-length", length, false);
}

/** The Content-Length of a message without a body, where there is exactly one and it is valid. */
function keptLength(headers: Headers, index: number): string {
  const value = headers.valueAt(index);
  const single =
    headers.indexOf("content-length") === index && headers.indexOf("content-length", index + 1) < 0;
  return single && parseContentLength(value) !== undefined ? value : "";
}

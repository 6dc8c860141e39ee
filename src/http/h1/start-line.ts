import type { HttpVersion } from "../message.ts";
import { byteName, type Refuse, refuseRequest, refuseResponse } from "./errors.ts";
import { CR, LF, SP, targetBytes, textBytes, tokenBytes } from "./grammar.ts";

/** Scans the first line of a head, each byte once. Positions count from the first byte of the head. */
export interface StartLine {
  /**
   * @param stop bytes from here on are not looked at
   * @param shift what to add to a position in `bytes` to get the position in the head
   * @returns the position after the line's LF, or -1 when the line goes on after `stop`
   * @throws {H1Error}
   */
  scan(bytes: Buffer, from: number, stop: number, shift: number): number;
}

const versionLength = "HTTP/1.1".length;
const prefix = Buffer.from("HTTP/");
const slash = prefix.length - 1;
const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;

/** Reads `HTTP/x.y`, which is case-sensitive (RFC 9112 section 2.3). */
class VersionScanner {
  readonly #refuse: Refuse;
  #seen = 0;
  #major = 0;
  #minor = 0;

  constructor(refuse: Refuse) {
    this.#refuse = refuse;
  }

  /** @returns the position of the first byte after the version, or `stop` when that was not reached */
  scan(bytes: Buffer, from: number, stop: number): number {
    let at = from;
    for (; at < stop && this.#seen < versionLength; at++, this.#seen++) this.#take(bytes[at] as number);
    return at;
  }

  /** The version, once its line is known to be well formed. */
  read(): HttpVersion {
    const major = this.#major;
    const minor = this.#minor;
    this.#seen = 0;
    if (major === 1 && minor === 1) return 11;
    if (major === 1 && minor === 0) return 10;
    const message = `HTTP/${major}.${minor} is not spoken here, only HTTP/1.1 and HTTP/1.0`;
    throw this.#refuse(505, "version_not_supported", message);
  }

  #take(byte: number): void {
    const seen = this.#seen;
    const isDigit = byte >= ZERO && byte <= NINE;
    if (seen <= slash ? byte === prefix[seen] : seen === slash + 2 ? byte === DOT : isDigit) {
      if (seen === slash + 1) this.#major = byte - ZERO;
      else if (seen === slash + 3) this.#minor = byte - ZERO;
      return;
    }
    throw this.#refuse(400, "malformed_request", "the start line has no version of the form HTTP/1.1");
  }
}

const inMethod = 0;
const inTarget = 1;
const inVersion = 2;
const inStatus = 3;
const afterStatus = 4;
const inReason = 5;
const atLineEnd = 6;

/** method SP request-target SP HTTP-version CRLF, with exactly these spaces (RFC 9112 section 3). */
export class RequestLine implements StartLine {
  methodEnd = 0;
  targetEnd = 0;
  version: HttpVersion = 11;
  readonly #version = new VersionScanner(refuseRequest);
  #state = inMethod;

  scan(bytes: Buffer, from: number, stop: number, shift: number): number {
    let at = from;
    while (at < stop) {
      switch (this.#state) {
        case inMethod:
          while (at < stop && tokenBytes[bytes[at] as number] === 1) at++;
          if (at === stop) break;
          if (bytes[at] !== SP || at + shift === 0) throw badMethod(bytes[at], at + shift);
          this.methodEnd = at + shift;
          at++;
          this.#state = inTarget;
          break;
        case inTarget:
          while (at < stop && targetBytes[bytes[at] as number] === 1) at++;
          if (at === stop) break;
          if (bytes[at] !== SP) throw badTarget(bytes[at]);
          if (at + shift === this.methodEnd + 1) throw bad("more than one space after the method");
          this.targetEnd = at + shift;
          at++;
          this.#state = inVersion;
          break;
        case inVersion:
          at = this.#version.scan(bytes, at, stop);
          if (at === stop) break;
          if (bytes[at] !== CR) throw bad(`${byteName(bytes[at])} after the version`);
          at++;
          this.#state = atLineEnd;
          break;
        default:
          if (bytes[at] !== LF) throw bad("a bare CR at its end");
          this.version = this.#version.read();
          this.#state = inMethod;
          return at + 1;
      }
    }
    return -1;
  }
}

function bad(what: string): Error {
  return refuseRequest(400, "malformed_request", `request line: ${what}`);
}

function badMethod(byte: number | undefined, position: number): Error {
  // A TLS record on a plain port is the common mistake, and its first byte says so.
  if (byte === 0x16 && position === 0) return bad("this looks like TLS; plain HTTP is expected here");
  if (position === 0) {
    return bad(byte === CR ? "more than one empty line before it" : `${byteName(byte)} in place of a method`);
  }
  return bad(byte === CR || byte === LF ? "no request target" : `${byteName(byte)} in the method`);
}

function badTarget(byte: number | undefined): Error {
  if (byte === CR) return bad("no version");
  return refuseRequest(
    400,
    "invalid_target",
    `request target: ${byteName(byte)}; escape it with a percent sign`,
  );
}

const statusDigits = 3;

/** HTTP-version SP 3DIGIT SP [ reason-phrase ] CRLF; without a phrase the second space may be missing. */
export class StatusLine implements StartLine {
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  version: HttpVersion = 11;
  readonly #version = new VersionScanner(refuseResponse);
  #state = inVersion;
  #digits = 0;

  scan(bytes: Buffer, from: number, stop: number, shift: number): number {
    let at = from;
    while (at < stop) {
      const byte = bytes[at] as number;
      switch (this.#state) {
        case inVersion:
          at = this.#version.scan(bytes, at, stop);
          if (at === stop) break;
          if (bytes[at] !== SP) throw badStatusLine("no space after the version");
          at++;
          this.#digits = 0;
          this.status = 0;
          this.#state = inStatus;
          break;
        case inStatus:
          if (byte < ZERO || byte > NINE) throw badStatusLine("the status is not three digits");
          this.status = this.status * 10 + byte - ZERO;
          at++;
          if (++this.#digits === statusDigits) this.#state = afterStatus;
          break;
        case afterStatus:
          if (this.status < 100 || this.status > 599)
            throw badStatusLine("the status is not within 100 to 599");
          if (byte !== SP && byte !== CR) throw badStatusLine(`${byteName(byte)} after the status`);
          this.reasonStart = at + shift + 1;
          // Without the space the phrase ends where it would begin.
          this.reasonEnd = this.reasonStart;
          at++;
          this.#state = byte === SP ? inReason : atLineEnd;
          break;
        case inReason:
          while (at < stop && textBytes[bytes[at] as number] === 1) at++;
          if (at === stop) break;
          if (bytes[at] !== CR) throw badStatusLine(`${byteName(bytes[at])} in the reason phrase`);
          this.reasonEnd = at + shift;
          at++;
          this.#state = atLineEnd;
          break;
        default:
          if (byte !== LF) throw badStatusLine("a bare CR in it");
          this.version = this.#version.read();
          this.#state = inVersion;
          return at + 1;
      }
    }
    return -1;
  }
}

function badStatusLine(what: string): Error {
  return refuseResponse(502, "upstream_response_invalid", `status line: ${what}`);
}

import type { Headers } from "../headers.ts";
import type { RequestHead, ResponseHead } from "../message.ts";
import { refuseRequest, refuseResponse } from "./errors.ts";
import { announcedFraming, closeBody, framingFields, isForbiddenTrailer, noBody } from "./framing.ts";
import type { H1Limits } from "./limits.ts";
import { type After, type MessageEvents, MessageParser } from "./message-parser.ts";
import { RequestLine, StatusLine } from "./start-line.ts";
import { methodAt } from "./names.ts";

export type { MessageEvents, Phase } from "./message-parser.ts";

/** Parses the requests of one connection (RFC 9112). */
export class RequestParser extends MessageParser<RequestHead> {
  protected override readonly forgivesEmptyLine = true;
  readonly #line: RequestLine;

  constructor(limits: H1Limits, events: MessageEvents<RequestHead>) {
    const line = new RequestLine();
    super(limits, events, line, refuseRequest);
    this.#line = line;
  }

  protected override readHead(text: string, headers: Headers): RequestHead {
    const { methodEnd, targetEnd, version } = this.#line;
    const fields = framingFields(headers, version, this.refuse);
    if (fields.hostCount > 1) throw this.refuse(400, "invalid_host", "Host is repeated");
    if (fields.hostCount === 0 && version === 11) {
      throw this.refuse(400, "invalid_host", "Host is missing; HTTP/1.1 requires it");
    }
    const method = methodAt(text, methodEnd);
    // Whoever ignores its framing reads the body as the first bytes of the tunnel (RFC 9110 section 9.3.6).
    if (method === "CONNECT" && (fields.chunked || (fields.contentLength ?? 0) > 0)) {
      throw this.refuse(400, "malformed_request", "CONNECT with a body");
    }
    return {
      method,
      target: text.slice(methodEnd + 1, targetEnd),
      version,
      headers,
      framing: announcedFraming(fields, noBody),
      keepAlive: fields.keepAlive,
      expectContinue: fields.expectContinue,
      size: text.length,
    };
  }

  protected override beforeHead(): void {}

  protected override after(): After {
    return "end";
  }

  protected override checkTrailers(trailers: Headers): void {
    for (let index = 0; index < trailers.size; index++) {
      if (!isForbiddenTrailer(trailers.keyAt(index))) continue;
      throw this.refuse(400, "malformed_request", `${trailers.keyAt(index)} is not allowed in trailers`);
    }
  }
}

/** Parses the responses of one connection (RFC 9112), each after `expect` has said what it answers. */
export class ResponseParser extends MessageParser<ResponseHead> {
  protected override readonly forgivesEmptyLine = false;
  readonly #line: StatusLine;
  /** Method of the request whose response comes next. */
  #method: string | undefined;

  constructor(limits: H1Limits, events: MessageEvents<ResponseHead>) {
    const line = new StatusLine();
    super(limits, events, line, refuseResponse);
    this.#line = line;
  }

  /** Says that a request of this method was sent and its response, after any number of 1xx, comes next. */
  expect(method: string): void {
    this.#method = method;
  }

  /** Bytes that nobody asked for would be taken for the next request's response (I10, attack 32). */
  protected override beforeHead(): void {
    if (this.#method !== undefined) return;
    throw this.refuse(502, "upstream_response_invalid", "a response arrived that no request asked for");
  }

  protected override readHead(text: string, headers: Headers): ResponseHead {
    const { status, reasonStart, reasonEnd, version } = this.#line;
    const fields = framingFields(headers, version, this.refuse);
    // HTTP/1.0 has none, so clients differ in whether another head follows (RFC 9110 section 15.2).
    if (status < 200 && version === 10) {
      throw this.refuse(502, "upstream_response_invalid", "an interim response in HTTP/1.0");
    }
    const isBodiless =
      status < 200 ||
      status === 204 ||
      status === 304 ||
      this.#method === "HEAD" ||
      (this.#method === "CONNECT" && status < 300);
    const framing = isBodiless ? noBody : announcedFraming(fields, closeBody);
    if (status >= 200 || status === 101) this.#method = undefined;
    return {
      status,
      reason: text.slice(reasonStart, reasonEnd),
      version,
      headers,
      framing,
      keepAlive: fields.keepAlive && framing.kind !== "close",
      size: text.length,
    };
  }

  protected override after(head: ResponseHead): After {
    if (head.status === 101) return "otherProtocol";
    if (head.status < 200) return "anotherHead";
    return "end";
  }

  protected override checkTrailers(trailers: Headers): void {
    for (let index = trailers.size - 1; index >= 0; index--) {
      if (isForbiddenTrailer(trailers.keyAt(index))) trailers.removeAt(index);
    }
  }
}

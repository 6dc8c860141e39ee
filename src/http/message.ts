import type { Headers } from "./headers.ts";

/** How the end of a message body is found (RFC 9112 section 6). */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  /** Responses only: the body ends with the connection. */
  | { readonly kind: "close" };

/** 10 for HTTP/1.0, 11 for HTTP/1.1, 20 for HTTP/2. */
export type HttpVersion = 10 | 11 | 20;

/** Start line and header fields of a request, as they were on the wire. */
export interface RequestHead {
  method: string;
  /** Request target exactly as sent (RFC 9112 section 3.2). */
  target: string;
  version: HttpVersion;
  headers: Headers;
  framing: Framing;
  /** The connection may carry another request after this one. */
  keepAlive: boolean;
  /** `Expect: 100-continue` was sent, in a version that has it. */
  expectContinue: boolean;
  /** Bytes of the head on the wire. */
  size: number;
  /** HTTP/2: `:authority` as sent; the `host` field beside it has to name the same host and port (I1). */
  authority?: string | undefined;
  /** HTTP/2: `:protocol` of an extended CONNECT (RFC 8441), such as `websocket`; its method is read as GET. */
  protocol?: string | undefined;
}

/** Status line and header fields of a response. */
export interface ResponseHead {
  status: number;
  /** Reason phrase as sent; may be empty. Always empty in HTTP/2. */
  reason: string;
  version: HttpVersion;
  headers: Headers;
  framing: Framing;
  keepAlive: boolean;
  size: number;
}

import type { Headers } from "../http/headers.ts";
import type { ClientExchange } from "./exchange.ts";
import type { ConnectionInfo, UpstreamTimeouts } from "./types.ts";

/** What carries one exchange: an HTTP/1.1 connection, or a stream of an HTTP/2 connection. */
export interface Leg {
  readonly info: ConnectionInfo;
  readonly timeouts: UpstreamTimeouts;
  /** `performance.now()` at which the exchange's `onDeadline` is due; Infinity for never. */
  deadline: number;
  /** A 407 is the forward proxy's. */
  readonly toProxy: boolean;
  /**
   * Sends the request's head.
   * @param end no body follows
   * @throws {TypeError} when a part does not match its grammar
   */
  sendHead(exchange: ClientExchange, end: boolean): void;
  /** Sends bytes of the request's body; false when no more should come until `onDrain`. */
  sendBody(exchange: ClientExchange, bytes: Uint8Array): boolean;
  /** Ends the request's body. */
  endBody(exchange: ClientExchange, trailers: Headers | undefined): void;
  /** Whether more of the response's body is wanted. */
  setReading(on: boolean): void;
  /** Cuts the exchange off, and with it whatever cannot go on without it. */
  destroy(): void;
}

import type { Reason } from "../reasons.ts";
import type { Body } from "./body.ts";
import type { Channel } from "./channel.ts";
import type { Headers } from "./headers.ts";
import type { Framing, RequestHead } from "./message.ts";

/** Start line, fields and framing of an answer. */
export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
  readonly framing: Framing;
  /** Without a body: `Content-Length` stays, as in an answer to HEAD. */
  readonly keepsLength?: boolean;
}

/** What was wrong with a request after its head was handed on; said to the client in place of the upstream's failure. */
export interface RequestFault {
  readonly status: number;
  readonly reason: Reason;
  readonly message: string;
}

/** One request, as a connection of any version hands it on, and the place its answer goes. */
export interface Incoming {
  readonly head: RequestHead;
  readonly body: Body;
  /** Bytes of the request so far, head included, as they were on the wire. */
  readonly bytesIn: number;
  /** Bytes written for this exchange so far. */
  readonly bytesOut: number;
  /** The request's body turned out malformed or too slow. */
  readonly requestError: RequestFault | undefined;
  /** Called when the client went away before the answer was complete. */
  onAbandoned: (() => void) | undefined;
  /** Called once the answer is complete, or cut because its source failed (`error`). */
  onDone: ((error: Error | undefined) => void) | undefined;
  /** Sends a 1xx response (RFC 9110 section 15.2); a client of HTTP/1.0 gets none. */
  sendInterim(status: number, reason: string, headers: Headers): void;
  /**
   * Gives the final answer; the body is streamed with backpressure.
   * @param close ends the connection afterwards, whatever the client asked for
   */
  respond(answer: AnswerHead, body: Body, close?: boolean): void;
  /** Accepts the upgrade the client asked for: sends 101 (HTTP/1.1) or 200 (HTTP/2), and HTTP is over here. */
  accept(headers: Headers): Channel;
  /** Cuts the connection, or the stream: what was written must not look complete. */
  destroy(): void;
}

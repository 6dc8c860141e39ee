import type { Reason } from "../../reasons.ts";

/** 502 is for responses: an upstream's broken message is not the workload's mistake. */
export type H1Status = 400 | 408 | 413 | 414 | 431 | 501 | 502 | 505;

/** A message that is refused; its connection cannot be used any more. */
export class H1Error extends Error {
  override readonly name = "H1Error";
  /** What the client is answered with. */
  readonly status: H1Status;
  readonly reason: Reason;

  constructor(status: H1Status, reason: Reason, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Makes the refusal for one kind of message. `message` never quotes a field value (I14). */
export type Refuse = (status: H1Status, reason: Reason, message: string) => H1Error;

export const refuseRequest: Refuse = (status, reason, message) => new H1Error(status, reason, message);

/** Whatever is wrong with a response, it is the upstream's answer that is invalid. */
export const refuseResponse: Refuse = (_status, _reason, message) =>
  new H1Error(502, "upstream_response_invalid", message);

/** Names a byte in a message without putting it there. */
export function byteName(byte = 0): string {
  switch (byte) {
    case 0x00:
      return "a NUL byte";
    case 0x09:
      return "a tab";
    case 0x0a:
      return "a bare LF";
    case 0x0d:
      return "a bare CR";
    case 0x20:
      return "a space";
    default:
      return `byte 0x${byte.toString(16).padStart(2, "0")}`;
  }
}

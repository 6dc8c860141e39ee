import type { Reason } from "../reasons.ts";

/** Which part of the way failed. `request`: the body that was to be sent could not be read to its end. */
export type Leg = "resolve" | "connect" | "tls" | "proxy" | "request" | "response";

export interface UpstreamFailure {
  readonly reason: Reason;
  readonly leg: Leg;
  readonly status: number;
  /** For whoever sent the request: no address that it did not name itself, no credential (I14). */
  readonly message: string;
  /** For the operator's audit; may hold addresses, never a credential. */
  readonly detail?: string | undefined;
  /** The system's word for it, such as `ECONNREFUSED`. */
  readonly code?: string | undefined;
}

/** Why an exchange with an upstream, or a connection to it, failed. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly reason: Reason;
  readonly leg: Leg;
  readonly status: number;
  readonly detail: string | undefined;
  readonly code: string | undefined;

  constructor(failure: UpstreamFailure) {
    super(failure.message);
    this.reason = failure.reason;
    this.leg = failure.leg;
    this.status = failure.status;
    this.detail = failure.detail;
    this.code = failure.code;
  }
}

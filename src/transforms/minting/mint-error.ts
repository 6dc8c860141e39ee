import { networkProblem } from "../../sources/http.ts";
import { SourceError } from "../../sources/types.ts";

/** What is known of a failed mint besides its reason. */
export interface MintErrorOptions {
  /** Milliseconds the issuer asked to be left alone (Retry-After). */
  readonly retryAfterMs?: number | undefined;
}

/**
 * No token could be had. Reason and message are safe to show: nothing of a credential, of an answer of the issuer or
 * of another error's text is in them (I14).
 */
export class MintError extends Error {
  override readonly name = "MintError";
  /** For the audit: an OAuth error code, `token_endpoint_http_<status>`, `token_expired`, `mint_failed`, ... */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  /** @param detail for the operator's log */
  constructor(reason: string, detail: string, options: MintErrorOptions = {}) {
    super(detail);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Any error as a {@link MintError}; of those that nobody here made, only the code is told. */
export function asMintError(error: unknown): MintError {
  if (error instanceof MintError) return error;
  if (error instanceof SourceError) return new MintError("mint_failed", error.message);
  return new MintError("mint_failed", networkProblem(error) ?? "unexpected error");
}

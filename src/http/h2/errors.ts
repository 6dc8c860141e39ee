/** Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7). */
export const codes = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** The peer broke the protocol; what that costs it, the class says. */
abstract class H2Error extends Error {
  /** What RST_STREAM or GOAWAY says. */
  readonly code: number;

  /** @param message for the audit: what was wrong, never what was sent (I14) */
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The connection (RFC 9113 section 5.4.1). */
export class SessionError extends H2Error {
  override readonly name = "SessionError";
}

/** One stream; the connection goes on (RFC 9113 section 5.4.2). */
export class StreamError extends H2Error {
  override readonly name = "StreamError";
}

/** A message that breaks the rules of RFC 9113 section 8.1.1. */
export function malformed(message: string): StreamError {
  return new StreamError(codes.protocolError, message);
}

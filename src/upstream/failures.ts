import { H1Error } from "../http/h1/errors.ts";
import { UpstreamError } from "./error.ts";
import { isTlsError, tlsFailure } from "./tls-client.ts";
import type { UpstreamTarget } from "./types.ts";

/** What can go wrong once a request is on its way, in words. */
export const failures = {
  /** A part of the request that a transform made cannot be put on the wire. */
  unsendable(error: unknown): UpstreamError {
    return new UpstreamError({
      reason: "internal_error",
      leg: "request",
      status: 500,
      // Names the field and never the value.
      message: error instanceof TypeError ? error.message : "the request cannot be sent",
    });
  },

  /** The client's body was cut, too slow or malformed. */
  requestBody(error: Error): UpstreamError {
    const isMalformed = error instanceof H1Error;
    return new UpstreamError({
      reason: isMalformed ? error.reason : "body_incomplete",
      leg: "request",
      status: isMalformed ? error.status : 400,
      message: error.message,
    });
  },

  invalid(target: UpstreamTarget, error: Pick<Error, "message">): UpstreamError {
    return invalid(target, error.message);
  },

  unaskedUpgrade(target: UpstreamTarget): UpstreamError {
    return invalid(target, "it switched protocols although nobody asked it to");
  },

  otherUpgrade(target: UpstreamTarget): UpstreamError {
    return invalid(target, "it switched to another protocol than it was asked to");
  },

  /** It speaks HTTP/2, and takes no extended CONNECT. */
  noWebSocket({ authority }: UpstreamTarget): UpstreamError {
    return new UpstreamError({
      reason: "upgrade_not_supported",
      leg: "response",
      status: 502,
      message: `${authority.text} speaks only HTTP/2, and takes no WebSockets over it (RFC 8441).`,
    });
  },

  tooManyInterim(target: UpstreamTarget): UpstreamError {
    return invalid(target, "it sent one interim response after the other");
  },

  /** @param anyByte part of the response had arrived */
  closed(target: UpstreamTarget, anyByte: boolean, error: Error | undefined): UpstreamError {
    if (error !== undefined && isTlsError(error)) return tlsFailure(error, target.authority);
    const when = anyByte ? "before its answer was complete" : "before it answered";
    return new UpstreamError({
      reason: "upstream_closed",
      leg: "response",
      status: 502,
      message: `${target.authority.text} closed the connection ${when}.`,
      detail: error?.message,
    });
  },

  /** @param message says with which code */
  reset(target: UpstreamTarget, message: string): UpstreamError {
    return new UpstreamError({
      reason: "upstream_closed",
      leg: "response",
      status: 502,
      message: `${target.authority.text} cut off the exchange.`,
      detail: message,
    });
  },

  /** Either half of its body was gone already, or the upstream does not even take it over HTTP/1.1. */
  http11Required(target: UpstreamTarget): UpstreamError {
    return new UpstreamError({
      reason: "upstream_closed",
      leg: "response",
      status: 502,
      message: `${target.authority.text} wants this request over HTTP/1.1, and it cannot be sent again. Ask once more.`,
      detail: "HTTP_1_1_REQUIRED",
    });
  },

  requestTimeout: (target: UpstreamTarget): UpstreamError =>
    late(target, "stopped reading the request's body"),
  responseTimeout: (target: UpstreamTarget): UpstreamError => late(target, "did not answer in time"),
  bodyTimeout: (target: UpstreamTarget): UpstreamError => late(target, "stopped in the middle of its answer"),

  proxyCredentials(target: UpstreamTarget): UpstreamError {
    return new UpstreamError({
      reason: "upstream_proxy_failed",
      leg: "proxy",
      status: 502,
      message: `The forward proxy did not take the request to ${target.authority.text}: it wants other credentials (407).`,
    });
  },

  /** The proxy is being stopped or has a new configuration. */
  closing(): UpstreamError {
    return new UpstreamError({
      reason: "draining",
      leg: "connect",
      status: 503,
      message: "This proxy is stopping.",
    });
  },
};

function invalid(target: UpstreamTarget, what: string): UpstreamError {
  return new UpstreamError({
    reason: "upstream_response_invalid",
    leg: "response",
    status: 502,
    message: `${target.authority.text} sent an invalid response: ${what}.`,
  });
}

function late(target: UpstreamTarget, what: string): UpstreamError {
  return new UpstreamError({
    reason: "upstream_response_timeout",
    leg: "response",
    status: 504,
    message: `${target.authority.text} ${what}.`,
  });
}

import { type Authority, AuthorityError, defaultPorts, parseAuthority } from "../http/authority.ts";
import type { RequestHead } from "../http/message.ts";
import type { Target } from "../http/target.ts";
import type { ConnectionFacts } from "../listeners/context.ts";
import type { Reason } from "../reasons.ts";

/** A request that names no host, a wrong one, or two. */
export class RequestAuthorityError extends Error {
  readonly status: number;
  readonly reason: Reason;
  constructor(status: number, reason: Reason, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/**
 * The one authority a request is for (I1): what the target, the Host field, the TLS server name and the tunnel
 * say, which has to be the same host and port in all of them (attack 1, domain fronting).
 * @throws {RequestAuthorityError} 400 when there is none, 421 when they disagree
 */
export function requestAuthority(head: RequestHead, target: Target, facts: ConnectionFacts): Authority {
  const host = head.headers.get("host");
  const defaultPort = defaultPorts[facts.scheme];
  // What HTTP/2 has in :authority says the same as the target's absolute form does (RFC 9113 section 8.3.1).
  const sent = head.authority;
  const named = target.authority;
  if (named === undefined && sent === undefined && (host === undefined || host === "")) {
    throw new RequestAuthorityError(400, "invalid_host", "The request has no Host header.");
  }
  let authority: Authority;
  try {
    authority = named ?? parseAuthority(sent ?? (host as string), defaultPort);
    if (host !== undefined && host !== sent && parseAuthority(host, defaultPort).text !== authority.text) {
      throw mismatch();
    }
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    throw new RequestAuthorityError(400, "invalid_host", `Host header: ${error.message}.`);
  }
  if (target.scheme !== undefined && target.scheme !== facts.scheme) {
    throw new RequestAuthorityError(
      400,
      "invalid_target",
      `The target's scheme is ${target.scheme}, the connection's is ${facts.scheme}; use CONNECT for https.`,
    );
  }
  if (facts.authority !== undefined && facts.authority.text !== authority.text) throw mismatch();
  if (facts.host !== undefined && facts.host.name !== authority.host.name) throw mismatch();
  return authority;
}

function mismatch(): RequestAuthorityError {
  return new RequestAuthorityError(421, "authority_mismatch", "");
}

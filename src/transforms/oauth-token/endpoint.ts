import { AuthorityError, hostFromConfig, isLoopbackHost, makeAuthority } from "../../http/authority.ts";
import { canonicalizePath, TargetError } from "../../http/target.ts";

/** Where tokens are asked for. */
export interface TokenEndpoint {
  readonly url: string;
  /** `host:port`, as in {@link Authority.text}. */
  readonly authority: string;
  /** Path in the form that requests are compared in (I3); the query is no part of it. */
  readonly path: string;
}

/**
 * Reads the URL of a token endpoint.
 * @returns text instead: what is wrong with it, without repeating it (it may hold a password)
 */
export function parseTokenEndpoint(text: string): TokenEndpoint | string {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") {
    return "it has no host; write an absolute URL such as https://idp.example.com/oauth2/token";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "its scheme must be https";
  if (url.username !== "" || url.password !== "") {
    return "it has a user name or password in it; use client_id and client_secret";
  }
  if (url.hash !== "") return "it must not have a fragment (RFC 6749 section 3.2)";
  try {
    const host = hostFromConfig(url.hostname);
    const isPlain = url.protocol === "http:";
    if (isPlain && !isLoopbackHost(host)) {
      return "credentials go there, so it must be https; http is for 127.0.0.1, [::1] and localhost";
    }
    const port = url.port === "" ? (isPlain ? 80 : 443) : Number(url.port);
    return {
      url: url.href,
      authority: makeAuthority(host, port).text,
      path: canonicalizePath(url.pathname),
    };
  } catch (error) {
    if (error instanceof AuthorityError || error instanceof TargetError) return error.message;
    throw error;
  }
}

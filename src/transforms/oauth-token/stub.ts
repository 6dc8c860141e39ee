import type { Exchange } from "../../pipeline/types.ts";
import { jwtBearerGrant } from "../minting/stub.ts";
import type { TokenEndpoint } from "./endpoint.ts";

/** `grant_type` of requests that are answered here; any other (such as a login's code) is for the real issuer. */
const stubbedGrants = new Set(["refresh_token", "client_credentials", "password", jwtBearerGrant]);

/** Longest form that is looked at, in bytes; a token request has a few parameters. */
const maxFormBytes = 65_536;

/** True for a request that asks one of the endpoints for a token; its body stays readable. */
export type IsTokenRequest = (exchange: Exchange) => boolean | Promise<boolean>;

/**
 * @returns a test which throws BodyTooLargeError or BodyAbortedError, at once or later, where it has to read a body
 */
export function tokenRequests(endpoints: readonly TokenEndpoint[]): IsTokenRequest {
  const paths = new Map<string, Set<string>>();
  for (const { authority, path } of endpoints) {
    const known = paths.get(authority);
    if (known === undefined) paths.set(authority, new Set([path]));
    else known.add(path);
  }
  return (exchange) => {
    const { request, authority } = exchange;
    if (paths.get(authority.text)?.has(request.canonicalPath) !== true) return false;
    if (request.method !== "POST" || !isPlainForm(exchange)) return false;
    const { length } = request.body;
    if (length === 0 || (length !== undefined && length > maxFormBytes)) return false;
    const body = request.body.buffer(exchange.maxRequestBody);
    return body instanceof Promise ? body.then(asksForToken) : asksForToken(body);
  };
}

function isPlainForm({ request: { headers } }: Exchange): boolean {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  const coding = headers.get("content-encoding")?.toLowerCase() ?? "";
  return type === "application/x-www-form-urlencoded" && (coding === "" || coding === "identity");
}

function asksForToken(body: Buffer): boolean {
  if (body.length > maxFormBytes) return false;
  // A parameter must not be repeated (RFC 6749 section 3.2): who knows which one the issuer would read.
  const [grant, second] = new URLSearchParams(body.toString("utf8")).getAll("grant_type");
  return grant !== undefined && second === undefined && stubbedGrants.has(grant);
}

import type { Exchange } from "../../pipeline/types.ts";
import { jwtBearerGrant } from "../minting/stub.ts";
import type { Entry } from "./entry.ts";

/** `grant_type` of requests that are answered here; any other (such as a login's code) is for the real issuer. */
const stubbedGrants = new Set(["refresh_token", "client_credentials", "password", jwtBearerGrant]);

/** Longest form that is looked at, in bytes; a token request has a few parameters. */
const maxFormBytes = 65_536;

/** True for a request that asks one of the endpoints for a token; its body stays readable. */
export type IsTokenRequest = (exchange: Exchange) => boolean | Promise<boolean>;

/**
 * @returns a test which throws BodyTooLargeError or BodyAbortedError, at once or later, where it has to read a body
 */
export function tokenRequests(entries: readonly Pick<Entry, "endpoint" | "rules">[]): IsTokenRequest {
  const endpoints = Map.groupBy(entries, ({ endpoint }) => endpoint.authority);
  return (exchange) => {
    const { request, authority, client } = exchange;
    const here = endpoints
      .get(authority.text)
      ?.filter(({ endpoint }) => endpoint.path === request.canonicalPath);
    if (here?.some(({ rules }) => rules.serves(client.caller)) !== true) return false;
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

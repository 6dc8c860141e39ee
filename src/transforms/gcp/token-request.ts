import { at, parseJson, textAt } from "../../sources/json.ts";
import type { Exchange } from "../../pipeline/types.ts";
import { jwtBearerGrant } from "../minting/stub.ts";

/** What a workload asks a token endpoint of Google's for. */
export type TokenAsk =
  | { readonly kind: "access_token" }
  | { readonly kind: "id_token"; readonly audience: string }
  /** Something that only Google can answer, such as the exchange of a login's code. */
  | { readonly kind: "other" };

/** Google's token endpoints, those of older SDKs too. */
const endpoints: ReadonlyMap<string, readonly string[]> = new Map([
  ["oauth2.googleapis.com", ["/token"]],
  ["oauth2.mtls.googleapis.com", ["/token"]],
  ["www.googleapis.com", ["/oauth2/v4/token", "/oauth2/v3/token"]],
  ["accounts.google.com", ["/o/oauth2/token"]],
]);

/** Longest request that is looked into, in bytes; a token request is a few hundred. */
const maxBytes = 1_048_576;

const accessToken: TokenAsk = { kind: "access_token" };
const other: TokenAsk = { kind: "other" };

/** True where tokens are asked for; a map look-up for the requests that are not. */
export function isTokenEndpoint({ authority, request }: Exchange): boolean {
  const paths = endpoints.get(authority.host.name);
  return paths !== undefined && isUsualPort(authority.port) && paths.includes(request.canonicalPath);
}

export function isUsualPort(port: number): boolean {
  return port === 443 || port === 80;
}

/**
 * Looks into a request to a token endpoint; its body stays readable for everyone after this.
 * @throws {BodyTooLargeError | BodyAbortedError} at once or later
 */
export function tokenAskOf(exchange: Exchange): TokenAsk | Promise<TokenAsk> {
  const { body, headers } = exchange.request;
  const limit = Math.min(maxBytes, exchange.maxRequestBody);
  if (body.length !== undefined && body.length > limit) return other;
  const coding = headers.get("content-encoding")?.toLowerCase() ?? "";
  if (coding !== "" && coding !== "identity") return other;
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const bytes = body.buffer(limit);
  return bytes instanceof Promise ? bytes.then((content) => readAsk(content, type)) : readAsk(bytes, type);
}

function readAsk(content: Buffer, type: string): TokenAsk {
  if (content.length === 0) return accessToken;
  const fields = fieldsOf(content, type);
  if (fields === undefined) return other;
  const grant = fields("grant_type");
  if (grant === undefined) return accessToken;
  if (grant === "refresh_token") return fields("target_audience") === undefined ? accessToken : other;
  if (grant !== jwtBearerGrant) return other;
  const audience = targetAudience(fields("assertion") ?? "");
  return audience === undefined ? accessToken : { kind: "id_token", audience };
}

/** Reads one parameter; `undefined` for a body that is neither a form nor JSON, or repeats a parameter. */
function fieldsOf(content: Buffer, type: string): ((name: string) => string | undefined) | undefined {
  if (type === "application/json") {
    const json = parseJson(content);
    return typeof json === "object" && json !== null ? (name) => textAt(json, name) : undefined;
  }
  if (type !== "" && type !== "application/x-www-form-urlencoded") return undefined;
  const form = new URLSearchParams(content.toString("utf8"));
  // RFC 6749 section 3.2: who knows which of two grant types Google would read.
  if (form.getAll("grant_type").length > 1 || form.getAll("assertion").length > 1) return undefined;
  return (name) => form.get(name) || undefined;
}

/** The claim that makes an assertion ask for an ID token. Its signature is of a placeholder key. */
function targetAudience(assertion: string): string | undefined {
  const parts = assertion.split(".");
  const payload = parts[1] ?? "";
  if (parts.length !== 3 || !/^[A-Za-z0-9_-]+$/.test(payload)) return undefined;
  const audience = at(parseJson(Buffer.from(payload, "base64url")), "target_audience");
  return typeof audience === "string" && audience !== "" ? audience : undefined;
}

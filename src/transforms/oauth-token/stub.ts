import type { Exchange } from "../../pipeline/types.ts";
import { jwtBearerGrant } from "../minting/stub.ts";
import type { Entry } from "./entry.ts";

/** `grant_type` of requests that are answered here; any other (such as a login's code) is for the real issuer. */
const stubbedGrants = new Set(["refresh_token", "client_credentials", "password", jwtBearerGrant]);

/** Parameters that may hold a token which the workload has a placeholder for (RFC 6749 section 6, RFC 8693 section 2.1). */
const tokenParameters = ["refresh_token", "subject_token", "actor_token"];

/** Longest form that is looked at, in bytes; a token request has a few parameters. */
const maxFormBytes = 65_536;

/** What is done with a request to a token endpoint. */
export type TokenRequest =
  /** It is answered here. */
  | { readonly kind: "stub" }
  /** It goes to the issuer, whose answer is searched for tokens. */
  | { readonly kind: "issuer"; readonly entry: TokenEntry; readonly swap: Swap | undefined };

/** A token that the workload has a placeholder for, in the body of a token request. */
export interface Swap {
  readonly placeholder: string;
  /** Writes a value as it has to stand in this body. */
  readonly encode: (value: string) => string;
}

export type TokenEntry = Pick<Entry, "endpoint" | "rules" | "captures" | "index">;

/** What a request to one of the endpoints asks for; `undefined` for every other request. Its body stays readable. */
export type ClassifyTokenRequest = (
  exchange: Exchange,
) => TokenRequest | undefined | Promise<TokenRequest | undefined>;

/**
 * @param isCaptured whether a text is the placeholder of a token that this caller got from the endpoint
 * @returns a test which throws BodyTooLargeError or BodyAbortedError, at once or later, where it has to read a body
 */
export function tokenRequests(
  entries: readonly TokenEntry[],
  isCaptured: (text: string, exchange: Exchange, entry: TokenEntry) => boolean,
): ClassifyTokenRequest {
  const endpoints = Map.groupBy(entries, ({ endpoint }) => endpoint.authority);
  return (exchange) => {
    const { request, authority, client } = exchange;
    const here = endpoints
      .get(authority.text)
      ?.filter(({ endpoint }) => endpoint.path === request.canonicalPath);
    const served = here?.filter(({ rules }) => rules.serves(client.caller)) ?? [];
    const entry = served.find(({ captures }) => captures) ?? served[0];
    if (entry === undefined || request.method !== "POST") return undefined;
    const issuer = (swap?: Swap): TokenRequest | undefined =>
      entry.captures ? { kind: "issuer", entry, swap } : undefined;
    const form = bodyForm(exchange);
    const { length } = request.body;
    if (form === undefined || length === 0 || (length !== undefined && length > maxFormBytes))
      return issuer();
    const decide = (body: Buffer): TokenRequest | undefined => {
      if (body.length > maxFormBytes) return issuer();
      const parameters = parametersOf(body.toString("utf8"), form);
      const tokens = tokenParameters.flatMap((name) => parameters.get(name) ?? []);
      const placeholder = tokens.find((text) => isCaptured(text, exchange, entry));
      if (placeholder !== undefined) {
        const encode =
          form === "json" ? (value: string) => JSON.stringify(value).slice(1, -1) : encodeURIComponent;
        return issuer({ placeholder, encode });
      }
      // A parameter must not be repeated (RFC 6749 section 3.2): who knows which one the issuer would read.
      const [grant, second] = parameters.get("grant_type") ?? [];
      const isStubbed =
        form === "form" && grant !== undefined && second === undefined && stubbedGrants.has(grant);
      return isStubbed ? { kind: "stub" } : issuer();
    };
    const body = request.body.buffer(exchange.maxRequestBody);
    return body instanceof Promise ? body.then(decide) : decide(body);
  };
}

function bodyForm({ request: { headers } }: Exchange): "form" | "json" | undefined {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  const coding = headers.get("content-encoding")?.toLowerCase() ?? "";
  if (coding !== "" && coding !== "identity") return undefined;
  if (type === "application/json") return "json";
  return type === "application/x-www-form-urlencoded" ? "form" : undefined;
}

function parametersOf(text: string, form: "form" | "json"): ReadonlyMap<string, readonly string[]> {
  if (form === "form") {
    const all = [...new URLSearchParams(text)];
    return new Map(
      [...Map.groupBy(all, ([name]) => name)].map(([name, list]) => [name, list.map(([, value]) => value)]),
    );
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return new Map();
  }
  if (typeof data !== "object" || data === null) return new Map();
  return new Map(
    Object.entries(data).flatMap(([name, value]) => (typeof value === "string" ? [[name, [value]]] : [])),
  );
}

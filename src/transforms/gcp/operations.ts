import type { Exchange } from "../../pipeline/types.ts";

/**
 * Calls that answer with a credential which works without the proxy (attack 48): a token, a signature, a key. Names
 * are those of Google's API reference, with the first letter in lower case.
 */
export const credentialOperations = [
  "generateAccessToken",
  "generateIdToken",
  "signBlob",
  "signJwt",
  "createServiceAccountKey",
  "uploadServiceAccountKey",
  "createHmacKey",
  "createKey",
  "getKeyString",
  "batch",
] as const;

export type CredentialOperation = (typeof credentialOperations)[number];

/** Custom methods (`/v1/.../x@y:signBlob`), the same in every version of the API. */
const verbs: readonly string[] = ["generateAccessToken", "generateIdToken", "signBlob", "signJwt"];

/**
 * Which credential a request to one of Google's APIs asks for.
 * @returns `undefined` for all other requests
 */
export function credentialOperation({ authority, request }: Exchange): CredentialOperation | undefined {
  const host = authority.host.name;
  if (!host.endsWith(".googleapis.com")) return undefined;
  const path = decoded(request.canonicalPath);
  const query = request.query ?? "";
  const rpc = /^\/google\.[^/]+\/([A-Z][A-Za-z]+)$/.exec(path)?.[1];
  if (rpc !== undefined) return known(rpc.charAt(0).toLowerCase() + rpc.slice(1));
  const verb = /:([A-Za-z]+)\/?$/.exec(path)?.[1] ?? "";
  if (verbs.includes(verb)) return known(verb);
  if (/\/keyString\/?$/.test(path)) return "getKeyString";
  if (/\/serviceAccounts\/[^/]+\/keys:upload\/?$/.test(path)) return "uploadServiceAccountKey";
  // One batch holds many requests, which nobody looks into.
  if (/^(?:iam|iamcredentials|apikeys)\./.test(host) && /^\/batch(?:\/|$)/.test(path)) return "batch";
  if (isReading(request)) return undefined;
  if (/\/serviceAccounts\/[^/]+\/keys\/?$/.test(path)) return "createServiceAccountKey";
  if (/\/hmacKeys\/?$/.test(path) || /(?:^|&)Action=CreateAccessKey(?:&|$)/i.test(query))
    return "createHmacKey";
  if (host.startsWith("apikeys.") && /\/keys\/?$/.test(path)) return "createKey";
  return undefined;
}

/** Google's APIs take the method from a header or a parameter too. */
function isReading({ method, headers, query }: Exchange["request"]): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  return !headers.has("x-http-method-override") && !/httpmethod|method-override/i.test(query ?? "");
}

function known(name: string): CredentialOperation | undefined {
  return credentialOperations.find((operation) => operation === name);
}

/** Reserved escapes are still in a canonical path, and a server may take `%3A` for a colon. */
function decoded(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/%[0-9A-F]{2}/gi, (escape) =>
    String.fromCharCode(Number.parseInt(escape.slice(1), 16)),
  );
}

import type { Entry, SecretRef } from "./types.ts";

/** Every credential of an entry, with the key it is declared under, in a fixed order. */
export function secretsOf(entry: Entry): readonly (readonly [key: string, secret: SecretRef])[] {
  switch (entry.type) {
    case "http":
    case "gcp_auth":
    case "pg_dsn":
      return [["secret_ref", entry.secret]];
    case "oauth_token":
      return [...entry.fields, ...entry.tokenEndpointHeaders];
    case "hmac_sign":
      return [...entry.credentials];
    case "aws_auth": {
      const token = entry.sessionToken;
      return [
        ["access_key_id", entry.accessKeyId],
        ["secret_access_key", entry.secretAccessKey],
        ...(token === undefined ? [] : ([["session_token", token]] as const)),
      ];
    }
  }
}

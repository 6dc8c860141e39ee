import { parseJson, textAt } from "../../sources/json.ts";
import { type SigningKey, signingKey } from "../minting/assertion.ts";
import { MintError } from "../minting/mint-error.ts";
import type { CheckTokenUrl } from "./token-hosts.ts";

/** A service account with its key, as Google hands it out. */
export interface ServiceAccount {
  readonly email: string;
  readonly key: SigningKey;
  readonly keyId: string | undefined;
  readonly tokenUri: string;
  /** `aud` of the assertion where it is not the token endpoint. */
  readonly audience: string | undefined;
}

/** Where Google issues tokens. */
export const googleTokenUri = "https://oauth2.googleapis.com/token";

/**
 * Reads a service account's key file.
 * @throws {MintError} which names the field that is wrong and shows nothing of the file (I14)
 */
export function parseKeyfile(text: string, checkUrl: CheckTokenUrl): ServiceAccount {
  const json = parseJson(text);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new MintError("mint_failed", "the key file is not a JSON object");
  }
  if (textAt(json, "type") !== "service_account") {
    const hint = "for other credentials, use credentials_provider with GOOGLE_APPLICATION_CREDENTIALS";
    throw new MintError("mint_failed", `the key file's "type" is not "service_account"; ${hint}`);
  }
  return serviceAccountOf(json, checkUrl);
}

/**
 * @param json an object whose `type` is `service_account`
 * @throws {MintError}
 */
export function serviceAccountOf(json: object, checkUrl: CheckTokenUrl): ServiceAccount {
  const email = required(json, "client_email");
  const key = signingKey(required(json, "private_key"), "private_key of the key file");
  if (key.algorithm !== "RS256") {
    throw new MintError("mint_failed", "private_key of the key file is not an RSA key");
  }
  const tokenUri = textAt(json, "token_uri") || googleTokenUri;
  checkUrl(tokenUri, "token_uri of the key file");
  const [keyId, audience] = [textAt(json, "private_key_id"), textAt(json, "audience")];
  return { email, key, keyId: keyId || undefined, tokenUri, audience: audience || undefined };
}

/** @throws {MintError} when the field is missing, empty or no text */
export function required(json: object, field: string): string {
  const value = textAt(json, field) ?? "";
  if (value === "") throw new MintError("mint_failed", `the key file has no ${field}`);
  return value;
}

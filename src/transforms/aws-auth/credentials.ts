import type { SecretHandle } from "../../sources/types.ts";
import { type Credentials, credentialSet } from "../minting/credential-set.ts";
import { type AwsKeys, Signer } from "./sigv4.ts";

/** Gives the keys to sign with: at once where they are cached. */
export interface CredentialSource {
  readonly name: "static" | "workload_identity";
  /** @throws {CredentialError | SourceError | MintError} at once or later, when there are no keys */
  get(): Signer | Promise<Signer>;
  close?(): void;
}

/** Keys that cannot be used. The message names the key of the configuration and shows nothing of a value (I14). */
export class CredentialError extends Error {
  override readonly name = "CredentialError";
}

/** Keys of the configuration that have a source. */
export type KeyName = "access_key_id" | "secret_access_key" | "session_token";

/** Keys from the product's own sources. The signer is kept until one of the values changes. */
export function staticCredentials(handles: ReadonlyMap<KeyName, SecretHandle>): CredentialSource {
  const set = credentialSet(handles);
  let last: { readonly credentials: Credentials<KeyName>; readonly signer: Signer } | undefined;
  const sign = (credentials: Credentials<KeyName>): Signer => {
    if (last?.credentials !== credentials) {
      const value = (name: KeyName): string | undefined => credentials.get(name)?.reveal();
      const [accessKeyId = "", secretAccessKey = ""] = [value("access_key_id"), value("secret_access_key")];
      const sessionToken = value("session_token");
      last = { credentials, signer: signerOf({ accessKeyId, secretAccessKey, sessionToken }) };
    }
    return last.signer;
  };
  return {
    name: "static",
    get() {
      const credentials = set.get();
      return credentials instanceof Promise ? credentials.then(sign) : sign(credentials);
    },
  };
}

const maxKeyLength = 256;
const maxTokenLength = 16_384;

/**
 * A signer, of keys that can be used.
 * @throws {CredentialError} for an empty value, one that is too long or one that no AWS key can be
 */
export function signerOf({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys): Signer {
  check("access_key_id", accessKeyId, maxKeyLength);
  check("secret_access_key", secretAccessKey, maxKeyLength);
  if (sessionToken !== undefined) check("session_token", sessionToken, maxTokenLength);
  return new Signer({ accessKeyId, secretAccessKey, sessionToken });
}

/**
 * A value has to fit into a header and into `Credential=` (attack 33). A line break at the end, as files have it, would
 * sign with another key than meant, and AWS would only say that the signature does not match.
 */
function check(name: KeyName, value: string, maxLength: number): void {
  if (value === "") throw new CredentialError(`${name}: the value is empty`);
  if (value.length > maxLength) throw new CredentialError(`${name}: the value is too long`);
  if (!/^[\x21-\x7e]+$/.test(value) || (name === "access_key_id" && /[,/]/.test(value))) {
    throw new CredentialError(`${name}: the value has a space, a line break or another unusable character`);
  }
}

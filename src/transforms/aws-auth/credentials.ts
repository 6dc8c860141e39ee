import type { Secret, SecretHandle } from "../../sources/types.ts";
import { type AwsKeys, Signer } from "./sigv4.ts";

/** Gives the keys to sign with: at once where they are cached. */
export interface CredentialSource {
  readonly name: "static" | "workload_identity";
  /** @throws {CredentialError} at once or later; its text holds nothing of a value */
  get(): Signer | Promise<Signer>;
}

/** Why there are no keys. The message names what failed and is safe to show (I14). */
export class CredentialError extends Error {
  override readonly name = "CredentialError";
}

/** The sources of long-lived or session keys, by their key in the configuration. */
export interface StaticHandles {
  readonly access_key_id: SecretHandle;
  readonly secret_access_key: SecretHandle;
  readonly session_token: SecretHandle | undefined;
}

/** Keys from the product's own sources. The signer is kept until one of the values changes. */
export function staticCredentials(handles: StaticHandles): CredentialSource {
  let last: readonly (Secret | undefined)[] = [];
  let signer: Signer | undefined;
  const signerOf = (secrets: readonly (Secret | undefined)[]): Signer => {
    if (signer === undefined || secrets.some((secret, index) => secret !== last[index])) {
      const [id, key, token] = secrets;
      signer = new Signer({
        accessKeyId: checked("access_key_id", (id as Secret).reveal(), maxKeyLength),
        secretAccessKey: checked("secret_access_key", (key as Secret).reveal(), maxKeyLength),
        sessionToken: token && checked("session_token", token.reveal(), maxTokenLength),
      });
      last = secrets;
    }
    return signer;
  };
  return {
    name: "static",
    get() {
      const id = ask("access_key_id", handles.access_key_id);
      const key = ask("secret_access_key", handles.secret_access_key);
      const token = handles.session_token && ask("session_token", handles.session_token);
      if (!(id instanceof Promise) && !(key instanceof Promise) && !(token instanceof Promise)) {
        return signerOf([id, key, token]);
      }
      return Promise.all([id, key, token]).then(signerOf);
    },
  };
}

const maxKeyLength = 256;
const maxTokenLength = 16_384;

function ask(name: string, handle: SecretHandle): Secret | Promise<Secret> {
  const failed = (): never => {
    throw new CredentialError(`${name}: the source could not be read`);
  };
  try {
    const secret = handle.get();
    return secret instanceof Promise ? secret.catch(failed) : secret;
  } catch {
    return failed();
  }
}

/**
 * A value that can stand in a header and in `Credential=`. A line break at the end, as files have it, would sign with
 * another key than meant, and AWS would only say that the signature does not match.
 */
function checked(name: string, value: string, maxLength: number): string {
  if (value === "") throw new CredentialError(`${name}: the value is empty`);
  if (value.length > maxLength) throw new CredentialError(`${name}: the value is too long`);
  if (!/^[\x21-\x7e]+$/.test(value) || (name === "access_key_id" && /[,/]/.test(value))) {
    throw new CredentialError(`${name}: the value has a space, a line break or another unusable character`);
  }
  return value;
}

/** Checks what a provider gave as it checks what a source gave. */
export function signerOfProvider(keys: AwsKeys): Signer {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = keys;
  return new Signer({
    accessKeyId: checked("access_key_id", accessKeyId, maxKeyLength),
    secretAccessKey: checked("secret_access_key", secretAccessKey, maxKeyLength),
    sessionToken: sessionToken ? checked("session_token", sessionToken, maxTokenLength) : undefined,
    expiration,
  });
}

import type { Secret, SecretHandle } from "../../sources/types.ts";
import type { Exposed } from "../../scrub/forms.ts";
import { hasControl, toByteString } from "../byte-string.ts";
import { exposedValue, type ScrubMode } from "../exposure.ts";
import type { Signer } from "./keys.ts";

/** What a request is signed with. */
export interface SigningCredentials {
  readonly signer: Signer;
  /** All but the key, by name, as byte strings. */
  readonly values: ReadonlyMap<string, string>;
  /** What must not come back in an answer: all but the key, which never goes out. */
  readonly exposed: readonly Exposed[];
}

/** A credential that could not be had, or cannot be used. The message is safe to show (I14). */
export class CredentialError extends Error {
  override readonly name = "CredentialError";
  /** Its name in the configuration. */
  readonly credential: string;
  constructor(credential: string, message: string) {
    super(message);
    this.credential = credential;
  }
}

/** The credential that is the signing key. */
export const keyName = "secret";

const maxLength = 16_384;

/**
 * Gives the credentials: at once where all are cached. They are decoded again only when a value changes.
 * @param handles by name, {@link keyName} among them
 * @returns a function that throws, or rejects with, {@link CredentialError} or a `KeyError`
 */
export function signingCredentials(
  handles: ReadonlyMap<string, SecretHandle>,
  makeSigner: (key: string) => Signer,
  scrub?: ScrubMode,
): () => SigningCredentials | Promise<SigningCredentials> {
  const names = [...handles.keys()];
  const all = [...handles.values()];
  let last: readonly Secret[] = [];
  let made: SigningCredentials | undefined;
  const make = (secrets: readonly Secret[]): SigningCredentials => {
    if (made !== undefined && secrets.every((secret, index) => secret === last[index])) return made;
    let signer: Signer | undefined;
    const values = new Map<string, string>();
    for (const [index, name] of names.entries()) {
      const value = checked(name, (secrets[index] as Secret).reveal());
      if (name === keyName) signer = makeSigner(value);
      else values.set(name, toByteString(value));
    }
    last = secrets;
    const exposed = [...values].flatMap(([name, value]) => exposedValue({ mode: scrub, name }, value));
    made = { signer: signer as Signer, values, exposed };
    return made;
  };
  return () => {
    const secrets = all.map((handle, index) => ask(names[index] as string, handle));
    return secrets.some((secret) => secret instanceof Promise)
      ? Promise.all(secrets.map((secret) => Promise.resolve(secret))).then(make)
      : make(secrets as Secret[]);
  };
}

function ask(name: string, handle: SecretHandle): Secret | Promise<Secret> {
  // The cache has said why, where the operator reads it. Never thrown at once: another one's promise would be left
  // alone then, and its failure end the process.
  const failed = (): Promise<never> =>
    Promise.reject(new CredentialError(name, "the source could not be read"));
  try {
    const secret = handle.get();
    return secret instanceof Promise ? secret.catch(failed) : secret;
  } catch {
    return failed();
  }
}

function checked(name: string, value: string): string {
  if (value === "") throw new CredentialError(name, "the value is empty");
  if (value.length > maxLength) throw new CredentialError(name, `the value is longer than ${maxLength}`);
  if (name !== keyName && hasControl(value)) {
    throw new CredentialError(name, "the value has a line break or another control character");
  }
  return value;
}

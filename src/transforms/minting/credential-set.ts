import { Secret, type SecretHandle } from "../../sources/types.ts";

/** Values that belong together, by the names a mechanism gave them. */
export interface Credentials<Name extends string = string> {
  /** `undefined` for a name that has no source. */
  get(name: Name): Secret | undefined;
}

/** Sources that are read together. */
export interface CredentialSet<Name extends string = string> {
  readonly handles: readonly SecretHandle[];
  /**
   * Their values now: the same object until one of them changes, at once when all are cached. Fields of one secret
   * (`json_key`) come from one version of it.
   * @throws {SourceError} at once or later, when one cannot be read
   */
  get(): Credentials<Name> | Promise<Credentials<Name>>;
}

/** @param sources handle for each name; order is the order they are asked in */
export function credentialSet<Name extends string>(
  sources: ReadonlyMap<Name, SecretHandle>,
): CredentialSet<Name> {
  const names = [...sources.keys()];
  const handles = [...sources.values()];
  let last: { readonly secrets: readonly Secret[]; readonly credentials: Credentials<Name> } | undefined;
  const remember = (secrets: readonly Secret[]): Credentials<Name> => {
    if (last?.secrets.every((secret, index) => secret === secrets[index])) return last.credentials;
    const values = new Map(names.map((name, index) => [name, secrets[index] as Secret]));
    last = { secrets, credentials: { get: (name) => values.get(name) } };
    return last.credentials;
  };
  /** The sources from one on, which follow on answers that are known. */
  const read = (known: readonly Secret[], first: Secret | Promise<Secret>) => {
    const answers = [...known, first];
    try {
      for (const handle of handles.slice(answers.length)) answers.push(handle.get());
    } catch (error) {
      for (const answer of answers) if (answer instanceof Promise) answer.catch(() => {}); // one failure is told
      throw error;
    }
    const secrets = answers.filter((answer) => answer instanceof Secret);
    if (secrets.length === answers.length) return remember(secrets);
    return Promise.all(answers.map(async (answer) => answer)).then(remember);
  };
  return {
    handles,
    get() {
      for (const [index, handle] of handles.entries()) {
        const answer = handle.get();
        if (answer !== last?.secrets[index]) return read(last?.secrets.slice(0, index) ?? [], answer);
      }
      return last?.credentials ?? remember([]);
    },
  };
}

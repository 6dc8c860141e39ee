// The keys that tokens of sandboxes are signed with; from variables, or from files that a running proxy reads again.
import { createHash, createSecretKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";

/** Holds the key, or names a file with it when `_FILE` is put behind. */
export const signingKeyVariable = "SANDBOX_SIGNING_KEY";
/** The key before it, whose tokens are still good while the new ones spread. */
export const previousKeyVariable = "SANDBOX_SIGNING_KEY_PREVIOUS";

/** Every variable that says anything of the keys, for those who keep them from a workload. */
export const signingVariables: readonly string[] = [signingKeyVariable, previousKeyVariable].flatMap(
  (name) => [name, `${name}_FILE`],
);

/** As many as HMAC-SHA256 has of strength (RFC 2104 section 3). */
const leastBytes = 32;

export interface SigningKeys {
  /** Signs, and is tried first. */
  readonly current: SigningKey;
  readonly previous: SigningKey | undefined;
}

export interface SigningKey {
  readonly key: KeyObject;
  /** Tells keys apart; says nothing of the key. */
  readonly id: string;
}

/** Keys that cannot be used. The message names the variable and what to do, and shows nothing of the key (I14). */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
  readonly variable: string;
  /** The message without the variable's name in front. */
  readonly problem: string;
  constructor(variable: string, problem: string) {
    super(`${variable} ${problem}`);
    this.variable = variable;
    this.problem = problem;
  }
}

/** Whether a key is named at all; without one nobody can prove anything. */
export function namesSigningKey(env: NodeJS.ProcessEnv): boolean {
  return signingVariables.some((name) => (env[name] ?? "") !== "");
}

/**
 * Reads the keys. White space around them does not count.
 * @returns `undefined` where no variable names one
 * @throws {SigningKeyError}
 */
export function readSigningKeys(env: NodeJS.ProcessEnv): SigningKeys | undefined {
  const current = readKey(signingKeyVariable, env);
  const previous = readKey(previousKeyVariable, env);
  if (current !== undefined) return { current, previous };
  if (previous === undefined) return undefined;
  throw new SigningKeyError(signingKeyVariable, `is not set, and ${previousKeyVariable} alone signs nothing`);
}

function readKey(variable: string, env: NodeJS.ProcessEnv): SigningKey | undefined {
  const { [variable]: value = "", [`${variable}_FILE`]: file = "" } = env;
  if (value === "" && file === "") return undefined;
  if (value !== "" && file !== "") {
    throw new SigningKeyError(variable, `and ${variable}_FILE are both set; keep one of them`);
  }
  return value === ""
    ? makeKey(`${variable}_FILE`, readText(`${variable}_FILE`, file))
    : makeKey(variable, value);
}

function readText(variable: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code = "unknown error" } = error as NodeJS.ErrnoException;
    throw new SigningKeyError(variable, `names a file that cannot be read (${code})`);
  }
}

function makeKey(variable: string, text: string): SigningKey {
  const bytes = Buffer.from(text.trim(), "utf8");
  if (bytes.length < leastBytes) {
    throw new SigningKeyError(
      variable,
      `holds fewer than ${leastBytes} bytes; make a key with: openssl rand -hex 32`,
    );
  }
  const id = createHash("sha256")
    .update("sallyport signing key id\0")
    .update(bytes)
    .digest("base64url")
    .slice(0, 12);
  return { key: createSecretKey(bytes), id };
}

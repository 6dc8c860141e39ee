import { tokenFor } from "../../api/sandbox.ts";
import { readSigningKeys, signingKeyVariable, type SigningKeys } from "../../callers/keys.ts";
import { TokenError } from "../../callers/token.ts";
import { CliError, type Io } from "../io.ts";

export interface TokenOptions {
  readonly name?: string;
  readonly tools?: readonly string[];
  /** Seconds. */
  readonly ttl: number;
  readonly json?: true;
}

export function printToken(options: TokenOptions, io: Io): void {
  if (options.name === undefined) throw new CliError("--name is required: the name of the sandbox", 2);
  const { token, expiresAt } = makeToken({ ...options, name: options.name }, io.env);
  if (options.json !== true) {
    io.stdout(`${token}\n`);
    return;
  }
  const { name, tools = null } = options;
  io.stdout(`${JSON.stringify({ name, tools, token, expires_at: expiresAt.toISOString() }, undefined, 2)}\n`);
}

/** @throws {CliError} exit code 1 without a usable key, 2 for what no token can say */
export function makeToken(
  { name, tools, ttl }: TokenOptions & { readonly name: string },
  env: NodeJS.ProcessEnv,
): { readonly token: string; readonly expiresAt: Date } {
  const keys = keysOf(env);
  try {
    return tokenFor({ name, tools, ttl }, keys, Date.now());
  } catch (error) {
    if (error instanceof TokenError) throw new CliError(error.message, 2);
    throw error;
  }
}

function keysOf(env: NodeJS.ProcessEnv): SigningKeys {
  const keys = readSigningKeys(env);
  if (keys !== undefined) return keys;
  throw new CliError(`${signingKeyVariable} is not set; it has to be the key that the proxy has`);
}

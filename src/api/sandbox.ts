// One sandbox: a token that says who it is, and an environment that leads it to the proxy.
import { type SigningKeys, signingVariables } from "../callers/keys.ts";
import { issueToken, type TokenRequest } from "../callers/token.ts";
import { type SandboxEnvironment, sandboxEnvironment } from "../tools/sandbox-environment.ts";
import { type Declared, placeholdersFor } from "./declared.ts";
import type { ProxyAddress } from "./proxy-address.ts";

/** What holds for every sandbox of one proxy. */
export interface SandboxSettings {
  readonly proxy: ProxyAddress;
  /** Path of the bundle inside the sandbox. */
  readonly caPath: string;
  /** Hosts that the sandbox reaches directly, besides itself and the proxy. */
  readonly direct: readonly string[];
  readonly extra: ReadonlyMap<string, string>;
}

/** Where sandboxes find the bundle unless they are told another place. */
export const defaultCaPath = "/etc/sallyport/ca-bundle.pem";

/** The environment would hold a credential. The message names both variables and shows nothing (I14). */
export class LeakError extends Error {
  override readonly name = "LeakError";
}

/**
 * @param limit tools the sandbox is limited to
 * @param token what it proves itself with; `undefined` for none
 * @throws {LeakError}
 */
export function environmentOf(
  declared: Declared,
  settings: SandboxSettings,
  {
    limit,
    token,
    env,
  }: { limit: readonly string[] | undefined; token: string | undefined; env: NodeJS.ProcessEnv },
): SandboxEnvironment {
  const { proxy, caPath, direct, extra } = settings;
  const made = sandboxEnvironment({
    placeholders: placeholdersFor(declared, limit),
    shaped: declared.shaped,
    proxyUrl: proxy.urlWith(token),
    bundle: caPath,
    direct: [...proxy.names, ...direct],
    extra,
  });
  refuseCredentials(made.variables, declared.secretVariables, env);
  return made;
}

/** A new token, and when it ends. Throws TokenError. */
export function tokenFor(
  request: TokenRequest,
  { current }: SigningKeys,
  now: number,
): { readonly token: string; readonly expiresAt: Date } {
  const { token, claims } = issueToken(request, current.key, now);
  return { token, expiresAt: new Date(claims.expiresAt * 1000) };
}

/** Variables of the proxy and of its sources' own credentials. */
const alwaysSecret: readonly string[] = [
  ...signingVariables.filter((name) => !name.endsWith("_FILE")),
  "IRON_MANAGEMENT_API_KEY",
  "IRON_PROXY_TOKEN",
  "OP_SERVICE_ACCOUNT_TOKEN",
  "OP_CONNECT_TOKEN",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
];

/** A shorter value stands in other texts by chance. */
const leastLength = 8;

/**
 * A placeholder that is the value itself, or a variable that somebody added, would hand a credential to the sandbox. Where
 * this runs beside the values, as with the source `env`, it can be seen.
 */
function refuseCredentials(
  variables: ReadonlyMap<string, string>,
  names: ReadonlySet<string>,
  env: NodeJS.ProcessEnv,
): void {
  for (const secret of new Set([...names, ...alwaysSecret])) {
    const value = env[secret] ?? "";
    // The name is no secret: this may be the environment of a sandbox already.
    if (value === "" || value === secret) continue;
    for (const [name, text] of variables) {
      if (text !== value && (value.length < leastLength || !text.includes(value))) continue;
      const what =
        name === secret ? `${name}: its placeholder is its value` : `${name} holds the value of ${secret}`;
      throw new LeakError(`${what}; a sandbox is never given a credential: choose another text for ${name}`);
    }
  }
}

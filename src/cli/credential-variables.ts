import { signingVariables } from "../callers/keys.ts";
import type { Config } from "../config/types.ts";
import type { Transform } from "../pipeline/types.ts";
import type { SecretHandle } from "../sources/types.ts";

/** Variables of the environment that sources read, and that hold the keys of the proxy itself. */
export function credentialVariables(
  { management }: Config,
  transforms: readonly Transform[],
  others: readonly SecretHandle[],
): Set<string> {
  const names = new Set(["IRON_PROXY_TOKEN", management.apiKeyEnv, ...signingVariables]);
  const handles = [...transforms.flatMap(({ secrets = [] }) => secrets), ...others];
  for (const { variables } of handles) for (const name of variables) names.add(name);
  return names;
}

/**
 * Those of them that can be taken out of `process.env` once they have been read. Not what a cloud's library looks up
 * there by itself whenever it renews the proxy's own identity.
 */
export function forgettableVariables(
  config: Config,
  transforms: readonly Transform[],
  others: readonly SecretHandle[],
): Set<string> {
  const names = credentialVariables(config, transforms, others);
  const lookedUp = [...transforms.flatMap(({ variables = [] }) => variables), ...lookedUpForSources];
  for (const name of lookedUp) names.delete(name);
  return names;
}

/** A source of AWS's is given the keys; where there are none, its library looks for these. */
const lookedUpForSources = [
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

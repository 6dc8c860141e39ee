import { devNull } from "node:os";
import { type LoadResult, loadConfig } from "../../config/load.ts";
import type { Config, TransformEntry } from "../../config/types.ts";
import { shapedPlaceholder } from "../../tools/shaped-placeholder.ts";
import type { SecretOption } from "./secret-option.ts";
import { placeholdersOf } from "./variables.ts";

export interface RunConfigOptions {
  readonly file: string | undefined;
  readonly secrets: readonly SecretOption[];
  readonly env: NodeJS.ProcessEnv;
  /** File for the audit, over the one of the configuration. */
  readonly audit: string | undefined;
  /** Audit records go to standard error where no file is named, instead of nowhere. */
  readonly verbose: boolean;
}

/** A configuration as `run` uses it, and what the child gets in place of the credentials that it reads. */
export interface RunConfig extends LoadResult {
  /** By environment variable of the operator. */
  readonly placeholders: ReadonlyMap<string, string>;
}

/**
 * Headers in which APIs take keys. Every header would be too many: an API that stores or shows another one (a title,
 * a reference) would hand the credential back (I7, attack 41).
 */
export const credentialHeaders: readonly string[] = [
  "Authorization",
  "X-Api-Key",
  "Api-Key",
  "ApiKey",
  "X-Goog-Api-Key",
  "Private-Token",
  "X-Auth-Token",
  "X-Access-Token",
  "X-Auth-Key",
  "X-Api-Token",
  "Api-Token",
  "X-Subscription-Token",
  "Ocp-Apim-Subscription-Key",
  "Xi-Api-Key",
  "DD-API-KEY",
  "DD-APPLICATION-KEY",
  "X-Figma-Token",
  "X-Shopify-Access-Token",
  "X-Vault-Token",
  "Circle-Token",
];

/**
 * What `run` serves in place of a file's own listeners and CA: one tunnel on loopback, with a key that is in memory
 * only. The strongest overrides there are, so that a file may leave all of this out.
 */
const overrides: NodeJS.ProcessEnv = {
  SALLYPORT_PROXY_HTTP_LISTEN: "off",
  SALLYPORT_PROXY_HTTPS_LISTEN: "off",
  SALLYPORT_PROXY_TUNNEL_LISTEN: "127.0.0.1:0",
  SALLYPORT_PROXY_REQUIRE_CALLER: "false", // the password is asked of everyone
  SALLYPORT_METRICS_LISTEN: "off",
  SALLYPORT_MANAGEMENT_LISTEN: "off",
  SALLYPORT_DNS_ENABLED: "false",
  SALLYPORT_TLS_CA_CERT: "(in memory)",
  SALLYPORT_TLS_CA_KEY: "(in memory)",
};

/** Loads the file, or the embedded default, and adds what `--secret` says. */
export function runConfiguration(options: RunConfigOptions): RunConfig {
  const loaded = loadConfig({ file: options.file, env: { ...options.env, ...overrides } });
  if (loaded.config === undefined) return { ...loaded, placeholders: new Map() };
  const placeholders = placeholdersOf(loaded.config.transforms, options.env);
  for (const { variable } of options.secrets) {
    // A file may have given the same variable another placeholder; the child can hold only one.
    if (!placeholders.has(variable)) {
      placeholders.set(variable, shapedPlaceholder(options.env[variable] ?? ""));
    }
  }
  const transforms = withSecrets(loaded.config, options.secrets, placeholders);
  const audit = { ...loaded.config.audit, file: auditFile(loaded.config, options) };
  return { ...loaded, config: { ...loaded.config, transforms, audit }, placeholders };
}

function auditFile(config: Config, { audit, verbose }: RunConfigOptions): string | undefined {
  return audit ?? config.audit.file ?? (verbose ? undefined : devNull);
}

/** The file's transforms and one of `--secret`; without a file, the hosts of `--secret` are all that is allowed. */
function withSecrets(
  { file, transforms }: Config,
  secrets: readonly SecretOption[],
  placeholders: ReadonlyMap<string, string>,
): readonly TransformEntry[] {
  if (secrets.length === 0) return transforms;
  const entry = (name: string, config: unknown): TransformEntry => {
    return { name, config, path: ["transforms", transforms.length] };
  };
  const credentials = entry("secrets", {
    secrets: secrets.map(({ variable, hosts }) => ({
      source: { type: "env", var: variable },
      replace: { proxy_value: placeholders.get(variable), match_headers: credentialHeaders },
      rules: hosts.map((host) => ({ host })),
    })),
  });
  if (file === undefined) {
    const rules = [...new Set(secrets.flatMap(({ hosts }) => hosts))].map((host) => ({ host }));
    return [entry("allowlist", { rules }), credentials];
  }
  // A header filter must still find the placeholder gone and the credential's header there.
  const filter = transforms.findIndex(({ name }) => name === "header_allowlist");
  const at = filter < 0 ? transforms.length : filter;
  return [...transforms.slice(0, at), credentials, ...transforms.slice(at)];
}

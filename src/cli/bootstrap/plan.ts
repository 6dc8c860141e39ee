// What the four Secrets have to hold, from the environment and the options alone; no cluster is asked.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type SourceMode, sourceModes } from "../../tools/index.ts";
import type { SecretData } from "../ca/cluster.ts";
import type { CaSecretNames } from "../ca/secrets.ts";
import { CliError } from "../io.ts";

/** Names that the chart looks for unless its values say otherwise. */
export const chartNames = {
  infra: "centaur-infra-env",
  connect: "centaur-onepassword-connect-credentials",
  connectKey: "1password-credentials.json",
  ca: {
    certSecret: "centaur-firewall-ca",
    keySecret: "centaur-firewall-ca-key",
    certKey: "ca-cert.pem",
    keyKey: "ca-key.pem",
  } satisfies CaSecretNames,
} as const;

export interface BootstrapPlan {
  readonly mode: SourceMode;
  /** Keys of the infra Secret that the environment gives. */
  readonly given: SecretData;
  /** Keys of the infra Secret that are made up once and then stay. */
  readonly generated: readonly string[];
  /** The credentials file of a Connect server. */
  readonly connectCredentials: string | undefined;
}

/** A variable of the chosen mode, and what it is, for the message that asks for it. */
const variablesOf: Readonly<Record<SourceMode, Readonly<Record<string, string>>>> = {
  env: {},
  onepassword: {
    OP_VAULT: "name or id of the vault with the credentials",
    OP_SERVICE_ACCOUNT_TOKEN: "token of a 1Password service account that may read the vault",
  },
  "onepassword-connect": {
    OP_VAULT: "name or id of the vault with the credentials",
    OP_CONNECT_TOKEN: "access token of the Connect server",
  },
};

const generatedKeys = ["IRON_MANAGEMENT_API_KEY", "SANDBOX_SIGNING_KEY"];
const credentialsVariable = "OP_CONNECT_CREDENTIALS_FILE";

/**
 * @param options `mode` as on the command line; `add`: names of variables that go into the infra Secret as well
 * @throws {CliError} that names everything that is missing at once
 */
export function planBootstrap(
  env: NodeJS.ProcessEnv,
  options: { readonly mode?: string; readonly prefix: string; readonly add: readonly string[] },
): BootstrapPlan {
  const mode = modeOf(env, options.mode);
  const wanted = {
    ...variablesOf[mode],
    ...Object.fromEntries(options.add.map((name) => [name, "for --add"])),
  };
  const missing = Object.entries(wanted).filter(([name]) => (env[name] ?? "").trim() === "");
  if (missing.length > 0) {
    const list = missing.map(([name, what]) => `${name} (${what})`).join(", ");
    throw new CliError(`mode ${mode} needs variables that are not set or empty: ${list}`);
  }
  const given = Object.keys(wanted).map(
    (name) => [`${options.prefix}${name}`, (env[name] ?? "").trim()] as const,
  );
  return {
    mode,
    given: Object.fromEntries(given),
    generated: generatedKeys.map((name) => `${options.prefix}${name}`),
    connectCredentials:
      mode === "onepassword-connect" ? readCredentials(env[credentialsVariable]) : undefined,
  };
}

/** A key for the infra Secret: 32 random bytes, in hexadecimal. */
export function newKey(): string {
  return randomBytes(32).toString("hex");
}

function modeOf(env: NodeJS.ProcessEnv, option: string | undefined): SourceMode {
  const standard = (env[credentialsVariable] ?? "") === "" ? "onepassword" : "onepassword-connect";
  const text = option ?? (env["FIREWALL_MANAGER_SECRET_SOURCE"] || standard);
  const mode = sourceModes.find((one) => one === text);
  if (mode !== undefined) return mode;
  const where = option === undefined ? "FIREWALL_MANAGER_SECRET_SOURCE" : "--mode";
  throw new CliError(
    `${where}: ${JSON.stringify(text)} is none of ${sourceModes.join(", ")}`,
    option === undefined ? 1 : 2,
  );
}

function readCredentials(file: string | undefined): string | undefined {
  if (file === undefined || file === "") return undefined;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "no such file" : code === "EACCES" ? "this user may not read it" : code;
    throw new CliError(`${credentialsVariable}: ${file}: ${why}`);
  }
  if (isJsonObject(text)) return text;
  throw new CliError(
    `${credentialsVariable}: ${file} is not the JSON file that 1Password gives for a Connect server`,
  );
}

function isJsonObject(text: string): boolean {
  try {
    const data: unknown = JSON.parse(text);
    return typeof data === "object" && data !== null && !Array.isArray(data);
  } catch {
    return false;
  }
}

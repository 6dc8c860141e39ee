import { clientVariables } from "../../tools/client-variables.ts";
import { CliError } from "../io.ts";

/** Taken away: some programs prefer them to the ones above, and the child would go round. */
const otherProxyVariables: ReadonlySet<string> = new Set([
  "FTP_PROXY",
  "WS_PROXY",
  "WSS_PROXY",
  "SOCKS_PROXY",
  "SOCKS5_PROXY",
  "RSYNC_PROXY",
  "GRPC_PROXY",
  "NO_GRPC_PROXY",
  "NPM_CONFIG_PROXY",
  "NPM_CONFIG_HTTP_PROXY",
  "NPM_CONFIG_HTTPS_PROXY",
  "NPM_CONFIG_NOPROXY",
  "NPM_CONFIG_NO_PROXY",
  "YARN_HTTP_PROXY",
  "YARN_HTTPS_PROXY",
  "CARGO_HTTP_PROXY",
  "PIP_PROXY",
  "GIT_PROXY_COMMAND",
]);

/** Values shorter than this stand in other texts by chance. */
const leastLength = 8;

export interface ChildEnvironment {
  /** The operator's. */
  readonly env: NodeJS.ProcessEnv;
  /** What stands in place of each credential, by variable. */
  readonly placeholders: ReadonlyMap<string, string>;
  readonly withheld: ReadonlySet<string>;
  /** With the password. */
  readonly proxyUrl: string;
  /** Path of the PEM bundle: our CA and all the roots the operator trusts. */
  readonly bundle: string;
}

/**
 * Environment of the child: the operator's, with placeholders for credentials wherever they stand, without what the
 * proxy reads, and with the variables that lead programs to the proxy and let them trust its CA.
 */
export function childEnvironment(options: ChildEnvironment): NodeJS.ProcessEnv {
  const { env, placeholders, proxyUrl, bundle } = options;
  const secrets = credentials(options);
  const child: NodeJS.ProcessEnv = {};
  for (const [name, value = ""] of Object.entries(env)) {
    const placeholder = placeholders.get(name);
    if (placeholder !== undefined) child[name] = placeholder;
    else if (!isWithheld(name, options.withheld)) child[name] = withoutCredentials(value, secrets);
  }
  return { ...child, ...Object.fromEntries(clientVariables({ proxyUrl, bundle })) };
}

function isWithheld(name: string, withheld: ReadonlySet<string>): boolean {
  if (withheld.has(name) || name.startsWith("SALLYPORT_")) return true;
  return otherProxyVariables.has(name.toUpperCase());
}

/** A second variable may hold the same credential, alone or in a longer text such as a header or a URL. */
function withoutCredentials(text: string, secrets: readonly Credential[]): string {
  return secrets.reduce((clean, { value, placeholder }) => clean.replaceAll(value, () => placeholder), text);
}

/**
 * A command line is read by everyone on the machine, and the shell that wrote `"Bearer $KEY"` into it did so before
 * anything here could swap it.
 * @throws {CliError} exit code 2, for an argument that holds a credential
 */
export function refuseCredentialsInArguments(
  command: readonly string[],
  options: Pick<ChildEnvironment, "env" | "placeholders">,
): void {
  for (const { variable, value } of credentials(options)) {
    const index = command.findIndex((argument) => argument.includes(value));
    if (index < 0) continue;
    const where = index === 0 ? "the command's name" : `argument ${index} of the command`;
    const advice = `let the child's own shell put it there: sh -c '... "$${variable}" ...' in single quotes`;
    throw new CliError(`${where} holds the value of ${variable}, which every process can read; ${advice}`, 2);
  }
}

interface Credential {
  readonly variable: string;
  readonly value: string;
  readonly placeholder: string;
}

/** Longest first: one may be part of another. */
function credentials({
  env,
  placeholders,
}: Pick<ChildEnvironment, "env" | "placeholders">): readonly Credential[] {
  return [...placeholders]
    .map(([variable, placeholder]) => ({ variable, placeholder, value: env[variable] ?? "" }))
    .filter(({ value }) => value.length >= leastLength)
    .sort((one, other) => other.value.length - one.value.length);
}

import { compileRules } from "../../pipeline/rules.ts";
import { CliError } from "../io.ts";

/** One `--secret NAME=HOST[,HOST]`. */
export interface SecretOption {
  /** Environment variable of the operator that holds the credential. */
  readonly variable: string;
  /** Hosts it may be sent to, each a host as rules write them. */
  readonly hosts: readonly string[];
}

const usage =
  "write --secret NAME=HOST[,HOST]: a variable of your environment and the hosts it may be sent to";

/**
 * Reads every `--secret`; hosts of one variable given twice are put together. No message repeats what stands after
 * the equals sign: a person may have put the credential there (I14).
 * @throws {CliError} exit code 2
 */
export function parseSecrets(given: readonly string[], env: NodeJS.ProcessEnv): SecretOption[] {
  const hostsOf = new Map<string, Set<string>>();
  for (const text of given) {
    const { variable, hosts } = parseSecret(text, env);
    const known = hostsOf.get(variable) ?? new Set();
    for (const host of hosts) known.add(host);
    hostsOf.set(variable, known);
  }
  return [...hostsOf].map(([variable, hosts]) => ({ variable, hosts: [...hosts] }));
}

function parseSecret(text: string, env: NodeJS.ProcessEnv): SecretOption {
  const equals = text.indexOf("=");
  const variable = text.slice(0, Math.max(equals, 0));
  if (!/^[A-Za-z_]\w*$/.test(variable)) throw new CliError(`--secret: ${usage}`, 2);
  const value = env[variable] ?? "";
  const list = text.slice(equals + 1);
  if (value === "") {
    const advice = "put the credential there; after the equals sign stand the hosts it may be sent to";
    throw new CliError(`--secret ${variable}: the variable is not set or empty; ${advice}`, 2);
  }
  if (list === value) {
    throw new CliError(`--secret ${variable}: its value stands where its hosts should; ${usage}`, 2);
  }
  const hosts = list.split(",").map((host) => host.trim());
  for (const [index, host] of hosts.entries()) {
    const problem = problemOf(host);
    if (problem !== undefined) {
      throw new CliError(`--secret ${variable}: host ${index + 1} ${problem}; ${usage}`, 2);
    }
  }
  return { variable, hosts };
}

function problemOf(host: string): string | undefined {
  if (host === "") return "is empty";
  if (/^\*(?::.*)?$/.test(host)) return "is every host there is, so that the child could send it anywhere";
  let good = true;
  compileRules([{ host }], { ports: "scheme", callers: "all", error: () => (good = false), warn: () => {} });
  return good ? undefined : "is not a host such as api.example.com, *.example.com or api.example.com:8443";
}

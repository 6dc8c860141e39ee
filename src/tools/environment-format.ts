// Environments as files that others read, each quoted by the rules of its reader.
import { stringify } from "yaml";

export const environmentFormats = ["shell", "dotenv", "json", "k8s", "docker"] as const;
export type EnvironmentFormat = (typeof environmentFormats)[number];

/** A value that a format has no way to write. The message names the variable and shows nothing of the value. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

type Variables = ReadonlyMap<string, string>;

/** @throws {FormatError} rather than write something that would be read as another value */
export function formatEnvironment(variables: Variables, format: EnvironmentFormat): string {
  for (const [name, value] of variables) {
    if (value.includes("\0")) throw new FormatError(`${name}: no variable can hold a zero byte`);
    if (!value.isWellFormed()) throw new FormatError(`${name}: the value is not well-formed Unicode`);
  }
  return writers[format](variables);
}

const writers: Readonly<Record<EnvironmentFormat, (variables: Variables) => string>> = {
  shell: (variables) => lines(variables, (name, value) => `export ${name}=${shellWord(value)}`),
  dotenv: (variables) => lines(variables, (name, value) => `${name}=${dotenvValue(name, value)}`),
  docker: (variables) => lines(variables, (name, value) => `${name}=${dockerValue(name, value)}`),
  json: (variables) => `${JSON.stringify(Object.fromEntries(variables), undefined, 2)}\n`,
  k8s: (variables) =>
    stringify(
      [...variables].map(([name, value]) => ({ name, value: kubernetesValue(value) })),
      // Without quotes `1` and `yes` would be numbers and truths, which no variable can be.
      { defaultKeyType: "PLAIN", defaultStringType: "QUOTE_DOUBLE", lineWidth: 0 },
    ),
};

function lines(variables: Variables, line: (name: string, value: string) => string): string {
  return [...variables].map(([name, value]) => `${line(name, value)}\n`).join("");
}

/** Nothing has a meaning within single quotes (POSIX shell, section 2.2.2). */
function shellWord(value: string): string {
  return /^[\w./:@%+,=-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

/** Readers of .env files agree on little: no escapes within single quotes, and none for the quote itself. */
function dotenvValue(name: string, value: string): string {
  if (/^[\w./:@%+,=-]*$/.test(value)) return value;
  if (value.includes("\r")) {
    throw new FormatError(`${name}: a .env file cannot hold a carriage return; use another format`);
  }
  if (!value.includes("'")) return `'${value}'`;
  if (/["$\\`]/.test(value)) {
    const message = 'a .env file cannot hold a single quote beside any of " $ \\ and `; use another format';
    throw new FormatError(`${name}: ${message}`);
  }
  return `"${value}"`;
}

/** `docker run --env-file` takes all that stands behind the equals sign, up to the end of the line. */
function dockerValue(name: string, value: string): string {
  if (/[\r\n]/.test(value)) {
    throw new FormatError(`${name}: a file for docker run cannot hold a line break; use another format`);
  }
  return value;
}

/** Kubernetes puts other variables in place of `$(NAME)`; a dollar sign is written twice. */
function kubernetesValue(value: string): string {
  return value.replaceAll("$", "$$$$");
}

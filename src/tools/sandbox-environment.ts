// The environment of a sandbox: placeholders for what it may use, and the way to the proxy. Never a credential.
import { type ClientVariables, clientVariables } from "./client-variables.ts";
import { shapedFor } from "./shaped.ts";
import type { SandboxPlaceholder } from "./types.ts";

export interface SandboxEnvironmentOptions extends ClientVariables {
  readonly placeholders: readonly SandboxPlaceholder[];
  /** Where the proxy sets the credential whatever is sent, show a text in the shape of the service's keys. */
  readonly shaped: boolean;
  /** Take the place of variables of the same name. */
  readonly extra: ReadonlyMap<string, string>;
}

/** An environment, and what could not be put into it. */
export interface SandboxEnvironment {
  /** In the order they are shown: placeholders by name, then what leads to the proxy, then what was added. */
  readonly variables: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Every name once; what is added replaces what was there (T37). */
export function sandboxEnvironment(options: SandboxEnvironmentOptions): SandboxEnvironment {
  const client = clientVariables(options);
  const warnings: string[] = [];
  const variables = new Map<string, string>();
  for (const { name, placeholder, mode, hosts } of options.placeholders) {
    if (!variableName.test(name)) {
      warnings.push(`${name} is no name of a variable, so the sandbox gets no placeholder for it`);
    } else if (client.has(name)) {
      warnings.push(`${name} is what leads programs to the proxy, so the sandbox gets no placeholder for it`);
    } else variables.set(name, options.shaped && mode === "inject" ? shapedFor(name, hosts) : placeholder);
  }
  for (const [name, value] of [...client, ...options.extra]) variables.set(name, value);
  return { variables, warnings };
}

export function isVariableName(name: string): boolean {
  return variableName.test(name);
}

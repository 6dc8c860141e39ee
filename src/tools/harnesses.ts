import { nearest } from "../config/nearest.ts";
import type { ReplaceEntry, Tool, Where } from "./types.ts";

interface Credential {
  readonly hosts: readonly string[];
  readonly header: string;
  /** A gateway for language models stands in for its hosts. */
  readonly model: boolean;
}

/** Credentials of agents themselves and of what they cannot do without, by name: each the placeholder in its own header. */
const credentials: Readonly<Record<string, Credential>> = {
  OPENAI_API_KEY: { hosts: ["api.openai.com"], header: "Authorization", model: true },
  ANTHROPIC_API_KEY: { hosts: ["api.anthropic.com"], header: "X-Api-Key", model: true },
  AMP_API_KEY: { hosts: ["ampcode.com"], header: "Authorization", model: true },
  XAI_API_KEY: { hosts: ["api.x.ai"], header: "Authorization", model: true },
  GEMINI_API_KEY: { hosts: ["generativelanguage.googleapis.com"], header: "X-Goog-Api-Key", model: true },
  OPENROUTER_API_KEY: { hosts: ["openrouter.ai"], header: "Authorization", model: true },
  GITHUB_TOKEN: { hosts: ["github.com", "api.github.com"], header: "Authorization", model: false },
  SLACK_BOT_TOKEN: { hosts: ["*.slack.com"], header: "Authorization", model: false },
};

/** Agents by name, and the credential each asks for. */
const harnesses: Readonly<Record<string, string>> = {
  codex: "OPENAI_API_KEY",
  amp: "AMP_API_KEY",
  "claude-code": "ANTHROPIC_API_KEY",
  "pi-mono": "ANTHROPIC_API_KEY",
};

/** Names that can be enabled: agents first, then credentials. */
export const harnessNames: readonly string[] = [...Object.keys(harnesses), ...Object.keys(credentials)];

/** Hosts to put in place of the standard ones: one for all language models, or one for each name. */
export type Gateway = string | Readonly<Record<string, string>>;

/** What stands where in `harnesses` and `gateway`, for messages. */
export interface HarnessProblem {
  readonly part: "harnesses" | "gateway";
  /** The name it is about. */
  readonly name: string;
  readonly message: string;
}

/**
 * Credentials of the harnesses that are enabled, each as a tool of its own name.
 * @param names agents (`codex`) or credentials (`GITHUB_TOKEN`)
 */
export function harnessTools(
  names: readonly string[],
  gateway: Gateway | undefined,
): { readonly tools: readonly Tool[]; readonly problems: readonly HarnessProblem[] } {
  const problems: HarnessProblem[] = [];
  const enabled = new Set<string>();
  for (const name of names) {
    const credential = credentialOf(name);
    if (credential !== undefined) enabled.add(credential);
    else problems.push({ part: "harnesses", name, message: unknownName(name, harnessNames) });
  }
  const given = typeof gateway === "object" ? gateway : {};
  const hosts = new Map<string, string>();
  for (const [name, host] of Object.entries(given)) {
    const credential = credentialOf(name);
    if (credential === undefined) {
      problems.push({ part: "gateway", name, message: unknownName(name, harnessNames) });
    } else hosts.set(credential, host);
  }
  const tools = [...enabled].sort().map((name): Tool => {
    const { hosts: standard, header, model } = credentials[name] as Credential;
    const other = hosts.get(name) ?? (model && typeof gateway === "string" ? gateway : undefined);
    const entry = harnessEntry(name, other === undefined ? standard : [other], header);
    return { name, directory: "", file: "", description: undefined, secrets: [entry] };
  });
  return { tools, problems };
}

/** Not declared in any file. */
const nowhere: Where = { file: "", line: 0, column: 0 };

function harnessEntry(name: string, hosts: readonly string[], header: string): ReplaceEntry {
  return {
    type: "http",
    mode: "replace",
    name,
    secret: { ref: name, jsonKey: undefined },
    optional: false,
    where: nowhere,
    hosts,
    placeholder: name,
    matchHeaders: [header],
    matchPath: false,
    matchQuery: false,
  };
}

function credentialOf(name: string): string | undefined {
  return Object.hasOwn(harnesses, name)
    ? harnesses[name]
    : Object.hasOwn(credentials, name)
      ? name
      : undefined;
}

function unknownName(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  const shown = /^[\w.-]{1,40}$/.test(name) ? ` "${name}"` : "";
  return `unknown harness${shown}; ${meant === undefined ? `known are ${known.join(", ")}` : `did you mean "${meant}"?`}`;
}

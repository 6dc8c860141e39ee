// What sandboxes can be given: tools from directories and harnesses, and what a configuration says by hand.
import type { Override } from "../config/environment.ts";
import { formatIssue, type Issue } from "../config/issues.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import { type Problem, sandboxPlaceholders, type SandboxPlaceholder, type Tool } from "../tools/index.ts";
import { secretsOf } from "../tools/secrets-of.ts";
import { writtenPlaceholders } from "../tools/written-placeholders.ts";

/** Where to look. What is given here wins over the file. */
export interface DeclaredOptions {
  /** A proxy's configuration; the very one that the proxy has, so that both agree. */
  readonly file: string | undefined;
  readonly directories: readonly string[];
  /** Names, or lists of them with commas. */
  readonly harnesses: readonly string[];
  /** Without a file: the choice of `tools.placeholders`. */
  readonly shaped: boolean;
  readonly env: NodeJS.ProcessEnv;
}

/** Everything declared. */
export interface Declared {
  /** Sorted by name, harnesses at the end. */
  readonly tools: readonly Tool[];
  /** Of the file's own entries. */
  readonly written: readonly SandboxPlaceholder[];
  readonly shaped: boolean;
  readonly problems: readonly Problem[];
  /** One line each, for people: what was left out and what to mind. */
  readonly remarks: readonly string[];
  /** Variables that hold credentials, in the place where the proxy reads them. */
  readonly secretVariables: ReadonlySet<string>;
  readonly config: Config;
}

/** What is read where no file is given; nobody is to hear of it. */
const standIn = { file: "(no configuration)", text: "tools: {}" } as const;

/** A configuration that cannot be used for this. */
export class DeclarationError extends Error {
  override readonly name = "DeclarationError";
  /** One line each. */
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join("; "));
    this.lines = lines;
  }
}

/**
 * Reads declarations as the proxy does. What is wrong with a tool leaves it out; what is wrong with the configuration
 * as a proxy's (a key that is not here, a CA that is) is for the proxy to say.
 * @throws {DeclarationError}
 */
export function loadDeclared(options: DeclaredOptions): Declared {
  const { file, env } = options;
  const source = file === undefined ? standIn : { file };
  const { draft, issues, tools: expanded } = loadConfig({ ...source, env, overrides: overridesOf(options) });
  const directories = new Set(draft?.tools?.directories);
  const relevant = issues.filter(
    (issue) => draft === undefined || isAboutCredentials(issue) || directories.has(issue.file),
  );
  const errors = relevant.filter(({ severity }) => severity === "error");
  if (draft === undefined || errors.length > 0) throw new DeclarationError(errors.map(formatIssue));
  const shaped = draft.tools?.placeholders === "shaped";
  if (options.shaped && !shaped) {
    const advice = "set tools.placeholders: shaped there, so that the proxy swaps what the sandbox holds";
    throw new DeclarationError([`--shaped is for the configuration to say: ${advice}`]);
  }
  const { placeholders: written, unnamed } = writtenPlaceholders(draft.transforms, shaped);
  const tools = expanded?.tools ?? [];
  const nameless = unnamed.map((at) => `${at}: no variable is known for its placeholder; add one with --set`);
  const warnings = relevant.filter((issue) => issue.file !== standIn.file).map(formatIssue);
  return {
    tools,
    written,
    shaped,
    problems: expanded?.problems ?? [],
    remarks: [...warnings, ...nameless],
    secretVariables: secretVariables(tools, written, draft),
    config: draft,
  };
}

/** Placeholders that a caller may have: all of them, or those of its tools. */
export function placeholdersFor(
  { tools, written }: Declared,
  limit: readonly string[] | undefined,
): readonly SandboxPlaceholder[] {
  const allowed = limit === undefined ? tools : tools.filter(({ name }) => limit.includes(name));
  const declared = sandboxPlaceholders(allowed);
  const names = new Set(declared.map(({ name }) => name));
  const others = written.filter(
    (one) => !names.has(one.name) && (limit === undefined || one.tools.some((tool) => limit.includes(tool))),
  );
  return [...declared, ...others];
}

/** Names that a caller can be limited to: of tools, of harnesses, and those that rules written by hand name. */
export function toolNames({ tools, written }: Declared): readonly string[] {
  return [...new Set([...tools.map(({ name }) => name), ...written.flatMap((one) => one.tools)])].sort();
}

function overridesOf({ directories, harnesses, shaped, file }: DeclaredOptions): readonly Override[] {
  const values: readonly (readonly [key: string, option: string, value: unknown])[] = [
    ["directories", "DIR", directories.length > 0 ? directories : undefined],
    ["harnesses", "--harness", harnesses.length > 0 ? harnesses.flatMap((one) => one.split(",")) : undefined],
    ["placeholders", "--shaped", shaped && file === undefined ? "shaped" : undefined],
  ];
  return values.flatMap(([key, variable, value]) =>
    value === undefined ? [] : [{ path: ["tools", key], variable, value }],
  );
}

function isAboutCredentials({ path, file }: Issue): boolean {
  return path[0] === "tools" || path[0] === "transforms" || file.endsWith(".toml");
}

/** Their values must not get into what a sandbox is given, whatever the way. */
function secretVariables(
  tools: readonly Tool[],
  written: readonly SandboxPlaceholder[],
  { management }: Config,
): Set<string> {
  const references = tools.flatMap(({ secrets }) =>
    secrets.flatMap((entry) => [entry.name, ...secretsOf(entry).map(([, { ref }]) => ref)]),
  );
  return new Set([...references, ...written.map(({ name }) => name), management.apiKeyEnv]);
}

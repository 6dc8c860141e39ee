import { readFileSync } from "node:fs";
import type { Override } from "../../config/environment.ts";
import type { Issue } from "../../config/issues.ts";
import { loadConfig } from "../../config/load.ts";
import type { ToolsConfig } from "../../config/types.ts";
import { buildTransforms } from "../../proxy/build-transforms.ts";
import { SourceRegistry } from "../../sources/registry.ts";
import type { Problem, Tool } from "../../tools/index.ts";
import { transformKinds } from "../../transforms/registry.ts";
import { CliError, type Io } from "../io.ts";

/** Options that all commands about tools have. */
export interface ToolsOptions {
  readonly base?: string;
  readonly source?: string;
  readonly vault?: string;
  readonly ttl?: string;
  readonly harness?: readonly string[];
  readonly gateway?: readonly string[];
  readonly shaped?: boolean;
  readonly allowHeader?: readonly string[];
}

/** The configuration that declarations are put into. */
export interface Base {
  readonly name: string;
  readonly text: string;
  /** Entries of `transforms:` in it. */
  readonly entries: number;
}

export interface FoundTools {
  readonly base: Base | undefined;
  /** `undefined` when the base cannot be read. */
  readonly settings: ToolsConfig | undefined;
  readonly tools: readonly Tool[];
  /** Everything there is to say, in order of files and lines. */
  readonly problems: readonly Problem[];
  /** The settings are wrong, not only a tool: nothing can be rendered by them. */
  readonly broken: boolean;
}

/** Finds and checks what a command line asks about, by the code that loads a configuration. Resolves no credential. */
export async function findTools(
  directories: readonly string[],
  options: ToolsOptions,
  io: Io,
): Promise<FoundTools> {
  const file = options.base === "-" ? "<stdin>" : (options.base ?? "tools");
  const text = await baseText(options.base, io);
  const overrides = overridesOf(directories, options);
  const loaded = loadConfig({ file, text: text ?? "tools: {}", env: io.env, overrides, withTools: true });
  const { tools: expanded, draft, locate } = loaded;
  if (
    options.base === undefined &&
    expanded?.settings.directories.length === 0 &&
    options.harness === undefined
  ) {
    throw new CliError("name a directory of tools, or set TOOL_DIRS", 2);
  }
  // Whatever else is wrong with the base is for `sallyport check`.
  const unreadable = draft === undefined ? loaded.issues : [];
  const issues = [...unreadable, ...loaded.issues.filter(isAboutTools)];
  if (draft !== undefined && expanded !== undefined) {
    const sources = new SourceRegistry({ env: io.env, onWarning() {} });
    const config = text === undefined ? { ...draft, file: undefined } : draft;
    const built = buildTransforms(config, { kinds: transformKinds, sources, locate, file });
    for (const transform of built.transforms) transform.close?.();
    sources.close();
    issues.push(...built.issues.filter(isAboutTools));
  }
  const declared = (expanded?.problems ?? []).filter((problem) => problem.file !== "");
  return {
    base: text === undefined ? undefined : { name: file, text, entries: writtenEntries(draft?.transforms) },
    settings: expanded?.settings,
    tools: expanded?.tools ?? [],
    problems: sortProblems([...new Set(issues)].map(problemOf).concat(declared)),
    broken: issues.some(({ severity }) => severity === "error") || directoryMissing(declared),
  };
}

async function baseText(base: string | undefined, io: Io): Promise<string | undefined> {
  if (base === undefined) return undefined;
  if (base === "-") return io.stdin();
  try {
    return readFileSync(base, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new CliError(`--base ${base}: ${code === "ENOENT" ? "no such file" : (code ?? "cannot be read")}`);
  }
}

function overridesOf(directories: readonly string[], options: ToolsOptions): readonly Override[] {
  const values: readonly (readonly [key: string, option: string, value: unknown])[] = [
    ["directories", "DIR", directories.length > 0 ? directories : undefined],
    ["source", "--source", options.source],
    ["vault", "--vault", options.vault],
    ["ttl", "--ttl", options.ttl],
    ["harnesses", "--harness", options.harness],
    ["gateway", "--gateway", gatewayOf(options.gateway ?? [])],
    ["placeholders", "--shaped", options.shaped === true ? "shaped" : undefined],
    ["allow_headers", "--allow-header", options.allowHeader],
  ];
  return values.flatMap(([key, variable, value]) =>
    value === undefined ? [] : [{ path: ["tools", key], variable, value }],
  );
}

/** `HOST` alone, or any number of `NAME=HOST`. */
function gatewayOf(given: readonly string[]): string | Record<string, string> | undefined {
  if (given.length === 0) return undefined;
  const pairs = given.map((one) => one.split("=", 2));
  if (pairs.every((pair) => pair.length === 2)) return Object.fromEntries(pairs) as Record<string, string>;
  if (given.length === 1) return given[0];
  throw new CliError("--gateway: write one HOST for all, or NAME=HOST each time", 2);
}

function isAboutTools({ path }: Issue): boolean {
  return path[0] === "tools";
}

function directoryMissing(problems: readonly Problem[]): boolean {
  return problems.some(({ severity, tool }) => severity === "error" && tool === undefined);
}

function writtenEntries(transforms: readonly { readonly path: readonly (string | number)[] }[] = []): number {
  return transforms.filter(({ path }) => path[0] === "transforms").length;
}

function problemOf({ severity, file, line, column, message }: Issue): Problem {
  return { severity, file, line, column, tool: undefined, entry: undefined, key: undefined, message };
}

function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted((one, other) => {
    if (one.file !== other.file) return one.file < other.file ? -1 : 1;
    return one.line - other.line || one.column - other.column;
  });
}

import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type Declaration, readDeclaration } from "./declaration.ts";
import type { Discovery, Problem } from "./types.ts";

const fileName = "pyproject.toml";

/** Bytes of one `pyproject.toml`. */
const maxFileBytes = 256 * 1024;
/** Directories looked into below one that is given, and tools in all. */
const maxDirectories = 2000;
const maxTools = 1000;

/** Directories with tools: those given, else those of `TOOL_DIRS`, which colons separate. */
export function toolDirectories(given: readonly string[], env: NodeJS.ProcessEnv): readonly string[] {
  if (given.length > 0) return given;
  return (env["TOOL_DIRS"] ?? "").split(":").filter((directory) => directory !== "");
}

/**
 * Finds the tools in some directories, and below one level of categories: `tools/search/`, `tools/crm/warehouse/`. Names
 * that begin with a dot or an underscore are skipped. A tool of a later directory takes the place of an earlier one of
 * the same name, whole; a tool with a mistake is left out, whole, and the others stay.
 *
 * Never throws for what stands on the disk: every mistake is a problem.
 */
export function discoverTools(directories: readonly string[]): Discovery {
  const problems: Problem[] = [];
  const found = new Map<string, Found>();
  for (const root of new Set(directories)) {
    const here = findTools(root, (message) => problems.push(problemOf("error", { file: root }, message)));
    for (const one of here) {
      const earlier = found.get(one.name);
      if (earlier !== undefined) problems.push(shadowing(one, earlier));
      found.set(one.name, one);
    }
  }
  const all = [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const { file, name } of all.slice(maxTools)) {
    problems.push(
      problemOf("error", { file, tool: name }, `left out: there are more than ${maxTools} tools`),
    );
  }
  const kept = all.slice(0, maxTools);
  problems.push(...kept.flatMap((one) => one.problems));
  return { tools: kept.flatMap(({ tool }) => tool ?? []), problems };
}

/** A tool as it was found, good or bad. */
interface Found extends Declaration {
  readonly name: string;
  readonly root: string;
  readonly file: string;
}

/** @param fail told why the directory, or a part of it, could not be searched */
function findTools(root: string, fail: (message: string) => void): readonly Found[] {
  const names = directoriesIn(root);
  if (typeof names === "string") {
    fail(names);
    return [];
  }
  const found: Found[] = [];
  let looked = 0;
  for (const name of names) {
    const tool = readTool(root, join(root, name));
    if (tool !== undefined) {
      found.push(tool);
      continue;
    }
    const below = directoriesIn(join(root, name));
    if (typeof below === "string") continue;
    looked += 1 + below.length;
    if (looked > maxDirectories) {
      fail(`more than ${maxDirectories} directories to look into; is this a directory of tools?`);
      return found;
    }
    for (const inner of below) {
      const tool = readTool(root, join(root, name, inner));
      if (tool !== undefined) found.push(tool);
    }
  }
  if (found.length === 0 && readTool(root, root) !== undefined) {
    fail("this is a tool itself; name the directory that it is in");
  }
  return found;
}

/** Names of the directories in one, sorted; links are followed, because a mounted ConfigMap is made of them. */
function directoriesIn(directory: string): readonly string[] | string {
  try {
    return readdirSync(directory)
      .filter((name) => !/^[._]/.test(name) && isDirectory(join(directory, name)))
      .sort();
  } catch (error) {
    return `cannot read this directory of tools: ${ioProblem(error)}`;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** `undefined` where there is no declaration. */
function readTool(root: string, directory: string): Found | undefined {
  const file = join(directory, fileName);
  const name = basename(directory);
  const at = { name, root, file };
  const failed = (message: string): Found => {
    return { ...at, tool: undefined, problems: [problemOf("error", { file, tool: name }, message)] };
  };
  let text: string;
  try {
    const stat = statSync(file, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (!stat.isFile()) return failed("is no regular file");
    if (stat.size > maxFileBytes) return failed(`is larger than ${maxFileBytes} bytes`);
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    return failed(error instanceof TypeError ? "is not UTF-8 text" : `cannot be read: ${ioProblem(error)}`);
  }
  const declaration = readDeclaration(text, { name, directory, file });
  if (declaration === undefined) return undefined;
  // Callers are limited to tools by lists with commas.
  if (/[,\s\p{Cc}]/u.test(name))
    return failed("the directory's name has a comma or white space in it; rename it");
  return { ...at, ...declaration };
}

function ioProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return "it does not exist";
  if (code === "ENOTDIR") return "it is no directory";
  if (code === "EACCES" || code === "EPERM") return "this user may not read it";
  return code ?? "unknown reason";
}

/** A tool that is left out shadows all the same: the one below it has other credentials than those now meant. */
function shadowing(one: Found, earlier: Found): Problem {
  const severity = one.root === earlier.root ? "warning" : "note";
  return problemOf(severity, { file: one.file, tool: one.name }, `takes the place of ${earlier.file}`);
}

function problemOf(
  severity: Problem["severity"],
  { file, tool }: { readonly file: string; readonly tool?: string },
  message: string,
): Problem {
  return { severity, file, line: 0, column: 0, tool, entry: undefined, key: undefined, message };
}

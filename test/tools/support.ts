// Tools as tests make them: declarations as text, and directories of them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";
import { readDeclaration } from "../../src/tools/declaration.ts";
import type { Entry, Problem, RenderOptions, Tool } from "../../src/tools/index.ts";

export const envMode: RenderOptions = { mode: "env", vault: "ai-agents", ttl: "10m", callers: false };
export const connectMode: RenderOptions = { ...envMode, mode: "onepassword-connect" };

/** A declaration of one tool, `demo` unless told otherwise. */
export function declare(
  text: string,
  name = "demo",
): { tool: Tool | undefined; problems: readonly Problem[] } {
  const at = { name, directory: `/tools/${name}`, file: `/tools/${name}/pyproject.toml` };
  return readDeclaration(text, at) ?? { tool: undefined, problems: [] };
}

/** The tool with these elements in `secrets`. Throws when it was left out. */
export function toolOf(secrets: string, name = "demo", table = ""): Tool {
  const { tool, problems } = declare(`[tool.centaur]\n${table}\nsecrets = [${secrets}]`, name);
  if (tool === undefined) throw new Error(problems.map(shown).join("\n"));
  return tool;
}

/** The one entry of a declaration that has no other. */
export function entryOf(secret: string, table = ""): Entry {
  const [entry, ...others] = toolOf(secret, "demo", table).secrets;
  if (entry === undefined || others.length > 0) throw new Error("not one entry");
  return entry;
}

/** What is wrong with one element of `secrets`; the list begins in line 3. */
export function errorsOf(secret: string, table = ""): string[] {
  const { tool, problems } = declare(`[tool.centaur]\n${table}\nsecrets = [${secret}]`);
  const errors = problems.filter(({ severity }) => severity === "error");
  if ((tool === undefined) !== errors.length > 0)
    throw new Error("left out without an error, or kept with one");
  return errors.map(shown);
}

/** `entry key: message`, without the place. */
export function shown({ entry, key, message }: Problem): string {
  return [entry, key].filter((part) => part !== undefined).join(" ") + `: ${message}`;
}

/** A directory with these files, removed at the end. */
export function directoryOf(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), "sallyport-tools-"));
  after(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return root;
}

/** A `pyproject.toml` with one secret in the header `Authorization` of one host. */
export function simple(name: string, host = "api.example.com"): string {
  return `[tool.centaur]\nsecrets = [{ name = "${name}", match_headers = ["Authorization"], hosts = ["${host}"] }]\n`;
}

/** The block of the page "Use 1Password", as it stands there. */
export const pageBlock = `[tool.centaur]
secrets = [
    {type = "http", name = "WAREHOUSE_API_KEY", match_headers = ["Authorization"], hosts = ["warehouse.internal.example.com"]},
]
`;

import { isDeepStrictEqual } from "node:util";
import { valueAt } from "../config/draft.ts";
import type { Path } from "../config/issues.ts";
import { breadth } from "./broad-hosts.ts";
import { isVariableName, readEntry } from "./entries.ts";
import { Fields, isTable, kindOf, unknownKey } from "./fields.ts";
import { readToml } from "./toml.ts";
import type { LocateToml } from "./toml-places.ts";
import type { Entry, Problem, Tool } from "./types.ts";
import { validateEntry } from "./validate.ts";

/** What a `pyproject.toml` declares. */
export interface Declaration {
  /** `undefined` when something is wrong with it: then the whole tool is left out. */
  readonly tool: Tool | undefined;
  readonly problems: readonly Problem[];
}

/** Credentials one tool may declare. */
const maxSecrets = 200;

/** Tables of a declaration, the first that is there counts. */
const tables = ["sallyport", "centaur", "ai-v2"] as const;

/** Keys of the table. Those of the program that runs the tools are known and mean nothing here. */
const listKeys = ["secrets", "optional_secrets"] as const;
const programsKeys = ["module", "type", "timeout_s", "timeout_env", "agent_facing", "description"];
const tableKeys = [...listKeys, "hosts", ...programsKeys, "engine", "prompt", "default_repo"];

/**
 * Reads the declaration of a tool, `[tool.sallyport]` or `[tool.centaur]`.
 * @param text the `pyproject.toml`
 * @returns `undefined` when the file declares no tool
 */
export function readDeclaration(
  text: string,
  at: { readonly name: string; readonly directory: string; readonly file: string },
): Declaration | undefined {
  const toml = readToml(text);
  if ("message" in toml) {
    const { message, line, column } = toml;
    const place = { file: at.file, line, column, tool: at.name, entry: undefined, key: undefined };
    return {
      tool: undefined,
      problems: [{ ...place, severity: "error", message: `not valid TOML: ${message}` }],
    };
  }
  const { tool: sections, project } = toml.data;
  const found = isTable(sections) ? tables.filter((table) => sections[table] !== undefined) : [];
  const [table, other] = found;
  if (!isTable(sections) || table === undefined) return undefined;
  const path: Path = ["tool", table];
  const data = sections[table];
  const reporter = new Reporter(at, path, toml.locate, (list, index) => nameIn(data, list, index));
  if (!isTable(data)) {
    reporter.error(path, `[tool.${table}] must be a table, not ${kindOf(data)}`);
    return { tool: undefined, problems: reporter.problems };
  }
  if (data["type"] === "persona") return undefined;
  if (table === "ai-v2") reporter.note(path, "[tool.ai-v2] is deprecated; call it [tool.sallyport]");
  else if (other !== undefined && !isDeepStrictEqual(data, sections[other])) {
    const message = `[tool.${other}] says something else and is not used; keep one of the two`;
    reporter.say("warning", path, `[tool.${table}] counts: ${message}`, "key");
  }
  const secrets = readTable(data, path, reporter);
  const description = isTable(project) ? project["description"] : undefined;
  const tool: Tool = {
    ...at,
    description: typeof description === "string" ? description : undefined,
    secrets,
  };
  return { tool: reporter.failed ? undefined : tool, problems: reporter.problems };
}

function readTable(
  data: Readonly<Record<string, unknown>>,
  path: Path,
  reporter: Reporter,
): readonly Entry[] {
  const fields = new Fields(data, path, (at, message, part) => reporter.error(at, message, part));
  const hosts = fields.texts("hosts");
  // A tool of tomorrow may have keys that are not known today; but a misspelt `secrets` must not go unseen.
  for (const key of Object.keys(data)) {
    if (tableKeys.includes(key)) continue;
    reporter.say("warning", [...path, key], unknownKey(key, `in [${path.join(".")}]`, tableKeys), "key");
  }
  return listKeys.flatMap((key) => {
    const list = data[key] ?? [];
    if (!Array.isArray(list)) return fields.fail(key, `must be a list, not ${kindOf(list)}`) ?? [];
    if (list.length > maxSecrets) return fields.fail(key, `has more than ${maxSecrets} entries`) ?? [];
    return list.flatMap((raw: unknown, index) => {
      const at = [...path, key, index];
      const entry = readEntry(raw, {
        path: at,
        optional: key === "optional_secrets",
        where: reporter.where(at),
        toolHosts: hosts === undefined || hosts.length === 0 ? undefined : hosts,
        report: (below, message, part) => reporter.error(below, message, part),
        deprecated: (message) => reporter.note(at, message),
      });
      if (entry === undefined) return [];
      for (const { key: wrong, message } of validateEntry(entry)) {
        reporter.error(wrong === undefined ? at : [...at, wrong], message);
      }
      remark(entry, at, reporter);
      return [entry];
    });
  });
}

/** Says what is in order and yet worth a thought. */
function remark(entry: Entry, at: Path, reporter: Reporter): void {
  if (entry.type === "pg_dsn") {
    const message = "pg_dsn is not supported yet; this entry is left out, the others of the tool work";
    return reporter.say("warning", [...at, "type"], message);
  }
  for (const [index, host] of entry.hosts.entries()) {
    const problem = breadth(host);
    if (problem === undefined) continue;
    const message = `host ${JSON.stringify(host)} ${problem}; name the hosts that need the credential`;
    reporter.say("warning", [...at, "hosts", index], message);
  }
}

/** Gathers what is said of one file, with the place of each. */
class Reporter {
  readonly problems: Problem[] = [];
  failed = false;
  readonly #at: { readonly name: string; readonly file: string };
  /** Path of the declaration's table. */
  readonly #table: Path;
  readonly #locate: LocateToml;
  readonly #nameOf: (list: string, index: number) => string;

  constructor(
    at: { readonly name: string; readonly file: string },
    table: Path,
    locate: LocateToml,
    nameOf: (list: string, index: number) => string,
  ) {
    this.#at = at;
    this.#table = table;
    this.#locate = locate;
    this.#nameOf = nameOf;
  }

  where(path: Path, part?: "key" | "value") {
    return { file: this.#at.file, ...this.#locate(path, part) };
  }

  error(path: Path, message: string, part?: "key" | "value"): void {
    this.failed = true;
    this.say("error", path, message, part);
  }

  note(path: Path, message: string): void {
    this.say("note", path, message, "key");
  }

  say(severity: Problem["severity"], path: Path, message: string, part?: "key" | "value"): void {
    const [list, index, key] = path.slice(this.#table.length);
    const inList = typeof index === "number";
    this.problems.push({
      severity,
      ...this.where(path, part),
      tool: this.#at.name,
      entry: inList ? this.#nameOf(String(list), index) : undefined,
      key: inList ? textOrNone(key) : textOrNone(list),
      message,
    });
  }
}

/** The entry's own name where it has a good one, else its place: `secrets[2]`. */
function nameIn(data: unknown, list: string, index: number): string {
  const entry = valueAt(data, [list, index]);
  const name = isTable(entry) ? entry["name"] : entry;
  return typeof name === "string" && isVariableName(name) ? name : `${list}[${index}]`;
}

function textOrNone(step: string | number | undefined): string | undefined {
  return typeof step === "string" ? step : undefined;
}

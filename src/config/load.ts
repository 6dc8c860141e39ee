import { readFileSync } from "node:fs";
import { readDocument } from "./document.ts";
import { isBelow } from "./draft.ts";
import { expandTools, type ExpandedTools } from "../tools/expand.ts";
import { applyOverrides, locateOverrides, type Override, readOverrides } from "./environment.ts";
import { hasErrors, type Issue, issueAt, type Locate, type Path, sortIssues } from "./issues.ts";
import { resolveConfig } from "./resolve.ts";
import { type CheckedFile, configKeys, configSchema, largestBody, transformEntrySchema } from "./schema.ts";
import { checkShape } from "./shape.ts";
import type { Config, ToolsConfig, TransformEntry } from "./types.ts";

export interface LoadOptions {
  /** Path of the file, as the person gave it; names the text in issues when `text` is given. */
  readonly file?: string | undefined;
  /** The configuration itself, in place of reading `file`. */
  readonly text?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Values from a command line; they win over variables and the file. */
  readonly overrides?: readonly Override[];
  /** Takes a file without a `tools:` section for one with an empty section. */
  readonly withTools?: boolean;
}

export interface LoadResult {
  /** `undefined` when there is any error: nothing may run on half a policy. */
  readonly config: Config | undefined;
  /** What is left when the wrong parts are taken out; only good for finding further errors. */
  readonly draft: Config | undefined;
  readonly issues: readonly Issue[];
  readonly locate: Locate;
  /** What `tools:` stands for; `undefined` without the section. */
  readonly tools: ExpandedTools | undefined;
}

/** A configuration is text that people write; anything longer is a wrong file. */
const maxBytes = 8 * 1024 * 1024;

/**
 * Reads and checks a configuration: the file, then overrides from the environment, then defaults. Without a
 * file and a text it is the embedded default: a tunnel listener on 127.0.0.1:8080 that denies everything.
 * Never throws for what a person can get wrong; every error comes back at once, with its line.
 */
export function loadConfig(options: LoadOptions): LoadResult {
  const file = options.file ?? (options.text === undefined ? undefined : "config");
  const name = file ?? "(no configuration file)";
  const nowhere: Locate = () => ({ line: 0, column: 0 });
  const failed = (issues: readonly Issue[], locate: Locate = nowhere): LoadResult => {
    return { config: undefined, draft: undefined, issues, locate, tools: undefined };
  };

  let data: unknown = {};
  let locate = nowhere;
  const issues: Issue[] = [];
  if (file !== undefined) {
    const read = options.text === undefined ? readText(file) : { text: options.text };
    if ("message" in read) {
      return failed([{ severity: "error", file, line: 0, column: 0, path: [], message: read.message }]);
    }
    const document = readDocument(read.text, file);
    locate = document.locate;
    if (document.data === undefined) return failed(document.issues, locate);
    issues.push(...document.issues);
    data = document.data;
  }
  const { overrides: fromVariables, issues: variableIssues } = readOverrides(options.env);
  const overrides = [...fromVariables, ...(options.overrides ?? [])];
  issues.push(...variableIssues);
  if (!isMapping(data)) {
    issues.push(issueAt("error", { file: name, locate }, [], "the file must be a mapping (key: value)"));
    return failed(issues, locate);
  }
  if (options.withTools === true) data["tools"] ??= {};
  applyOverrides(data, overrides);
  locate = locateOverrides(locate, overrides);

  const place = { file: name, locate };
  const shape = checkShape<CheckedFile>(configSchema, data, { ...place, path: [], ...rootNames });
  issues.push(...shape.issues);
  if (shape.value === undefined) return failed(sortIssues(issues), locate);
  const transforms = readEntries(shape.value.transforms, place, issues);
  const report = (severity: Issue["severity"], path: Path, message: string, part?: "key"): void => {
    if (shape.removed.some((removed) => isBelow(path, removed))) return;
    issues.push(issueAt(severity, place, path, message, part));
  };
  const resolved = resolveConfig(shape.value, {
    file,
    transforms,
    env: options.env,
    error: (path, message) => report("error", path, message),
  });
  reportUnsupported(data, resolved, report);
  const tools = expandTools(resolved, place);
  issues.push(...(tools?.issues ?? []));
  const draft = tools === undefined ? resolved : { ...resolved, transforms: tools.transforms };
  const sorted = sortIssues(issues);
  if ((options.env["IRON_PROXY_TOKEN"] ?? "") !== "") {
    const message = "managed mode is not supported yet; the token is ignored and this configuration applies";
    sorted.unshift({ severity: "warning", file: "IRON_PROXY_TOKEN", line: 0, column: 0, path: [], message });
  }
  const vaultless = assumedVault(resolved.tools);
  if (vaultless !== undefined) sorted.unshift(vaultless);
  const config = hasErrors(sorted) ? undefined : draft;
  return { config, draft, issues: sorted, locate: tools?.locate ?? locate, tools };
}

/** For "belongs under": the sections that have a key which somebody put elsewhere. */
const elsewhere: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(Object.groupBy(configKeys(), (key) => key.path.at(-1) as string)).map(([name, keys]) => [
    name,
    (keys ?? []).map((key) => key.path.slice(0, -1).join(".") || "the top level"),
  ]),
);
const rootNames = { root: "at the top level", elsewhere };

function readText(file: string): { text: string } | { message: string } {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(file)) {
    const message = file.toLowerCase().startsWith("s3://") ? s3Problem(file) : "is a URL";
    return { message: `${message}; fetch it first and give the path of the local file` };
  }
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    return { message: `opening config file: ${openingProblem(error)}` };
  }
  if (bytes.length > maxBytes) return { message: `larger than ${maxBytes} bytes; this is no configuration` };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { message: "not UTF-8 text" };
  }
}

function s3Problem(location: string): string {
  if (/^s3:\/\/[^/]+\/./.test(location)) return "configuration in S3 is not supported yet";
  return `invalid S3 URL ${JSON.stringify(location)}: expected s3://bucket/key, which is not supported yet`;
}

function openingProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES" || code === "EPERM") return "this user may not read it";
  if (code === "EISDIR") return "it is a directory";
  return code ?? "cannot be read";
}

function isMapping(data: unknown): data is Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}

/** Entries that name a transform; the others are reported. */
function readEntries(
  entries: readonly unknown[],
  place: { file: string; locate: Locate },
  issues: Issue[],
): TransformEntry[] {
  return entries.flatMap((entry, index) => {
    const path = ["transforms", index] as const;
    const root = `in transforms[${index}]`;
    const shape = checkShape(transformEntrySchema, entry, { ...place, path, root, naming: path });
    issues.push(...shape.issues);
    const { name, config } = shape.value ?? {};
    if (name === undefined) return [];
    if (name !== "") return [{ name, config: config ?? {}, path }];
    issues.push(issueAt("error", place, [...path, "name"], `transforms[${index}].name is required`));
    return [];
  });
}

/** A vault that nobody named is most likely not the one that is meant. */
function assumedVault(tools: ToolsConfig | undefined): Issue | undefined {
  if (tools === undefined || tools.source === "env" || tools.givenBy.vault !== undefined) return undefined;
  const message = `neither OP_VAULT nor tools.vault is set: items are looked for in the vault ${JSON.stringify(tools.vault)}`;
  return { severity: "warning", file: "OP_VAULT", line: 0, column: 0, path: [], message };
}

/** Keys that iron-proxy has and this proxy does not serve yet: an error where ignoring one would be unsafe. */
function reportUnsupported(
  data: Readonly<Record<string, unknown>>,
  config: Config,
  report: (severity: Issue["severity"], path: Path, message: string, part?: "key") => void,
): void {
  for (const [key, loss] of [
    ["mcp", "calls of MCP tools would go unchecked"],
    ["mcp_gateway", "requests to MCP servers would go around it"],
    ["postgres", "database connections would go around the proxy"],
  ] as const) {
    if ((data[key] ?? null) === null) continue;
    report("error", [key], `${key} is not supported yet, and without it ${loss}; remove it`, "key");
  }
  if ((data["control_plane"] ?? null) !== null) {
    report("warning", ["control_plane"], "managed mode is not supported yet; this has no effect", "key");
  }
  const { httpListen, httpsListen, tunnelListen, maxRequestBodyBytes } = config.proxy;
  if (httpListen === "off" && httpsListen === "off" && tunnelListen === "off") {
    report("warning", ["proxy"], "every listener is off, so that nothing can reach the proxy", "key");
  }
  if (maxRequestBodyBytes === largestBody) {
    const message = `proxy.max_request_body_bytes: unlimited means ${largestBody} bytes here`;
    report("warning", ["proxy", "max_request_body_bytes"], message);
  }
}

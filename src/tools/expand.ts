import { hasErrors, type Issue, issueAt, type Locate, type Path } from "../config/issues.ts";
import type { Config, SourceMode, ToolsConfig, TransformEntry } from "../config/types.ts";
import { PatternError } from "../pipeline/glob.ts";
import { compileHostPattern } from "../pipeline/host-pattern.ts";
import { breadth } from "./broad-hosts.ts";
import { conflicts } from "./conflicts.ts";
import { discoverTools } from "./discover.ts";
import { isTable } from "./fields.ts";
import { type Gateway, harnessTools } from "./harnesses.ts";
import { insertionIndex } from "./insert.ts";
import { type Rendering, renderTransforms } from "./render.ts";
import { secretsOf } from "./secrets-of.ts";
import { itemProblem, variableProblem } from "./source.ts";
import { withShapedPlaceholders } from "./shaped.ts";
import { type HeaderFilter, strippedHeaders } from "./stripped-headers.ts";
import type { Problem, RenderOptions, Tool } from "./types.ts";

/** What a `tools:` section stands for. */
export interface ExpandedTools {
  readonly settings: ToolsConfig;
  /** Tools in order, sorted by name, then the harnesses that are enabled. */
  readonly tools: readonly Tool[];
  readonly problems: readonly Problem[];
  /** All entries of the configuration with the rendered ones among them. */
  readonly transforms: readonly TransformEntry[];
  readonly issues: readonly Issue[];
  /** Finds what was rendered in the declarations it came from. */
  readonly locate: Locate;
}

interface Place {
  readonly file: string;
  readonly locate: Locate;
}

/**
 * Reads the directories of the section and puts what is declared among the transforms of the configuration, as entries
 * like any other. `undefined` without the section.
 */
export function expandTools(config: Config, place: Place): ExpandedTools | undefined {
  const { tools: settings } = config;
  if (settings === undefined) return undefined;
  const issues: Issue[] = [];
  const found = discoverTools(settings.directories);
  const managementKey = config.management.apiKeyEnv;
  const checked = withGoodReferences(found.tools, { source: settings.source, managementKey });
  const harnesses = enabledHarnesses(settings, place, issues);
  const declared = [...checked.tools, ...harnesses];
  const tools = settings.placeholders === "shaped" ? withShapedPlaceholders(declared) : declared;
  const options: RenderOptions = {
    mode: settings.source,
    vault: settings.vault,
    ttl: settings.ttl,
    callers: true,
  };
  const rendering = renderTransforms(tools, options);
  const written = config.transforms.map((entry) => withHeaders(entry, settings.allowHeaders));
  const filters = written.flatMap((entry) => headerFilter(entry) ?? []);
  const problems = [
    ...found.problems,
    ...checked.problems,
    ...strippedHeaders(tools, filters),
    ...conflicts(tools),
  ];
  if (settings.directories.length === 0 && settings.harnesses.length === 0) {
    const message = "no directory and no harness: name directories, or set TOOL_DIRS, or remove tools";
    issues.push(issueAt("warning", place, ["tools"], message, "key"));
  }
  issues.push(...problems.flatMap((problem) => issueOf(problem, place)));
  return {
    settings,
    tools,
    problems,
    transforms: withRendered(written, rendering),
    issues,
    locate: locateRendered(place.locate, rendering),
  };
}

/** Leaves out tools with a reference that must not, or cannot, be read in this mode. The reference is not shown (I14). */
function withGoodReferences(
  tools: readonly Tool[],
  { source, managementKey }: { readonly source: SourceMode; readonly managementKey: string },
): { readonly tools: readonly Tool[]; readonly problems: readonly Problem[] } {
  const problems = tools.flatMap((tool) =>
    tool.secrets.flatMap((entry) =>
      secretsOf(entry).flatMap(([key, { ref }]): Problem[] => {
        const message = source === "env" ? variableProblem(ref, managementKey) : itemProblem(ref);
        if (message === undefined) return [];
        return [{ severity: "error", ...entry.where, tool: tool.name, entry: entry.name, key, message }];
      }),
    ),
  );
  const bad = new Set(problems.map((problem) => problem.tool));
  return { tools: tools.filter(({ name }) => !bad.has(name)), problems };
}

function enabledHarnesses(settings: ToolsConfig, place: Place, issues: Issue[]): readonly Tool[] {
  const { tools, problems } = harnessTools(settings.harnesses, settings.gateway);
  for (const { part, name, message } of problems) {
    const at = part === "gateway" ? name : settings.harnesses.indexOf(name);
    issues.push(issueAt("error", place, ["tools", part, at], message, part === "gateway" ? "key" : "value"));
  }
  const report = (severity: Issue["severity"], path: Path, message: string): void => {
    issues.push(issueAt(severity, place, ["tools", "gateway", ...path], message));
  };
  for (const [path, host] of gatewayHosts(settings.gateway)) {
    const problem = hostProblem(host);
    const width = breadth(host);
    if (problem !== undefined) report("error", path, problem);
    else if (width !== undefined) report("warning", path, `gateway ${JSON.stringify(host)} ${width}`);
  }
  return hasErrors(issues) ? [] : tools;
}

function hostProblem(host: string): string | undefined {
  try {
    compileHostPattern(host);
    return undefined;
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}

function gatewayHosts(gateway: Gateway | undefined): readonly (readonly [path: Path, host: string])[] {
  if (gateway === undefined) return [];
  if (typeof gateway === "string") return [[[], gateway]];
  return Object.entries(gateway).map(([name, host]) => [[name], host] as const);
}

function issueOf({ severity, tool, entry, key, message, ...where }: Problem, place: Place): Issue[] {
  if (severity === "note") return [];
  if (where.file === "")
    return [issueAt("warning", place, ["tools", "harnesses"], `harness ${entry}: ${message}`)];
  const left = severity === "error" ? " is left out" : "";
  const subject = tool === undefined ? "" : `tool ${tool}${left}: ${entry === undefined ? "" : `${entry}: `}`;
  const text = key === undefined || message.startsWith(key) ? message : `${key}: ${message}`;
  // A directory that is not there is a mistake of the operator's; a bad tool is one of its author's.
  const effect = tool === undefined ? severity : "warning";
  return [{ severity: effect, ...where, path: [], message: subject + text }];
}

function withHeaders(entry: TransformEntry, names: readonly string[]): TransformEntry {
  const { config } = entry;
  if (entry.name !== "header_allowlist" || names.length === 0 || !isTable(config)) return entry;
  const headers = Array.isArray(config["headers"]) ? config["headers"] : [];
  return { ...entry, config: { ...config, headers: [...headers, ...names] } };
}

/** What a `header_allowlist` lets through, as far as it is written as it should be. */
function headerFilter({ name, config }: TransformEntry): HeaderFilter | undefined {
  if (name !== "header_allowlist" || !isTable(config)) return undefined;
  const rules = Array.isArray(config["rules"]) ? (config["rules"] as unknown[]) : [];
  const hosts = rules.map((rule) => (isTable(rule) ? rule["host"] : undefined));
  return { headers: textsIn(config["headers"]), hosts: rules.length === 0 ? undefined : textsIn(hosts) };
}

function textsIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function withRendered(written: readonly TransformEntry[], { transforms }: Rendering): TransformEntry[] {
  const at = insertionIndex(written.map(({ name }) => name));
  const rendered = transforms.map(({ name, config }, index): TransformEntry => {
    return { name, config, path: ["tools", index] };
  });
  return written.toSpliced(at, 0, ...rendered);
}

/** Places of rendered entries: `tools`, number of the transform, `config`, its list, number in the list. */
function locateRendered(locate: Locate, { origins }: Rendering): Locate {
  return (path, part) => {
    const [section, transform, , , element] = path;
    if (section !== "tools" || typeof transform !== "number") return locate(path, part);
    const places = origins[transform];
    const place = (typeof element === "number" ? places?.[element] : undefined) ?? places?.[0];
    return place === undefined || place.file === "" ? locate(["tools", "harnesses"], part) : place;
  };
}

import {
  hasErrors,
  type Issue,
  issueAt,
  type Locate,
  type Path,
  pathText,
  related,
  sortIssues,
} from "../config/issues.ts";
import { nearest } from "../config/nearest.ts";
import { checkShape } from "../config/shape.ts";
import type { Config, TransformEntry } from "../config/types.ts";
import { compileRules, type Rules } from "../pipeline/rules.ts";
import type { BuildContext, ConfigPath, RuleConfig, Transform, TransformKind } from "../pipeline/types.ts";
import type { SourceRegistry } from "../sources/registry.ts";
import { crossCheck } from "./cross-checks.ts";
import { implicitAllowlist } from "./implicit-allowlist.ts";
import { checkPassthrough, compilePassthrough } from "./passthrough.ts";

export interface BuildOptions {
  readonly kinds: readonly TransformKind[];
  readonly sources: Pick<SourceRegistry, "handle">;
  readonly locate: Locate;
  /** Names the configuration in issues; `undefined` for the embedded default. */
  readonly file: string | undefined;
  /** What transforms may call on once they run; whoever only checks a configuration leaves them out. */
  readonly services?: Services;
}

type Services = Pick<BuildContext, "dispatcher" | "log" | "minted" | "keep" | "custody">;

/** A list of rules as an entry holds it, with what it was compiled from. */
export interface RuleList {
  /** Where the list stands, from the root of the file. */
  readonly path: Path;
  readonly configs: readonly RuleConfig[];
  readonly rules: Rules;
}

/** One entry of `transforms:` that its kind has built. */
export interface BuiltEntry {
  readonly entry: TransformEntry;
  readonly kind: TransformKind;
  readonly transform: Transform;
  /** The entry's `config` as its schema gave it. */
  readonly config: unknown;
  readonly ruleLists: readonly RuleList[];
}

/** In place of an unguarded dispatcher (I11). */
const noServices: Services = {
  dispatcher() {
    throw new Error("a configuration that is only checked makes no calls");
  },
  log() {},
};

/** Transforms of iron-proxy that do not exist here yet. */
const unsupported = ["grpc", "judge"];

/**
 * Builds the pipeline of a configuration: every entry by its kind, and a policy of its own where the file has no
 * allowlist. All errors and warnings come back at once; with any error there are no transforms.
 */
export function buildTransforms(
  config: Config,
  options: BuildOptions,
): { transforms: Transform[]; issues: Issue[]; hosts: string[]; passthrough: Rules } {
  const place = { file: options.file ?? "(no configuration file)", locate: options.locate };
  const issues: Issue[] = [];
  const report = (severity: Issue["severity"], path: Path, message: string): void => {
    issues.push(issueAt(severity, place, path, message));
  };
  const built = config.transforms.flatMap((entry) => {
    const kind = findKind(entry, config, options.kinds, report);
    return kind === undefined ? [] : buildEntry(entry, kind, config, options, issues);
  });
  // After an error in an entry, warnings about their company would mislead.
  const warn = (path: Path, message: string): void => {
    if (!hasErrors(issues)) report("warning", path, message);
  };
  const policy = implicitAllowlist(config, built, warn);
  crossCheck(built, warn);
  const transforms = [...policy, ...built.map(({ transform }) => transform)];
  const passthrough = compilePassthrough(config, report);
  checkPassthrough(passthrough, built, transforms, report);
  const { rules } = passthrough;
  if (!hasErrors(issues)) {
    return { transforms, issues: sortIssues(issues), hosts: hostsOf(built), passthrough: rules };
  }
  for (const transform of transforms) transform.close?.();
  return { transforms: [], issues: sortIssues(issues), hosts: [], passthrough: rules };
}

/** Hosts and networks in the rules of all entries, each once, as they are written. */
function hostsOf(built: readonly BuiltEntry[]): string[] {
  const configs = built.flatMap(({ ruleLists }) => ruleLists.flatMap((list) => list.configs));
  return [...new Set(configs.map((rule) => rule.host || rule.cidr || ""))].filter((host) => host !== "");
}

function findKind(
  { name, path }: TransformEntry,
  config: Config,
  kinds: readonly TransformKind[],
  report: (severity: Issue["severity"], path: Path, message: string) => void,
): TransformKind | undefined {
  const kind = kinds.find((one) => one.name === name);
  if (kind === undefined) {
    const quoted = JSON.stringify(name.slice(0, 60));
    const names = kinds.map((one) => one.name);
    const meant = nearest(name, names);
    const hint = meant === undefined ? `; known: ${names.join(", ")}` : `; did you mean "${meant}"?`;
    const known = unsupported.includes(name);
    const message = known ? `transform ${quoted} is not supported yet` : `unknown transform ${quoted}${hint}`;
    report("error", [...path, "name"], message);
    return undefined;
  }
  if (kind.credential && config.tls.mode === "sni-only") {
    report(
      "error",
      [...path, "name"],
      `transform "${name}" needs tls.mode mitm: with sni-only no request is ever seen`,
    );
  }
  return kind;
}

function buildEntry(
  entry: TransformEntry,
  kind: TransformKind,
  config: Config,
  { sources, locate, file, services = noServices }: BuildOptions,
  issues: Issue[],
): BuiltEntry[] {
  const base = [...entry.path, "config"];
  const place = { file: file ?? "(no configuration file)", locate };
  const root = `in ${pathText(base)} (${entry.name})`;
  const shape = checkShape(kind.schema, entry.config, { ...place, path: base, root });
  issues.push(...shape.issues);
  if (shape.value === undefined) return [];
  const report = (severity: Issue["severity"], path: ConfigPath, message: string): void => {
    const original = shape.original(path);
    if (shape.removed.some((removed) => related(removed, original))) return;
    // What is worth a warning in a declaration has been said, with the names that its author gave.
    if (severity === "warning" && entry.path[0] === "tools") return;
    // Sources find unknown keys themselves; what is wrong there is the key, not its value.
    const part = message.startsWith("unknown key") ? "key" : "value";
    issues.push(issueAt(severity, place, [...base, ...original], message, part));
  };
  const ruleLists: RuleList[] = [];
  const context: BuildContext = {
    error: (path, message) => report("error", path, message),
    warn: (path, message) => report("warning", path, message),
    rules(path, configs) {
      const rules = compileRules(configs, {
        ports: config.proxy.rulePorts,
        callers: kind.credential ? "unlimited" : "all",
        error: (below, message) => report("error", [...path, ...below], message),
        warn: (below, message) => report("warning", [...path, ...below], message),
      });
      ruleLists.push({ path: [...base, ...shape.original(path)], configs: configs ?? [], rules });
      return rules;
    },
    secret: (path, source) =>
      sources.handle(source, (below, message) => report("error", [...path, ...below], message)),
    ...services,
  };
  const transform = kind.build(shape.value, context);
  return [{ entry, kind, transform, config: shape.value, ruleLists }];
}

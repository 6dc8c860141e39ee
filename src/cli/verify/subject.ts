// What is verified: a configuration with its declarations, built as the proxy builds it, and the sources in it.
import type { Override } from "../../config/environment.ts";
import { formatIssue, type Issue, placeText } from "../../config/issues.ts";
import { loadConfig } from "../../config/load.ts";
import type { Config } from "../../config/types.ts";
import type { Transform } from "../../pipeline/types.ts";
import { buildTransforms } from "../../proxy/build-transforms.ts";
import { checkDnsPassthrough } from "../../proxy/dns.ts";
import { compileIdentities } from "../../proxy/upstream-identities.ts";
import type { OnePasswordClient } from "../../sources/1password.ts";
import { type SourceConfig, SourceRegistry } from "../../sources/registry.ts";
import type { SecretHandle } from "../../sources/types.ts";
import { RootsError, upstreamContext } from "../../tls/roots.ts";
import type { ExpandedTools } from "../../tools/index.ts";
import { transformKinds } from "../../transforms/registry.ts";
import { Upstream, upstreamOptions } from "../../upstream/index.ts";
import { standIn } from "../explain/explanation.ts";
import type { Check } from "./check.ts";

export interface SubjectOptions {
  readonly file: string | undefined;
  /** Take the place of `tools.directories`. */
  readonly directories: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** In place of 1Password's own client. */
  readonly onePassword?: ((token: string) => Promise<OnePasswordClient>) | undefined;
}

/** A source that the configuration names, and the handle that reads it. */
export interface NamedSource {
  readonly config: SourceConfig;
  readonly handle: SecretHandle;
}

export interface Subject {
  /** What is left when the wrong parts are taken out. */
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  /** `undefined` without a `tools:` section. */
  readonly tools: ExpandedTools | undefined;
  /** Built on stand-ins for credentials; none where the configuration has errors. */
  readonly transforms: readonly Transform[];
  readonly sources: readonly NamedSource[];
  /** Dials as the proxy does for sources; `undefined` where its roots cannot be read. */
  readonly upstream: Upstream | undefined;
  /** Key paths with errors, such as `tools.source`. */
  readonly broken: ReadonlySet<string>;
  close(): Promise<void>;
}

/**
 * Loads and builds. What is wrong does not end it: everything is to be found at once.
 * @returns the checks it comes to, and what further ones look at; that is `undefined` for a file that cannot be read
 */
export function openSubject({ file, directories, env, onePassword }: SubjectOptions): {
  readonly checks: readonly Check[];
  readonly subject: Subject | undefined;
} {
  const overrides: Override[] =
    directories.length === 0
      ? []
      : [{ path: ["tools", "directories"], variable: "DIR", value: [...directories] }];
  const loaded = loadConfig({ file, env, overrides, withTools: file === undefined });
  const { draft, locate, tools } = loaded;
  if (draft === undefined)
    return { checks: loaded.issues.map((issue) => issueCheck(issue)), subject: undefined };

  const sources: NamedSource[] = [];
  const upstream = openUpstream(draft, env);
  const registry = new SourceRegistry({
    env,
    onWarning() {}, // failures are told as checks
    ...(upstream instanceof Upstream ? { dispatcher: upstream.operatorDispatcher } : {}),
    ...(onePassword === undefined ? {} : { onePassword }),
  });
  const handles: Pick<SourceRegistry, "handle"> = {
    handle(config, error) {
      let isGood = true;
      const handle = registry.handle(config, (path, message) => {
        isGood = false;
        error(path, message);
      });
      if (isGood) sources.push({ config, handle });
      return standIn(handle);
    },
  };
  const options = { sources: handles, locate, file: draft.file };
  const { transforms, issues: found } = buildTransforms(draft, { ...options, kinds: transformKinds });
  const { issues: ofIdentities } = compileIdentities(draft, options);
  const issues = [
    ...loaded.issues,
    ...checkDnsPassthrough(draft, locate, draft.file),
    ...ofIdentities,
    ...found,
  ];
  const leftOut = leftOutTools(tools);
  const isErrorOfTool = (issue: Issue) => leftOut.some(({ place }) => place === placeText(issue));
  // Those about the vault are told with the vault.
  const others = issues.filter((issue) => !isErrorOfTool(issue) && issue.file !== "OP_VAULT");
  const checks = [
    ...unique(others).map((issue) => issueCheck(issue)),
    ...(upstream instanceof Upstream ? [] : [configurationCheck("fail", upstream.message)]),
    ...leftOut.map(({ check }) => check),
  ];
  if (!checks.some(({ status }) => status === "fail"))
    checks.unshift(configurationCheck("ok", summary(tools, sources)));
  const subject: Subject = {
    config: draft,
    env,
    tools,
    transforms,
    sources,
    upstream: upstream instanceof Upstream ? upstream : undefined,
    broken: new Set(issues.filter(({ severity }) => severity === "error").map(({ path }) => path.join("."))),
    async close() {
      for (const transform of transforms) transform.close?.();
      registry.close();
      await subject.upstream?.close();
    },
  };
  return { checks, subject };
}

/** The proxy's own dialler for sources: its resolver, roots, guard and forward proxy. */
function openUpstream(config: Config, env: NodeJS.ProcessEnv): Upstream | RootsError {
  try {
    const roots = upstreamContext({ upstreamCa: config.tls.upstreamCa, env });
    return new Upstream(upstreamOptions(config, roots, () => []));
  } catch (error) {
    if (error instanceof RootsError) return error;
    throw error;
  }
}

function configurationCheck(status: Check["status"], message: string): Check {
  return { kind: "configuration", subject: "configuration", status, message };
}

/** Mistakes in the mode and the vault are told as such. */
function issueCheck(issue: Issue): Check {
  const status = issue.severity === "error" ? "fail" : "warn";
  const [section, key] = issue.path;
  const isOf = (name: string) => section === "tools" && key === name;
  const message = `${placeText(issue)}: ${issue.message}`;
  if (isOf("source")) return { kind: "mode", subject: "mode", status, message };
  if (isOf("vault")) return { kind: "vault", subject: "vault", status, message, cause: "vault" };
  return configurationCheck(status, message);
}

/** Tools whose credentials are not served at all. */
function leftOutTools(tools: ExpandedTools | undefined): { readonly place: string; readonly check: Check }[] {
  return (tools?.problems ?? []).flatMap((problem) => {
    const { severity, tool, entry, key, message, file, line, column } = problem;
    if (severity !== "error" || tool === undefined) return [];
    const place = `${file}:${line}:${column}`;
    const about = [entry, key].filter((part) => part !== undefined && !message.startsWith(part)).join(" ");
    const text = `${place}: ${about === "" ? "" : `${about}: `}${message}; the tool is left out`;
    return [
      { place, check: { kind: "declaration", subject: tool, status: "fail", message: text } satisfies Check },
    ];
  });
}

function unique(issues: readonly Issue[]): readonly Issue[] {
  return [...new Map(issues.map((issue) => [formatIssue(issue), issue])).values()];
}

function summary(tools: ExpandedTools | undefined, sources: readonly NamedSource[]): string {
  const harnesses = tools?.tools.filter(({ file }) => file === "").length ?? 0;
  const declared = (tools?.tools.length ?? 0) - harnesses;
  const names = new Set(sources.map(({ config }) => JSON.stringify(config)));
  const parts = [
    counted(declared, "tool"),
    counted(harnesses, "harness credential"),
    counted(names.size, "source"),
  ];
  return parts.filter((part) => part !== "").join(", ") || "no credential is declared";
}

function counted(number: number, noun: string): string {
  return number === 0 ? "" : `${number} ${noun}${number === 1 ? "" : "s"}`;
}

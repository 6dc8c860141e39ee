import type { Command } from "commander";
import { formatIssue, type Issue, sortIssues } from "../config/issues.ts";
import { configJsonSchema } from "../config/json-schema.ts";
import { loadConfig } from "../config/load.ts";
import { buildTransforms } from "../proxy/build-transforms.ts";
import { checkDnsPassthrough } from "../proxy/dns.ts";
import { compileIdentities } from "../proxy/upstream-identities.ts";
import { SourceRegistry, sourceKinds } from "../sources/registry.ts";
import { transformKinds } from "../transforms/registry.ts";
import { CliError, type Io } from "./io.ts";

interface CheckOptions {
  readonly json?: boolean;
  readonly strict?: boolean;
  readonly schema?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("check")
    .description("check a configuration file and report every error at once")
    .argument("[file]", "configuration file, or - for standard input")
    .option("--json", "report as JSON, for programs")
    .option("--strict", "exit 1 on warnings too")
    .option("--schema", "print the JSON Schema of configuration files instead, for editors")
    .addHelpText(
      "after",
      `
Prints file:line:column: message for every error and, after "warning: ", for what is legal but suspicious. Reads no
credential and opens no connection. Overrides from the environment (SALLYPORT_*, IRON_*) are checked as well.
Exit codes: 0 no errors, 1 errors (with --strict warnings too), 2 wrong usage.

Examples:
  sallyport check proxy.yaml
  sallyport check --strict --json proxy.yaml
  helm template chart | yq .data | sallyport check -
  sallyport check --schema > sallyport.schema.json`,
    )
    .action(async (file: string | undefined, options: CheckOptions) => {
      if (options.schema === true) {
        io.stdout(`${JSON.stringify(configJsonSchema(transformKinds, sourceKinds), undefined, 2)}\n`);
        return;
      }
      if (file === undefined) throw new CliError("name a configuration file, or - for standard input", 2);
      io.exit(await check(file, options, io));
    });
}

/** Prints what is wrong with a file; gives the exit code. */
async function check(file: string, options: CheckOptions, io: Io): Promise<number> {
  const name = file === "-" ? "<stdin>" : file;
  const text = file === "-" ? await io.stdin() : undefined;
  const issues = findIssues(name, text, io.env);
  const warnings = issues.filter((issue) => issue.severity === "warning").length;
  const errors = issues.length - warnings;
  if (options.json === true) {
    io.stdout(
      `${JSON.stringify({ file: name, ok: errors === 0, errors, warnings, issues }, undefined, 2)}\n`,
    );
  } else {
    for (const issue of issues) io.stdout(`${formatIssue(issue)}\n`);
    io.stdout(`${name}: ${summary(errors, warnings)}\n`);
  }
  return errors > 0 || (options.strict === true && warnings > 0) ? 1 : 0;
}

function findIssues(file: string, text: string | undefined, env: NodeJS.ProcessEnv): readonly Issue[] {
  const loaded = loadConfig({ file, text, env });
  if (loaded.draft === undefined) return loaded.issues;
  const issues = [...loaded.issues];
  const sources = new SourceRegistry({
    env,
    onWarning(name, message) {
      issues.push({
        severity: "warning",
        file,
        line: 0,
        column: 0,
        path: [],
        message: `${name}: ${message}`,
      });
    },
  });
  const built = buildTransforms(loaded.draft, {
    kinds: transformKinds,
    sources,
    locate: loaded.locate,
    file,
  });
  const { draft, locate } = loaded;
  const identities = compileIdentities(draft, { sources, locate, file });
  for (const transform of built.transforms) transform.close?.();
  sources.close();
  const others = [...checkDnsPassthrough(draft, locate, file), ...identities.issues];
  return sortIssues([...issues, ...others, ...built.issues]);
}

function summary(errors: number, warnings: number): string {
  const counted = [count(errors, "error"), count(warnings, "warning")].filter((part) => part !== "");
  return counted.join(", ") || "ok";
}

function count(number: number, noun: string): string {
  return number === 0 ? "" : `${number} ${noun}${number === 1 ? "" : "s"}`;
}

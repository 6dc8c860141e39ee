import { createHash } from "node:crypto";
import type { Command } from "commander";
import { harnessNames, renderTransforms } from "../tools/index.ts";
import type { Io } from "./io.ts";
import { findTools, type ToolsOptions } from "./tools/find.ts";
import { renderBase } from "./tools/render.ts";
import { printCheck, printJson, printList, printProblems, verdictOf } from "./tools/report.ts";

interface ReportOptions extends ToolsOptions {
  readonly json?: boolean;
  readonly strict?: boolean;
}

interface RenderCommandOptions extends ToolsOptions {
  readonly callers?: boolean;
  readonly hash?: boolean;
}

export function register(program: Command, io: Io): void {
  const tools = program
    .command("tools")
    .description("list, check or render the credentials that tools declare")
    .addHelpText("after", examples);
  addOptions(tools.command("list"))
    .description("print every tool with its secrets, hosts, places and references")
    .option("--json", "report as JSON, for programs")
    .option("--strict", "exit 1 on warnings too, such as hosts that are too broad")
    .action(async (directories: string[], options: ReportOptions) => {
      io.exit(await report(directories, options, io, printList));
    });
  addOptions(tools.command("check"))
    .description("report everything that is wrong with declarations; reads no credential")
    .option("--json", "report as JSON, for programs")
    .option("--strict", "exit 1 on warnings too, such as hosts that are too broad")
    .action(async (directories: string[], options: ReportOptions) => {
      io.exit(await report(directories, options, io, printCheck));
    });
  addOptions(tools.command("render"))
    .description("print the configuration that declarations stand for; it holds references, never values")
    .option(
      "--callers",
      "name in each rule the tools that declare it, for callers limited to tools; iron-proxy refuses the key",
    )
    .option("--hash", "print the SHA-256 of the configuration instead")
    .action(async (directories: string[], options: RenderCommandOptions) => {
      io.exit(await render(directories, options, io));
    });
}

const examples = `
Directories default to those of a \`tools:\` section in --base, then to TOOL_DIRS. A tool with a mistake is left out, the
others stay. Exit codes: 0 fine, 1 a tool or a setting is wrong (with --strict warnings too), 2 wrong usage.

Examples:
  sallyport tools list ./tools
  sallyport tools check --strict --base proxy.yaml ./tools
  sallyport tools render --base base.yaml --source onepassword-connect --harness codex ./tools > proxy.yaml`;

function addOptions(command: Command): Command {
  const several = (value: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...value.split(",").filter((one) => one !== ""),
  ];
  const each = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
  return command
    .argument(
      "[dir...]",
      "directories of tools; a later one shadows tools of the same name in an earlier one",
    )
    .option("--base <file>", "configuration to go by, or to render into; - for standard input")
    .option("--source <mode>", "where credentials are read from: env, onepassword or onepassword-connect")
    .option("--vault <name>", "1Password vault, by name or id")
    .option("--ttl <duration>", "age at which a credential from 1Password is read again")
    .option("--harness <names>", `agents or credentials to serve: ${harnessNames.join(", ")}`, several)
    .option("--gateway <host>", "host in place of the language models' own; NAME=HOST for one of them", each)
    .option("--shaped", "placeholders that look like keys of their services, for SDKs that insist")
    .option("--allow-header <names>", "headers to add to every header_allowlist of the base", several)
    .addHelpText("after", examples);
}

async function report(
  directories: readonly string[],
  options: ReportOptions,
  io: Io,
  print: typeof printList,
): Promise<number> {
  const found = await findTools(directories, options, io);
  const verdict = verdictOf(found);
  if (options.json === true) printJson(found, verdict, io);
  else print(found, verdict, io);
  return verdict.errors > 0 || (options.strict === true && verdict.warnings > 0) ? 1 : 0;
}

async function render(
  directories: readonly string[],
  options: RenderCommandOptions,
  io: Io,
): Promise<number> {
  const found = await findTools(directories, options, io);
  const { errors } = verdictOf(found);
  printProblems(found, (text) => io.stderr(text));
  if (found.settings === undefined || found.broken) return 1;
  const { source: mode, vault, ttl, allowHeaders } = found.settings;
  const settings = { mode, vault, ttl, callers: options.callers === true };
  const { transforms } = renderTransforms(found.tools, settings);
  const { text, notes } = renderBase(found.base, { transforms, allowHeaders });
  for (const note of notes) io.stderr(`${note}\n`);
  io.stdout(options.hash === true ? `${createHash("sha256").update(text).digest("hex")}\n` : text);
  return errors > 0 ? 1 : 0;
}

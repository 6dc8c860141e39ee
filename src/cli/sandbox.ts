import { type Command, InvalidArgumentError, Option } from "commander";
import { defaultTtl } from "../callers/token.ts";
import { formatDuration, parseDuration } from "../config/duration.ts";
import { environmentFormats } from "../tools/environment-format.ts";
import type { Io } from "./io.ts";
import { type EnvOptions, printEnvironment } from "./sandbox/env.ts";
import { printToken, type TokenOptions } from "./sandbox/token.ts";

export function register(program: Command, io: Io): void {
  const sandbox = program
    .command("sandbox")
    .description("make what a sandbox needs: a token that says who it is, an environment of placeholders")
    .addHelpText(
      "after",
      `
Examples:
  sallyport sandbox token --name sandbox-41 --tools search,crm
  sallyport sandbox env --config proxy.yaml --name sandbox-41 --format k8s`,
    );
  addTokenOptions(sandbox.command("token"))
    .description(
      "print a token, signed with SANDBOX_SIGNING_KEY, for a workload to send as the proxy's password",
    )
    .option("--json", "print name, tools and end as well, as JSON")
    .addHelpText(
      "after",
      `
A token cannot be taken back; it ends. Exit codes: 0 fine, 1 no usable key, 2 wrong usage.

Examples:
  export SANDBOX_SIGNING_KEY="$(openssl rand -hex 32)"
  sallyport sandbox token --name sandbox-41 --ttl 30m`,
    )
    .action((options: TokenOptions) => printToken(options, io));
  const env = addTokenOptions(sandbox.command("env"))
    .description(
      "print the environment of a sandbox: placeholders, the way to the proxy, its CA; never a credential",
    )
    .argument(
      "[directories...]",
      "directories of tools; default: those of the configuration, or of TOOL_DIRS",
    )
    .option("-c, --config <file>", "the proxy's configuration, whose tools and secrets entries count")
    .option(
      "--harness <names>",
      "agents or credentials to serve: codex,GITHUB_TOKEN; may be repeated",
      several,
      [],
    )
    .addOption(
      new Option("--format <format>", "who is to read it").choices(environmentFormats).default("shell"),
    )
    .option(
      "--proxy <url>",
      "where the sandbox finds the proxy; default: the configuration's tunnel listener",
    )
    .option("--ca <path>", "where the sandbox finds the bundle of certificates")
    .option("--write-ca <file>", "write that bundle here: the system's roots and the proxy's CA")
    .option("--ca-cert <file>", "the CA for --write-ca; default: the configuration's")
    .option("--token <token>", "token to use; - reads it from standard input")
    .option(
      "--shaped",
      "placeholders that look like keys of their services; for a file, tools.placeholders says it",
    )
    .option("--set <name=value>", "add a variable, or replace one; may be repeated", several)
    .addOption(
      negatedByName("--no-proxy <hosts>", "reach these hosts directly, comma list; may be repeated"),
    );
  env
    .addHelpText(
      "after",
      `
Formats: shell (to be sourced), dotenv, docker (for docker run --env-file), json, k8s (a container's env).
With --tools only what these tools declare is in it. Exit codes: 0 fine, 1 wrong declarations, 2 wrong usage.

Examples:
  eval "$(sallyport sandbox env --config proxy.yaml --write-ca /tmp/ca-bundle.pem)"
  sallyport sandbox env ./tools --harness codex --name sandbox-41 --proxy http://proxy:8080 --format docker > env.list`,
    )
    .action(async (directories: string[], options: EnvOptions) => {
      io.exit(await printEnvironment(directories, options, io));
    });
}

function addTokenOptions(command: Command): Command {
  return command
    .option("--name <name>", "name of the sandbox, as the audit shows it")
    .option("--tools <a,b>", "tools it may use; left out: all", toolList)
    .addOption(
      new Option("--ttl <duration>", "how long its token is good, such as 30m")
        .default(defaultTtl, formatDuration(defaultTtl * 1000))
        .argParser(seconds),
    );
}

/** Commander takes `--no-proxy` for the opposite of `--proxy`. */
function negatedByName(flags: string, description: string): Option {
  const option = new Option(flags, description).argParser(several);
  option.negate = false;
  return option;
}

function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function toolList(text: string): readonly string[] {
  const tools = text.split(",").map((tool) => tool.trim());
  if (tools.includes("")) throw new InvalidArgumentError("Write names with commas: search,crm");
  return tools;
}

function seconds(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 1000) throw new InvalidArgumentError("Write a duration such as 30m or 2h.");
  return Math.floor(ms / 1000);
}

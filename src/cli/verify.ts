import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../config/duration.ts";
import { CliError, type Io } from "./io.ts";
import type { AskedRequest } from "./explain/request.ts";
import { checksJson, checksText, isFine } from "./verify/report.ts";
import { verify } from "./verify/run.ts";

interface Options {
  readonly config?: string;
  readonly request: readonly string[];
  readonly header: readonly string[];
  readonly timeout: number;
  readonly json?: true;
}

const standardTimeoutMs = 60_000;
const longestTimeoutMs = 600_000;

export function register(program: Command, io: Io): void {
  const several = (given: string, before: readonly string[]): readonly string[] => [...before, given];
  program
    .command("verify")
    .description(
      "check the mode, vault, tokens, CA and Connect, and read every declared credential without printing it",
    )
    .argument("[dir...]", "directories of tools, in place of those of the configuration")
    .option("-c, --config <file>", "configuration of the proxy")
    .option(
      "--request <line>",
      "also say whether this request would carry its credential: 'GET https://host/path'; may be repeated",
      several,
      [],
    )
    .option("-H, --header <line>", "header of these requests, 'Name: value'; may be repeated", several, [])
    .addOption(
      new Option("--timeout <duration>", "longest wait for all answers together")
        .default(standardTimeoutMs, "60s")
        .argParser(timeout),
    )
    .option("--json", "report as JSON, for programs")
    .addHelpText(
      "after",
      `
Run it where the proxy runs, with the proxy's environment. It resolves names, asks the secret stores and reads every
credential once; it prints none, starts no proxy and sends no request to an upstream. Every check is made, whatever those
before came to. Exit codes: 0 all is well, warnings or not; 1 something failed or could not be checked; 2 wrong usage.

Examples:
  sallyport verify --config proxy.yaml
  sallyport verify --config proxy.yaml --request 'GET https://warehouse.internal.example.com/' -H 'Authorization: Bearer WAREHOUSE_API_KEY'
  kubectl exec -n centaur-system deploy/centaur-centaur-proxy -- sallyport verify --config /etc/sallyport/proxy.yaml`,
    )
    .action(async (directories: string[], options: Options) => {
      const { config: file, request, header: headers, timeout: timeoutMs, json = false } = options;
      if (file === undefined && directories.length === 0 && (io.env["TOOL_DIRS"] ?? "") === "") {
        throw new CliError("name a configuration with --config, or a directory of tools", 2);
      }
      if (request.length === 0 && headers.length > 0)
        throw new CliError("-H is for requests: add --request", 2);
      const requests = request.map((line) => requestOf(line, headers));
      const checks = await verify({ file, directories, requests, env: io.env, timeoutMs });
      io.stdout(json ? checksJson(checks) : checksText(checks));
      io.exit(isFine(checks) ? 0 : 1);
    });
}

function requestOf(line: string, headers: readonly string[]): AskedRequest {
  const [, method, url] = /^([A-Za-z]+) +(\S+)$/.exec(line.trim()) ?? [];
  if (method === undefined || url === undefined) {
    throw new CliError(
      "--request: write method and URL in one argument: --request 'GET https://host/path'",
      2,
    );
  }
  return { method, url, headers, data: undefined, caller: undefined };
}

function timeout(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= longestTimeoutMs) return ms;
  throw new InvalidArgumentError("Write a duration such as 30s, at most 10m.");
}

import type { Command } from "commander";
import { formatIssue, hasErrors, type Issue, type Locate, sortIssues } from "../config/issues.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/types.ts";
import type { Caller, Transform } from "../pipeline/types.ts";
import { buildTransforms } from "../proxy/build-transforms.ts";
import { SourceRegistry } from "../sources/registry.ts";
import { transformKinds } from "../transforms/registry.ts";
import { explanationOf, standIn } from "./explain/explanation.ts";
import { explanationJson, explanationText } from "./explain/report.ts";
import type { AskedRequest } from "./explain/request.ts";
import type { Io } from "./io.ts";

interface ExplainOptions {
  readonly header: readonly string[];
  readonly data?: string;
  readonly json?: boolean;
  readonly callerTools?: string;
}

export function register(program: Command, io: Io): void {
  program
    .command("explain")
    .description(
      "say what would become of one request: which rules match, which credential, and why not others",
    )
    .argument("<file>", "configuration file, or - for standard input")
    .argument("<method>", "as it would be sent: GET")
    .argument("<url>", "https://host[:port]/path?query")
    .option(
      "-H, --header <line>",
      "header the request would have, 'Name: value'; may be repeated",
      (given: string, before: readonly string[]) => [...before, given],
      [],
    )
    .option("-d, --data <text>", "body the request would have")
    .option("--caller-tools <a,b>", "as a caller who is limited to these tools; '' for one who may use none")
    .option("--json", "report as JSON, for programs")
    .addHelpText(
      "after",
      `
Resolves no name, opens no connection, reads no credential and prints no value of a header. Warnings about the file go
to standard error. A file without tls.ca_cert is fine here.
Exit codes: 0 explained, whatever the verdict; 1 errors in the file; 2 wrong usage.

Examples:
  sallyport explain proxy.yaml GET https://api.openai.com/v1/models -H 'Authorization: Bearer PLACEHOLDER'
  sallyport explain --json proxy.yaml POST https://api.github.com/graphql | jq -r .verdict.text`,
    )
    .action(async (file: string, method: string, url: string, options: ExplainOptions) => {
      const { header: headers, data, json = false, callerTools } = options;
      const caller = callerTools === undefined ? undefined : limitedTo(callerTools);
      io.exit(await explain(file, { method, url, headers, data, caller }, json, io));
    });
}

/** A caller as its token would say. */
function limitedTo(list: string): Caller {
  const tools = list.split(",").map((tool) => tool.trim());
  return { name: "caller", tools: tools.filter((tool) => tool !== "") };
}

async function explain(file: string, asked: AskedRequest, json: boolean, io: Io): Promise<number> {
  const name = file === "-" ? "<stdin>" : file;
  const text = file === "-" ? await io.stdin() : undefined;
  // What the policy decides does not depend on the CA or the key of tokens, and a file for `run` has none.
  const standIns = { SALLYPORT_TLS_CA_CERT: "(none)", SALLYPORT_TLS_CA_KEY: "(none)" };
  const env = { ...standIns, SANDBOX_SIGNING_KEY: "(none)", ...io.env };
  const { config, issues, locate } = loadConfig({ file: name, text, env });
  const sources = new SourceRegistry({ env: io.env, onWarning: () => {} });
  const built = config === undefined ? undefined : build(config, locate, sources);
  const all = sortIssues([...issues, ...(built?.issues ?? [])]);
  const transforms = built?.transforms ?? [];
  try {
    if (!json || hasErrors(all)) for (const issue of all) io.stderr(`${formatIssue(issue)}\n`);
    if (config === undefined || hasErrors(all)) return 1;
    const explanation = { ...(await explanationOf(asked, config, transforms)), warnings: all };
    io.stdout(json ? explanationJson(explanation) : explanationText(explanation));
    return 0;
  } finally {
    for (const transform of transforms) transform.close?.();
    sources.close();
  }
}

/** The transforms as start builds them, on sources that give a stand-in and are never read. */
function build(
  config: Config,
  locate: Locate,
  sources: SourceRegistry,
): { transforms: Transform[]; issues: Issue[] } {
  return buildTransforms(config, {
    kinds: transformKinds,
    sources: { handle: (source, error) => standIn(sources.handle(source, error)) },
    locate,
    file: config.file,
  });
}

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { formatIssue, hasErrors } from "../config/issues.ts";
import type { Config } from "../config/types.ts";
import { createLogger } from "../log/logger.ts";
import { Proxy } from "../proxy/proxy.ts";
import { ephemeralCa } from "../tls/ca-create.ts";
import { bundle } from "../tls/roots.ts";
import type { Io } from "./io.ts";
import { relaySignals, runChild, type SignalRelay, SpawnError } from "./run/child.ts";
import { type RunConfig, runConfiguration } from "./run/configuration.ts";
import { childEnvironment, refuseCredentialsInArguments } from "./run/environment.ts";
import { type HeldOutput, heldOutput } from "./run/output.ts";
import { passwordGate } from "./run/password.ts";
import { parseSecrets, type SecretOption } from "./run/secret-option.ts";
import { createSummary } from "./run/summary.ts";
import { withheldVariables } from "./run/variables.ts";
import { reportFatal } from "./start.ts";

interface RunOptions {
  readonly config?: string;
  readonly secret: readonly string[];
  readonly audit?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

type CommandLine = [string, ...string[]];

export function register(program: Command, io: Io, exposures: readonly string[]): void {
  program
    .command("run")
    .description(
      "run one command that has placeholders where its credentials were, behind a proxy of its own",
    )
    .usage("[options] -- COMMAND [ARGUMENTS...]")
    .argument("<command...>", "command to run, after --")
    .option(
      "-c, --config <file>",
      "configuration file; its transforms apply, its listeners and its CA do not",
    )
    .option(
      "-s, --secret <NAME=HOST,...>",
      "swap the placeholder of this variable for its value on the way to these hosts; may be repeated",
      (given: string, before: readonly string[]) => [...before, given],
      [],
    )
    .option("--audit <file>", "append one audit record for each request to this file")
    .option("-q, --quiet", "no lines of our own about a run that went well")
    .option("-v, --verbose", "log and audit on standard error while the command runs")
    .passThroughOptions()
    .addHelpText(
      "after",
      `
The command finds placeholders in place of the credentials that the proxy reads, proxy variables and a CA bundle.
Only its requests are let in, with a password made for this run. Nothing confines the command itself: docs/run.md says
what that means. Without --config only the hosts of --secret can be reached.
Exit codes: the command's own; 128+N when signal N ended it, 126 it cannot be executed, 127 it is not found;
of our own: 1 wrong configuration or failure, 2 wrong usage.

Examples:
  sallyport run --secret OPENAI_API_KEY=api.openai.com -- python agent.py
  sallyport run -s GITHUB_TOKEN=api.github.com,github.com -s OPENAI_API_KEY=api.openai.com -- ./agent
  sallyport run --config proxy.yaml --audit audit.log -- sh`,
    )
    .action(async (command: CommandLine, options: RunOptions) => {
      for (const exposure of exposures) io.stderr(`sallyport: ${exposure}\n`);
      io.exit(await run(command, options, io));
    });
}

/** Runs one command behind a proxy of its own; gives the exit code. */
async function run(command: CommandLine, options: RunOptions, io: Io): Promise<number> {
  const secrets = parseSecrets(options.secret, io.env);
  const settings = runConfiguration({
    file: options.config,
    secrets,
    env: io.env,
    audit: options.audit,
    verbose: options.verbose === true,
  });
  for (const issue of settings.issues) io.stderr(`${formatIssue(issue)}\n`);
  const { config, placeholders } = settings;
  if (config === undefined || hasErrors(settings.issues)) return 1;
  refuseCredentialsInArguments(command, { env: io.env, placeholders });
  const relay = relaySignals();
  const folder = mkdtempSync(join(tmpdir(), "sallyport-run-"));
  const tidy = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", tidy); // for ends that nobody foresaw
  try {
    if (options.quiet !== true) io.stderr(announcement(settings, secrets));
    return await serve({ command, options, config, settings, folder, relay, io });
  } finally {
    tidy();
    process.off("exit", tidy);
    relay.release();
  }
}

/** What the child has and what it can reach: naming a secret opens its hosts, which is said aloud. */
function announcement({ config, placeholders }: RunConfig, secrets: readonly SecretOption[]): string {
  const parts = [
    config?.file === undefined && secrets.length > 0
      ? `only ${[...new Set(secrets.flatMap(({ hosts }) => hosts))].join(", ")} can be reached`
      : "",
    placeholders.size > 0 ? `the command has placeholders for ${[...placeholders.keys()].join(", ")}` : "",
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : `sallyport: ${parts.join("; ")}\n`;
}

interface Serving {
  readonly command: CommandLine;
  readonly options: RunOptions;
  readonly config: Config;
  readonly settings: RunConfig;
  /** Private and gone at the end; the bundle is put there. */
  readonly folder: string;
  readonly relay: SignalRelay;
  readonly io: Io;
}

async function serve(serving: Serving): Promise<number> {
  const { command, options, config, settings, folder, relay, io } = serving;
  const output = heldOutput((text) => io.stderr(text));
  const summary = createSummary();
  const gate = passwordGate();
  let proxy: Proxy | undefined;
  let ran = false;
  const stopWatching = watchForDefects(output, () => {
    proxy?.flushSync();
    relay.terminate();
  });
  try {
    const { ca, certPem } = await ephemeralCa();
    const bundlePath = join(folder, "ca-bundle.pem");
    const roots = bundle(certPem, { upstreamCa: config.tls.upstreamCa, env: io.env });
    writeFileSync(bundlePath, roots, { mode: 0o600, flag: "wx" });
    proxy = await Proxy.start(config, {
      env: io.env,
      locate: settings.locate,
      ca,
      logger: createLogger({
        level: options.verbose === true ? "info" : "warn",
        format: "text",
        stream: output,
      }),
      authenticate: (proxyAuthorization) => gate.admits(proxyAuthorization),
      onOutcome: (exchange, outcome) => summary.onOutcome(exchange, outcome),
      onRecord: (record) => summary.onRecord(record),
    });
    const env = childEnvironment({
      env: io.env,
      placeholders: settings.placeholders,
      withheld: withheldVariables(config, proxy.transforms, proxy.identitySecrets),
      proxyUrl: gate.urlFor(proxy.addresses.tunnel as string),
      bundle: bundlePath,
    });
    if (relay.endedBy !== undefined) return relay.endedBy;
    if (options.verbose !== true) output.hold();
    ran = true;
    return await runChild(command, env, relay);
  } catch (error) {
    ran = false;
    output.release();
    if (!(error instanceof SpawnError)) {
      reportFatal(error, io);
      return 1;
    }
    io.stderr(`sallyport: ${error.message}\n`);
    return error.exitCode;
  } finally {
    await proxy?.stop(drainMs);
    output.release();
    if (ran && options.quiet !== true) io.stderr(`sallyport: ${summary.text()}\n`);
    stopWatching();
  }
}

/** The command is gone, and so is whoever could wait for an answer. */
const drainMs = 500;

/** A defect of the proxy ends the run: the child could reach nothing any more. */
function watchForDefects(output: HeldOutput, lastSteps: () => void): () => void {
  const crash = (error: unknown): void => {
    // Name and place, not the text: a message may quote the data it choked on (I14).
    const { name, stack } = error instanceof Error ? error : new Error("unknown");
    const at = stack?.split("\n").find((line) => line.trimStart().startsWith("at ")) ?? "";
    output.release();
    output.write(`sallyport: fatal error: ${name} ${at.trim()}\n`);
    lastSteps();
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  return () => {
    process.off("uncaughtException", crash);
    process.off("unhandledRejection", crash);
  };
}

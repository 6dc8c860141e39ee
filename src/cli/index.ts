import { Command, CommanderError } from "commander";
import type { Hardening } from "../process/harden.ts";
import { normalizeArguments } from "./arguments.ts";
import { CliError, type Io } from "./io.ts";

/** What a file of a command exports. */
export interface CommandModule {
  /**
   * Adds the command to the program; its action tells `io.exit` unless it went well.
   * @param exposures what others can see of the process though the command holds credentials, a sentence each
   */
  register(program: Command, io: Io, exposures: readonly string[]): void;
}

export interface CommandRow {
  readonly name: string;
  /** For the list of commands: a phrase, as the command's own description begins. */
  readonly summary: string;
  readonly example: string;
  /** It holds credentials as long as it runs: the process is closed to others before it is loaded. */
  readonly hardening?: Hardening;
  /** Loaded only when the command is used, so that each starts as fast as it can. */
  load(): Promise<CommandModule>;
}

/** Every command, one file each; a new one is a file and a row here. */
export const commands: readonly CommandRow[] = [
  {
    name: "start",
    summary: "run the proxy until it is stopped by a signal",
    example: "sallyport start --config proxy.yaml",
    hardening: { startsCommand: false },
    load: () => import("./start.ts"),
  },
  {
    name: "run",
    summary: "run one command that has placeholders where its credentials were, behind a proxy of its own",
    example: "sallyport run --secret OPENAI_API_KEY=api.openai.com -- python agent.py",
    hardening: { startsCommand: true },
    load: () => import("./run.ts"),
  },
  {
    name: "check",
    summary: "check a configuration file and report every error at once",
    example: "sallyport check proxy.yaml",
    load: () => import("./check.ts"),
  },
  {
    name: "ca",
    summary: "make or look at the certificate authority that workloads trust",
    example: "sallyport ca init --dir /etc/sallyport",
    load: () => import("./ca.ts"),
  },
  {
    name: "generate-ca",
    summary: "write a new CA with iron-proxy's flags; new scripts use: sallyport ca init",
    example: "sallyport generate-ca -outdir certs",
    load: () => import("./generate-ca.ts"),
  },
  {
    name: "explain",
    summary: "say what would become of one request: which rules match, which credential, and why not others",
    example: "sallyport explain proxy.yaml GET https://api.openai.com/v1/models",
    load: () => import("./explain.ts"),
  },
  {
    name: "tools",
    summary: "list, check or render the credentials that tools declare",
    example: "sallyport tools check ./tools",
    load: () => import("./tools.ts"),
  },
  {
    name: "sandbox",
    summary: "make what a sandbox needs: a token that says who it is, an environment of placeholders",
    example: "sallyport sandbox env --config proxy.yaml --name sandbox-41",
    load: () => import("./sandbox.ts"),
  },
  {
    name: "api",
    summary: "serve an HTTP API that gives sandboxes their tokens and environments",
    example: "sallyport api --config proxy.yaml --listen :8000",
    hardening: { startsCommand: false },
    load: () => import("./api.ts"),
  },
  {
    name: "quickstart",
    summary: "start the proxy beside a small TLS service that wants a credential, to see it work",
    example: "sallyport quickstart",
    load: () => import("./quickstart.ts"),
  },
  {
    name: "health",
    summary: "ask a running proxy, or API, whether it is well; for images without curl",
    example: "sallyport health http://127.0.0.1:9090/readyz",
    load: () => import("./health.ts"),
  },
  {
    name: "bootstrap",
    summary: "make the Secrets that the chart needs: keys, vault token, Connect credentials and the CA",
    example: "sallyport bootstrap --namespace centaur-system --mode onepassword",
    load: () => import("./bootstrap.ts"),
  },
  {
    name: "verify",
    summary: "check mode, vault, tokens, CA and Connect, and read every credential without printing it",
    example: "sallyport verify --config proxy.yaml",
    load: () => import("./verify.ts"),
  },
  {
    name: "version",
    summary: "print the version",
    example: "sallyport version",
    load: () => import("./version.ts"),
  },
];

/**
 * Runs one command line.
 * @param argv what follows the program's name
 * @param rows the commands there are; tests give their own
 * @returns when the command has ended; its exit code goes to `io.exit` (0 fine, 1 failure, 2 usage)
 */
export async function runCli(
  argv: readonly string[],
  io: Io,
  rows: readonly CommandRow[] = commands,
): Promise<void> {
  const args = normalizeArguments(argv);
  const program = createProgram(io, rows);
  const wanted = args[0] === "help" ? args[1] : args[0];
  try {
    for (const row of rows) {
      if (row.name === wanted) {
        const exposures = row.hardening === undefined ? [] : (io.harden?.(row.hardening) ?? []);
        (await row.load()).register(program, io, exposures);
      } else program.command(row.name).description(row.summary);
    }
    if (args.length === 0) {
      program.outputHelp({ error: true });
      io.exit(2);
      return;
    }
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) io.exit(2);
      return; // commander has printed what there is to say
    }
    const message = error instanceof Error ? error.message : String(error);
    io.stderr(`error: ${message.replaceAll(/\s*\n\s*/g, " ")}\n`);
    io.exit(error instanceof CliError ? error.exitCode : 1);
  }
}

function createProgram(io: Io, rows: readonly CommandRow[]): Command {
  const program = new Command("sallyport");
  program
    .description("An egress proxy that keeps real credentials out of the places where untrusted code runs.")
    .usage("<command> [options]")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
    .option("--config <file>", "without a command: start with this file, as iron-proxy does")
    .option("-v, --version", "print the version")
    .addHelpText(
      "after",
      `
Examples:
${rows.map((row) => `  ${row.example}`).join("\n")}

Every command explains itself: sallyport check --help
Exit codes: 0 fine, 1 wrong configuration or failure, 2 wrong usage.`,
    );
  return program;
}

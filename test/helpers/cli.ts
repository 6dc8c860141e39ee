import { type CommandRow, commands, runCli } from "../../src/cli/index.ts";
import type { Io } from "../../src/cli/io.ts";

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  /** In place of the real commands. */
  readonly rows?: readonly CommandRow[];
}

/** Runs a command line inside this process. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Run> {
  const out: string[] = [];
  const err: string[] = [];
  let code = 0;
  const io: Io = {
    env: options.env ?? {},
    stdout: (text) => void out.push(text),
    stderr: (text) => void err.push(text),
    stdin: () => Promise.resolve(options.stdin ?? ""),
    exit: (given) => {
      code = given;
    },
  };
  await runCli(argv, io, options.rows ?? commands);
  return { code, stdout: out.join(""), stderr: err.join("") };
}

/** What `check` says of a text: each issue without the file's name, and the exit code. */
export async function runCheck(
  text: string,
  ...options: string[]
): Promise<{ issues: string[]; code: number }> {
  const { stdout, code } = await run(["check", ...options, "-"], { stdin: text });
  const lines = stdout.trimEnd().split("\n");
  return { issues: lines.slice(0, -1).map((line) => line.replace(/^<stdin>:/, "")), code };
}

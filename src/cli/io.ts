import type { Hardening } from "../process/harden.ts";

/** What a command has of the world outside; tests give their own. */
export interface Io {
  readonly env: NodeJS.ProcessEnv;
  stdout(text: string): void;
  stderr(text: string): void;
  /** All of standard input, as text. */
  stdin(): Promise<string>;
  /**
   * Closes the process to others before a command reads credentials; absent where it is not ours alone.
   * @returns what could not be closed, a sentence each
   * @throws Error where node was started with something that shows what is in memory
   */
  harden?(hardening: Hardening): readonly string[];
  /** Takes variables out of what a library or a child of this process would find; `env` keeps them. */
  forget?(variables: Iterable<string>): void;
  /** Says how the command ended: 0 fine, 1 configuration or run-time failure, 2 usage. */
  exit(code: number): void;
}

/** A failure to report in one line. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

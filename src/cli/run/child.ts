import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { isatty } from "node:tty";
import { withCoreDumps } from "../../process/core-dump.ts";

const relayed = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;
type Relayed = (typeof relayed)[number];

/** What a terminal sends to every process in its foreground: the child has had it already. */
const sentByTerminal: ReadonlySet<Relayed> = new Set(["SIGINT", "SIGQUIT", "SIGWINCH"]);

/** Signals that came before there was a child, and that would have ended it. */
const ending: ReadonlySet<Relayed> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);

/** Passes signals on to a child, as if they had been sent to it. */
export interface SignalRelay {
  /** Exit code for a signal that came before the child: nothing should be started any more. */
  readonly endedBy: number | undefined;
  /** From now on signals go to this process. */
  attach(child: ChildProcess): void;
  /** Asks the child, if there is one, to end. */
  terminate(): void;
  /** Signals mean to this process what they always did. */
  release(): void;
}

/** Takes the signals over at once: one that comes before the child must still let the caller tidy up. */
export function relaySignals(): SignalRelay {
  let child: ChildProcess | undefined;
  let endedBy: number | undefined;
  const onSignal = (signal: Relayed): void => {
    if (child === undefined) {
      if (ending.has(signal)) endedBy ??= exitCodeOf(signal);
    } else if (!sentByTerminal.has(signal) || !inForeground()) child.kill(signal);
  };
  // A handler for USR1 also keeps node from opening its inspector, which would show every credential (I14).
  for (const signal of relayed) process.on(signal, onSignal);
  return {
    get endedBy() {
      return endedBy;
    },
    attach(started) {
      child = started;
    },
    terminate() {
      child?.kill("SIGTERM");
    },
    release() {
      for (const signal of relayed) process.off(signal, onSignal);
    },
  };
}

/**
 * Whether this process and the child are the ones a terminal's Ctrl-C goes to. No one says who sent a signal, so
 * one sent to this process alone from elsewhere is taken for the terminal's then.
 */
function inForeground(): boolean {
  if (![0, 1, 2].some((fd) => isatty(fd))) return false;
  try {
    // proc(5): after the name in parentheses state, ppid, pgrp, session, tty_nr, tpgid.
    const stat = readFileSync("/proc/self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[2] === fields[5];
  } catch {
    return true; // no /proc, as on macOS: a background job with a terminal is the rarer case
  }
}

/** A command that could not be started; the code is the one shells give. */
export class SpawnError extends Error {
  override readonly name = "SpawnError";
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/**
 * Runs a command on our own standard streams, until it ends.
 * @returns its exit code; 128 and the signal's number when a signal ended it
 * @throws {SpawnError} 127 when there is no such command, 126 when it cannot be executed
 */
export async function runChild(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
  relay: SignalRelay,
): Promise<number> {
  const [name, ...args] = command;
  return new Promise((resolve, reject) => {
    const failed = (error: unknown): void => reject(spawnError(name, error));
    try {
      const child = withCoreDumps(() => spawn(name, args, { env, stdio: "inherit" }));
      child.once("error", failed);
      child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : exitCodeOf(signal)));
      relay.attach(child);
    } catch (error) {
      failed(error);
    }
  });
}

function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

function spawnError(name: string, error: unknown): SpawnError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return new SpawnError(`${name}: command not found`, 127);
  if (code === "EACCES") return new SpawnError(`${name}: cannot be executed: permission denied`, 126);
  if (code === "E2BIG") return new SpawnError(`${name}: the arguments and the environment are too long`, 126);
  return new SpawnError(`${name}: cannot be started (${code ?? "unknown error"})`, 126);
}

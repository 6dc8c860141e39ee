// A page's commands, run as a newcomer would: in order, in one shell, against the real program.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../e2e/harness/wait.ts";
import { compiledCode, linkSallyport, ownMetricsPort } from "../helpers/checkout.ts";
import { freePort } from "../helpers/free-port.ts";

/** Longest wait for one command, on a busy machine. */
const patienceMs = 30_000;

/** One command of a `console` block and what the page says it prints. */
export interface Step {
  readonly command: string;
  /** Lines; `...` in one stands for anything, alone for any lines. */
  readonly expected: string;
}

/** Commands stand behind `$ `; a backslash at the end of a line continues it. */
export function stepsOf(text: string): Step[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [, command = "", expected = ""] = /^((?:.*\\\n)*.*)\n?([^]*)$/.exec(part) ?? [];
      return { command, expected: expected.trimEnd() };
    });
}

/** @throws AssertionError with both texts when `actual` is not what the page shows */
export function assertShown(actual: string, expected: string): void {
  const pattern = expected
    .split("\n")
    .map((line) => (line === "..." ? "[^]*" : escape(line).replaceAll("\\.\\.\\.", ".*")))
    .join("\n");
  if (!new RegExp(`^${pattern}$`).test(actual.trimEnd())) assert.equal(actual.trimEnd(), expected);
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** A newcomer's machine: an empty home, a checkout's `bin`, and a shell. */
export interface Session {
  readonly home: string;
  /** Puts free ports in place of those that pages name. */
  translate(text: string): string;
  /** Runs a command to its end; its output, both streams. */
  run(command: string): Promise<string>;
  /** Starts what does not end; resolves when it has printed something that matches. */
  start(command: string, ready: RegExp): Promise<Background>;
  close(): Promise<void>;
}

export interface Background {
  output(): string;
  stop(): Promise<void>;
}

/** @param env variables of the machine, not of the page */
export async function openSession(env: Record<string, string> = {}): Promise<Session> {
  const home = mkdtempSync(join(tmpdir(), "sallyport-docs-"));
  linkSallyport(home);
  // Without a terminal curl draws a progress meter.
  writeFileSync(join(home, ".curlrc"), "silent\nshow-error\n");
  const ports = new Map<string, number>();
  for (const port of ["8080", "8081", "8443"]) ports.set(port, await freePort());
  const { PATH = "" } = process.env;
  const machine = { PATH, HOME: home, ...compiledCode, ...ownMetricsPort, ...env };
  const shell = spawn("bash", ["--noprofile", "--norc"], { cwd: home, env: machine, detached: true });
  const said = outputOf(shell);
  const backgrounds: Background[] = [];
  let count = 0;

  const ask = async (command: string): Promise<string> => {
    const mark = `--- end of command ${++count} ---`;
    const before = said().length;
    shell.stdin.write(`{ ${command}\n} 2>&1 </dev/null; echo '${mark}'\n`);
    await eventually(command, () => said().includes(mark, before), patienceMs);
    return said().slice(before, said().indexOf(mark, before));
  };
  return {
    home,
    translate: (text) =>
      text.replaceAll(/127\.0\.0\.1:(\d+)/g, (all, port: string) =>
        ports.has(port) ? `127.0.0.1:${ports.get(port)}` : all,
      ),
    run: ask,
    async start(command, ready) {
      const [cwd = home, path = PATH] = (await ask('pwd; echo "$PATH"')).split("\n");
      const child = spawn("bash", ["-c", command], { cwd, env: { ...machine, PATH: path }, detached: true });
      const output = outputOf(child);
      const background = { output, stop: () => end(child) };
      backgrounds.push(background);
      await eventually(
        command,
        () => {
          if (child.exitCode !== null) throw new Error(`it ended:\n${output()}`);
          return ready.test(output());
        },
        patienceMs,
      );
      return background;
    },
    async close() {
      for (const background of backgrounds) await background.stop();
      await end(shell);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function outputOf(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
  }
  return () => text;
}

/** Ends the process group that was made for it, so that what npm or a shell started ends as well. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const closed = once(child, "close");
  process.kill(-child.pid, "SIGTERM");
  const giveUp = setTimeout(() => process.kill(-(child.pid as number), "SIGKILL"), 5000);
  await closed;
  clearTimeout(giveUp);
}

// The real executable, started as an operator starts it and stopped by its process id.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AuditLog } from "./audit-log.ts";
import type { Canary } from "./canary.ts";
import { type Ran, run } from "./programs.ts";
import { eventually, within } from "./wait.ts";

export const main = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A line of the proxy's own log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Sallyport {
  readonly pid: number;
  /** As bound, read from the log; a listener that is off is absent. */
  readonly addresses: { readonly http?: Address; readonly https?: Address; readonly tunnel?: Address };
  readonly log: readonly LogLine[];
  readonly audit: AuditLog;
  /** Path of the configuration file, to be rewritten before a reload. */
  readonly configFile: string;
  /** Exit code; `null` after a signal. */
  readonly exited: Promise<number | null>;
  /** The first log line with this message, waiting for it; `after` skips those that were there. */
  line(msg: string, after?: number): Promise<LogLine>;
  signal(signal: NodeJS.Signals): void;
  /** Stops it and checks what holds for every run: exit code 0, JSON lines only, audit as expected. */
  stop(): Promise<void>;
  /** Ends it without a word, for a run that is over already or is not to be waited for. */
  kill(): Promise<void>;
}

export interface StartOptions {
  /** Folder for its files; made if need be. */
  readonly folder: string;
  /** The configuration, written as JSON, which is YAML too. */
  readonly config: object;
  /** A configuration file that is there already, in place of writing {@link config}, which must say the same. */
  readonly file?: string;
  /** Arguments of `start` besides `--config`. */
  readonly args?: readonly string[];
  /** A program and its arguments that become the proxy, whose command follows them: a shell that sets a limit first. */
  readonly under?: readonly string[];
  /** Variables besides those any program needs. */
  readonly env?: Record<string, string>;
  readonly canary: Canary;
  /** False where audit records are only to be counted. */
  readonly remember?: boolean;
}

/** Starts it and waits until it listens. */
export async function startSallyport(options: StartOptions): Promise<Sallyport> {
  const { folder, config, env = {}, args = [], under = [], canary, remember } = options;
  mkdirSync(folder, { recursive: true });
  const configFile = options.file ?? join(folder, "proxy.yaml");
  if (options.file === undefined) writeFileSync(configFile, JSON.stringify(config));
  const audit = new AuditLog((config as { audit: { file: string } }).audit.file, canary, remember);
  // What it writes without having been told where is found there: reports, snapshots, core dumps, temporary files.
  const strayFiles = join(folder, "stray");
  mkdirSync(strayFiles, { recursive: true });
  const command = [...under, process.execPath, main, "start", "--config", configFile, ...args];
  const child = spawn(command[0] as string, command.slice(1), {
    env: { ...systemEnv(), TMPDIR: strayFiles, ...env },
    cwd: strayFiles,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const forget = killWithUs(child);
  const log: LogLine[] = [];
  const stray: string[] = [];
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  let over = false;
  void exited.then(() => {
    over = true;
    forget();
  });
  listenTo(child, canary, log, stray);
  const diagnosis = () => `${stray.join("\n")}\n${log.map((line) => JSON.stringify(line)).join("\n")}`;
  try {
    await eventually(
      "sallyport listens",
      () => {
        if (over) throw new Error(`sallyport ended at once:\n${diagnosis()}`);
        return log.some(({ msg }) => msg === "transform pipeline");
      },
      30_000,
    );
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }

  const pid = child.pid as number;
  canary.searchProcess(pid);

  return {
    pid,
    addresses: addressesIn(log),
    log,
    audit,
    configFile,
    exited,
    line: (msg, after = 0) =>
      eventually(`log line: ${msg}`, () => log.slice(after).find((one) => one.msg === msg)),
    signal: (signal) => void child.kill(signal),
    async stop() {
      if (!over) canary.searchProcess(pid);
      child.kill("SIGTERM");
      const code = await within("sallyport stops", exited, 15_000);
      if (code !== 0) throw new Error(`sallyport ended with ${code}:\n${diagnosis()}`);
      if (stray.length > 0) throw new Error(`not a line of the log: ${stray.join("\n")}`);
      audit.check();
      canary.searchFolder(strayFiles);
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Runs a command that ends by itself. */
export function runSallyport(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return run(process.execPath, [main, ...args], { env: { ...systemEnv(), ...env } });
}

/** What any program needs; nothing of the developer's proxies and tokens. */
function systemEnv(): Record<string, string> {
  const names = ["PATH", "HOME", "XDG_CACHE_HOME", "NODE_COMPILE_CACHE", "TMPDIR", "SystemRoot"];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/** A test that crashes leaves no proxy behind. */
function killWithUs(child: ChildProcess): () => void {
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  return () => void process.off("exit", kill);
}

function listenTo(child: ChildProcess, canary: Canary, log: LogLine[], stray: string[]): void {
  const hearOut = canary.listen("standard output");
  const hearError = canary.listen("standard error");
  child.stdout?.setEncoding("utf8").on("data", (part: string) => {
    hearOut(Buffer.from(part));
    stray.push(part);
  });
  let rest = "";
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    hearError(Buffer.from(part));
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      try {
        log.push(JSON.parse(line) as LogLine);
      } catch {
        stray.push(line);
      }
    }
  });
}

function addressesIn(log: readonly LogLine[]): Sallyport["addresses"] {
  const addresses: Record<string, Address> = {};
  for (const { msg, addr } of log) {
    const name = /^(http|https|tunnel) proxy starting(?: \(sni-only\))?$/.exec(msg)?.[1];
    if (name === undefined) continue;
    const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(String(addr)) ?? [];
    addresses[name] = { host, port: Number(port) };
  }
  return addresses;
}

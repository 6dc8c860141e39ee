// Processes under measurement: starting and stopping them, and what they cost according to /proc.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, totalmem } from "node:os";
import { delimiter, join } from "node:path";

/** A process that runs until it is stopped. */
export interface Running {
  readonly pid: number;
  /** Everything it wrote on standard error so far. */
  readonly errors: () => string;
  readonly stop: () => Promise<void>;
}

/**
 * Starts a process and waits until it is ready.
 * @throws {Error} with what it wrote when it ends or is not ready after 15 seconds
 */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv;
    readonly ready: (errors: string) => boolean | Promise<boolean>;
  },
): Promise<Running> {
  const child = spawn(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...options.env },
  });
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => {
    errors = (errors + bytes.toString()).slice(-100_000);
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => (errors += error.message));
  const deadline = performance.now() + 15_000;
  while (!(await options.ready(errors))) {
    if (child.exitCode !== null || child.pid === undefined || performance.now() > deadline) {
      await end(child, ended);
      throw new Error(`${command} did not start:\n${errors}`);
    }
    await sleep(5);
  }
  return { pid: child.pid as number, errors: () => errors, stop: () => end(child, ended) };
}

async function end(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), 5000);
  await ended;
  clearTimeout(force);
}

const ticksPerSecond = 100;

/** Processor seconds a process and its children have used, in user and kernel mode. */
export function cpuSeconds(pid: number): number {
  let ticks = 0;
  for (const member of family(pid)) {
    const stat = readFileSync(`/proc/${member}/stat`, "latin1");
    // Fields 14 and 15 of proc(5); counted behind the name, which may contain spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticksPerSecond;
}

/** Megabytes of memory a process and its children hold now. */
export function residentMegabytes(pid: number): number {
  let kilobytes = 0;
  for (const member of family(pid)) {
    const status = readFileSync(`/proc/${member}/status`, "latin1");
    kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return kilobytes / 1024;
}

function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  return [pid, ...(children === "" ? [] : children.split(" ").map(Number))];
}

/** What some work cost a process. */
export interface Cost {
  readonly cpuSeconds: number;
  readonly peakMegabytes: number;
  readonly growthMegabytes: number;
}

/** Does some work and says what it cost the process meanwhile. */
export async function measure<T>(pid: number, work: () => Promise<T>): Promise<{ result: T; cost: Cost }> {
  const cpuBefore = cpuSeconds(pid);
  const memoryBefore = residentMegabytes(pid);
  let peakMegabytes = memoryBefore;
  const sampler = setInterval(() => {
    peakMegabytes = Math.max(peakMegabytes, residentMegabytes(pid));
  }, 50);
  try {
    const result = await work();
    const cost = {
      cpuSeconds: cpuSeconds(pid) - cpuBefore,
      peakMegabytes,
      growthMegabytes: peakMegabytes - memoryBefore,
    };
    return { result, cost };
  } finally {
    clearInterval(sampler);
  }
}

/** A port nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Full path of a program, also where only root's PATH has it. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return directories
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The machine and the versions a result belongs to. */
export function describeMachine(nginx: string, wrk: string): readonly (readonly [string, string])[] {
  const processors = cpus();
  return [
    ["Date", new Date().toISOString().slice(0, 10)],
    ["Processor", `${processors[0]?.model.trim() ?? "unknown"}, ${processors.length} cores`],
    ["Memory", `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ["Node", `${process.version}, OpenSSL ${process.versions.openssl}`],
    ["nginx", firstLine(nginx, ["-v"]).replace("nginx version: ", "")],
    ["openssl", firstLine("openssl", ["version"])],
    ["wrk", firstLine(wrk, ["-v"]).replace(/ Copyright.*/, "")],
    ["Command", ["npm run bench --", ...process.argv.slice(2)].join(" ")],
  ];
}

function firstLine(command: string, args: readonly string[]): string {
  try {
    // wrk and nginx print their version on standard error, and wrk ends with 1.
    return execFileSync("sh", ["-c", '"$0" "$@" 2>&1 || true', command, ...args], { encoding: "utf8" })
      .split("\n", 1)
      .join("");
  } catch {
    return "unknown";
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

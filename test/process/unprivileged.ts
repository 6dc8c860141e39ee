// A user without privileges, for what root would be allowed anyway.
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface User {
  readonly uid: number;
  readonly gid: number;
}

const nobody: User = { uid: 65534, gid: 65534 };

/** Who to run programs as; `undefined` for who we are. */
export const user: User | undefined = process.getuid?.() === 0 ? nobody : undefined;

/** The reason to skip tests that need such a user; `false` where it can be had. */
export function withoutUser(): string | false {
  if (process.platform !== "linux") return "what is tested here is Linux's";
  const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
  const { status } = spawnSync(process.execPath, ["--version"], { stdio: "ignore", ...user });
  const { status: readable } = spawnSync("cat", [main], { stdio: "ignore", ...user });
  return status === 0 && readable === 0 ? false : "a user without privileges cannot read these sources";
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end as that user. */
export function runAs(
  program: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly cwd: string },
): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>();
  const child = spawn(program, args, {
    ...options,
    ...user,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
  child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
  child.once("error", reject);
  child.once("close", (code) => resolve({ code, stdout, stderr }));
  return promise;
}

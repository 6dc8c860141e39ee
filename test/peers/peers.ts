// What run.ts found on this machine.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { type Ran, run } from "../e2e/harness/programs.ts";
import type { Address } from "../e2e/harness/sallyport.ts";
import { within } from "../e2e/harness/wait.ts";
import type { World } from "../e2e/harness/world.ts";

const { PEERS_PYTHON, PEERS_NO_PYTHON, PEERS_GO, PEERS_NO_GO, PEERS_FOLDER } = process.env;
const { PEERS_PYTHON2, PEERS_AUTOBAHN, PEERS_NO_AUTOBAHN } = process.env;
const notRun = "run by npm run test:peers";

/** Why tests that need Python are skipped; `false` where it is there. */
export const noPython = PEERS_PYTHON === undefined ? (PEERS_NO_PYTHON ?? notRun) : false;
export const noGo = PEERS_GO === undefined ? (PEERS_NO_GO ?? notRun) : false;

export const noAutobahn = PEERS_AUTOBAHN === undefined ? (PEERS_NO_AUTOBAHN ?? notRun) : false;

/** A Python 2, and the folder that Autobahn's test suite is installed in. */
export function autobahn(): readonly [python: string, folder: string] {
  return [PEERS_PYTHON2 ?? "", PEERS_AUTOBAHN ?? ""];
}

/** Folder that is removed after the tests. */
export const folder = PEERS_FOLDER ?? "";

/** Path of a program of the Python environment. */
export function pythonProgram(name: string): string {
  return join(PEERS_PYTHON ?? "", name);
}

/** What a workload's environment says about the proxy, for Python, Go and the AWS CLI alike. */
export function workloadEnv(world: World): Record<string, string> {
  const { host, port } = world.proxy.addresses.tunnel as Address;
  const proxy = `http://${host}:${port}`;
  return {
    HTTPS_PROXY: proxy,
    HTTP_PROXY: proxy,
    SSL_CERT_FILE: world.proxyCaFile,
    REQUESTS_CA_BUNDLE: world.proxyCaFile,
    AWS_CA_BUNDLE: world.proxyCaFile,
    AWS_ACCESS_KEY_ID: "AKIAPLACEHOLDER",
    AWS_SECRET_ACCESS_KEY: "placeholder-secret-that-signs-nothing",
    AWS_REGION: "eu-west-1",
    AWS_DEFAULT_REGION: "eu-west-1",
    AWS_MAX_ATTEMPTS: "1",
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    HOME: folder,
  };
}

/**
 * Starts a server and waits until it says that it listens; it ends with the tests of the file.
 * @param onReady gets what it said until then
 */
export async function startServer(
  program: string,
  args: string[],
  ready: RegExp,
  onReady: (said: string) => void = () => {},
): Promise<void> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const { promise: isReady, resolve, reject } = Promise.withResolvers<void>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let said = "";
  const hear = (part: string): void => {
    said = (said + part).slice(-10_000);
    if (ready.test(said)) resolve();
  };
  child.stdout.setEncoding("utf8").on("data", hear);
  child.stderr.setEncoding("utf8").on("data", hear);
  child.once("error", reject);
  child.once("close", (code) => {
    reject(new Error(`${program} ended with ${code}:\n${said}`));
    end();
  });
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  after(async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(kill, 5000);
    await ended;
    clearTimeout(timer);
    process.off("exit", kill);
  });
  await within(`${program} listens`, isReady, 60_000);
  onReady(said);
}

/**
 * Builds a Go program with the modules it needs.
 * @returns path of the program, or why it could not be built
 */
export async function buildGo(
  name: string,
  source: URL,
  modules: readonly string[],
): Promise<{ readonly program: string } | { readonly missing: string }> {
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "main.go"), readFileSync(source));
  const env = { HOME: folder, GOFLAGS: "-modcacherw", GOTOOLCHAIN: "local" };
  const go = (...args: string[]): Promise<Ran> => run("go", args, { cwd: home, env, timeoutMs: 240_000 });
  const steps = [
    ["mod", "init", `example.com/${name}`],
    ["get", ...modules],
    ["mod", "tidy"],
    ["build", "-o", name],
  ];
  for (const step of steps) {
    const ran = await go(...step);
    if (ran.code !== 0) return { missing: `go ${step[0]} failed: ${ran.stderr.trim().split("\n").at(-1)}` };
  }
  return { program: join(home, name) };
}

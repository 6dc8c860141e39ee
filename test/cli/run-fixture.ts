// `sallyport run` as a person runs it: the real executable, a TLS upstream of this test, names that only the test's
// resolver knows.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { startDns } from "../e2e/harness/dns.ts";
import { startUpstream, type Upstream } from "../e2e/harness/upstream.ts";
import { compiledCode, executable } from "../helpers/checkout.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";

export const credential = "sk-proj-Q7wE2rT9yU4iO1pA8sD5fG3hJ6kL0zXc";

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly process: ChildProcess;
  /** What it has written to its standard output so far. */
  readonly output: () => string;
  readonly ended: Promise<Ran>;
}

export interface Runs {
  readonly upstream: Upstream;
  /** `api.run.test:PORT` */
  readonly authority: string;
  readonly url: string;
  /** Where temporary files of every run go; empty before and after each. */
  readonly temporary: string;
  /** Writes a configuration that reaches the upstream, and more; gives its path. */
  config(more?: string, name?: string): string;
  /** Starts `sallyport run ARGUMENTS`, with `OPENAI_API_KEY` in its environment. */
  start(args: readonly string[], env?: NodeJS.ProcessEnv): Running;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ran>;
}

export async function openRuns(): Promise<Runs> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-run-test-"));
  const temporary = join(folder, "tmp");
  mkdirSync(temporary);
  const ca = makeCa();
  const leaf = makeLeaf(ca, "api.run.test");
  const upstream = await startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem } });
  const dns = await startDns(() => ["127.0.0.1"]);
  writeFileSync(join(folder, "upstream-ca.pem"), ca.certPem);
  const running = new Set<ChildProcess>();
  after(async () => {
    for (const one of running) killWithChildren(one);
    await Promise.all([upstream.close(), dns.close()]);
    rmSync(folder, { recursive: true, force: true });
  });
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Running => {
    const child = spawn(executable, ["run", ...args], {
      cwd: folder,
      env: {
        PATH: process.env["PATH"],
        HOME: folder,
        ...compiledCode,
        TMPDIR: temporary,
        OPENAI_API_KEY: credential,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    running.add(child);
    const late = setTimeout(() => killWithChildren(child), longestMs);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
    const { promise, resolve, reject } = Promise.withResolvers<Ran>();
    child.once("error", (error) => {
      clearTimeout(late);
      running.delete(child);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(late);
      running.delete(child);
      resolve({ code, signal, stdout, stderr });
    });
    return { process: child, output: () => stdout, ended: promise };
  };
  return {
    upstream,
    authority: `api.run.test:${upstream.port}`,
    url: `https://api.run.test:${upstream.port}`,
    temporary,
    config(more = "", name = "proxy.yaml") {
      const path = join(folder, name);
      writeFileSync(
        path,
        `proxy: {upstream_deny_cidrs: []}
tls: {upstream_ca: ${JSON.stringify(join(folder, "upstream-ca.pem"))}}
dns: {enabled: false, upstream_resolver: "${dns.address}"}
${more}`,
      );
      return path;
    },
    start,
    run: (args, env) => start(args, env).ended,
  };
}

/** Longest a run may take, in milliseconds. */
const longestMs = 60_000;

/**
 * Ends a run and what it started, which are a process group of their own. A command that outlived `sallyport` would hold
 * the pipe that it writes to, and the test would wait for its end for ever.
 */
function killWithChildren({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // all gone
  }
}

/** Folders that runs have left behind. */
export function leftovers({ temporary }: Runs): string[] {
  return readdirSync(temporary);
}

// Secrets of a cluster through kubectl. What they hold goes through standard input, never through a command line,
// which every user of the machine can read.
import { spawn } from "node:child_process";
import type { Cluster, SecretData } from "../ca/cluster.ts";
import { CliError } from "../io.ts";

export interface KubectlOptions {
  /** The program. */
  readonly kubectl: string;
  readonly namespace: string;
  /** Name of the context in the kubeconfig; the current one when undefined. */
  readonly context: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/** What `bootstrap` does to a cluster. */
export interface WritableCluster extends Cluster {
  /** Makes the namespace unless it is there. @returns whether it was made */
  ensureNamespace(): Promise<boolean>;
  /** Sets keys of a Secret that is there; the others stay. */
  set(name: string, data: SecretData): Promise<void>;
  /** Deletes a Secret; nothing happens where there is none. */
  remove(name: string): Promise<void>;
}

/** Longer than kubectl itself waits for an answer. */
const timeoutMs = 40_000;
const requestTimeout = "--request-timeout=30s";
/** Characters of an error of kubectl's that are shown. */
const maxShownCharacters = 400;

interface StoredSecret {
  readonly data?: Readonly<Record<string, string>>;
}

export function kubectlCluster(options: KubectlOptions): WritableCluster {
  const { namespace } = options;
  const call = (args: readonly string[], input?: object) => run(options, args, input);

  const stored = async (name: string): Promise<StoredSecret | undefined> => {
    const text = await call(["get", "secret", name, "--ignore-not-found", "-o", "json"]);
    return text.trim() === "" ? undefined : parse(text, name);
  };
  return {
    namespace,
    async ensureNamespace() {
      const text = await call(["get", "namespace", namespace, "--ignore-not-found", "-o", "name"]);
      if (text.trim() !== "") return false;
      await call(["create", "-f", "-"], namespaceManifest(namespace));
      return true;
    },
    async read(name) {
      const secret = await stored(name);
      return secret === undefined ? undefined : decode(secret.data ?? {});
    },
    async create(name, data) {
      try {
        await call(["create", "-f", "-"], secretManifest(namespace, name, data));
        return true;
      } catch (error) {
        if (error instanceof CliError && error.message.includes("AlreadyExists")) return false;
        throw error;
      }
    },
    async set(name, data) {
      const old = await stored(name);
      if (old === undefined) throw new CliError(`Secret ${namespace}/${name} is gone; run the command again`);
      // The whole object with its resourceVersion: kubectl refuses it where somebody else was faster.
      await call(["replace", "-f", "-"], { ...old, data: { ...old.data, ...encode(data) } });
    },
    async remove(name) {
      await call(["delete", "secret", name, "--ignore-not-found"]);
    },
  };
}

/** A Secret as a manifest. */
export function secretManifest(namespace: string, name: string, data: SecretData) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, labels: { "app.kubernetes.io/managed-by": "sallyport-bootstrap" } },
    type: "Opaque",
    data: encode(data),
  };
}

export function namespaceManifest(name: string) {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name } };
}

function encode(data: SecretData): Record<string, string> {
  return mapValues(data, (text) => Buffer.from(text, "utf8").toString("base64"));
}

function decode(data: Readonly<Record<string, string>>): SecretData {
  return mapValues(data, (text) => Buffer.from(text, "base64").toString("utf8"));
}

function mapValues(data: SecretData, map: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, map(text)]));
}

function parse(text: string, name: string): StoredSecret {
  try {
    return JSON.parse(text) as StoredSecret;
  } catch {
    // Without the parser's words: they would quote what the Secret holds (I14).
    throw new CliError(`kubectl gave no JSON for Secret ${name}; is --kubectl the right program?`);
  }
}

function run(
  { kubectl, namespace, context, env }: KubectlOptions,
  args: readonly string[],
  input: object | undefined,
): Promise<string> {
  const where = [...(context === undefined ? [] : ["--context", context]), "--namespace", namespace];
  const all = [...where, requestTimeout, ...args];
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new CliError(`${kubectl} ${args.slice(0, 3).join(" ")}: ${why}`));
    const child = spawn(kubectl, all, { env, stdio: ["pipe", "pipe", "pipe"], timeout: timeoutMs });
    let output = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (complaint.length < maxShownCharacters) complaint += text;
    });
    // It may end without having read; its exit code tells.
    child.stdin.on("error", () => {});
    child.stdin.end(input === undefined ? "" : JSON.stringify(input));
    child.on("error", (error: NodeJS.ErrnoException) => {
      fail(
        error.code === "ENOENT" ? "no such program; install it, or use --dry-run" : (error.code ?? "failed"),
      );
    });
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else if (signal !== null) fail(`no end within ${timeoutMs / 1000} s`);
      else fail(shown(complaint, input) || `exit code ${code}`);
    });
  });
}

/** The first line of an error, without anything that was put in (I14). */
function shown(complaint: string, input: object | undefined): string {
  let text = (complaint.trim().split("\n", 1)[0] ?? "").slice(0, maxShownCharacters);
  const { data = {} } = (input ?? {}) as StoredSecret;
  for (const encoded of Object.values(data)) {
    for (const value of [encoded, Buffer.from(encoded, "base64").toString("utf8")]) {
      if (value !== "") text = text.replaceAll(value, "[redacted]");
    }
  }
  return text;
}

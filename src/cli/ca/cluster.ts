// Secrets of the Kubernetes cluster that this process runs in, by the service account of its pod.
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { CliError } from "../io.ts";

/** Where Kubernetes mounts a pod's service account. */
export const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

const timeoutMs = 15_000;
/** Kubernetes takes no larger Secret than 1 MiB; base64 and metadata come on top. */
export const maxAnswerBytes: number = 4 * 1024 * 1024;

/** What a Secret holds: key to text. */
export type SecretData = Readonly<Record<string, string>>;

export interface Cluster {
  readonly namespace: string;
  /** `undefined` where there is no such Secret. */
  read(name: string): Promise<SecretData | undefined>;
  /** False where there is one of this name already; that one stays as it is. */
  create(name: string, data: SecretData): Promise<boolean>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * The cluster around this process. Throws CliError outside of one, and its methods throw it for what the API
 * server refuses: with the server's status and what to do, never with what a Secret holds (I14).
 */
export async function clusterAround(env: NodeJS.ProcessEnv, folder: string): Promise<Cluster> {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (host === "") {
    throw new CliError(
      "KUBERNETES_SERVICE_HOST is not set: this command runs in a pod; elsewhere use sallyport ca init and kubectl",
    );
  }
  const [token, ca, namespace] = await Promise.all(
    ["token", "ca.crt", "namespace"].map((name) => readMounted(join(folder, name))),
  );
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace ?? "")}/secrets`;
  const ask = (method: string, url: string, body?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const fail = (why: string) =>
        reject(
          new CliError(
            `the Kubernetes API at ${authority(host, port)} ${why}: check the pod's egress to it (networkPolicy.apiServerPort)`,
          ),
        );
      const sent = request(
        {
          host,
          port,
          path: url,
          method,
          ca,
          // Of no use to a job that makes two requests; it would keep the process alive.
          agent: false,
          signal: AbortSignal.timeout(timeoutMs),
          headers: {
            authorization: `Bearer ${token}`,
            accept: "application/json",
            ...(body === undefined
              ? {}
              : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          let length = 0;
          response.on("data", (chunk: Buffer) => {
            length += chunk.length;
            if (length <= maxAnswerBytes) chunks.push(chunk);
            else response.destroy(new Error("too long"));
          });
          response.on("error", () => fail("broke off its answer"));
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
          );
        },
      );
      sent.on("error", (error: NodeJS.ErrnoException) =>
        fail(
          error.name === "TimeoutError" ? "did not answer" : `cannot be reached (${error.code ?? "error"})`,
        ),
      );
      sent.end(body);
    });

  return {
    namespace: namespace ?? "",
    async read(name) {
      const answer = await ask("GET", `${path}/${encodeURIComponent(name)}`);
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw refusal("get", name, answer);
      return decodeSecret(name, answer.body);
    },
    async create(name, data) {
      const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]);
      const secret = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name, labels: { "app.kubernetes.io/managed-by": "sallyport" } },
        type: "Opaque",
        data: Object.fromEntries(encoded) as Record<string, string>,
      };
      const answer = await ask("POST", path, JSON.stringify(secret));
      if (answer.status === 409) return false;
      if (answer.status !== 201) throw refusal("create", name, answer);
      return true;
    },
  };
}

function authority(host: string, port: string): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

async function readMounted(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new CliError(
      `${path} cannot be read (${code}): this pod has no service-account token mounted there`,
    );
  }
}

function refusal(verb: string, name: string, { status, body }: Answer): CliError {
  const hint =
    status === 401 || status === 403
      ? `the pod's service account may not ${verb} Secrets`
      : statusMessage(body);
  return new CliError(`Secret ${name}: the Kubernetes API answered ${status} to ${verb}: ${hint}`);
}

/** `message` of a Status object: what the API server says of a request, not of what is in a Secret. */
function statusMessage(body: string): string {
  try {
    const { kind, message } = JSON.parse(body) as { kind?: unknown; message?: unknown };
    if (kind === "Status" && typeof message === "string") return message.slice(0, 300);
  } catch {
    // Not JSON: nothing worth repeating.
  }
  return "no reason given";
}

function decodeSecret(name: string, body: string): SecretData {
  let data: unknown;
  try {
    ({ data } = JSON.parse(body) as { data?: unknown });
  } catch {
    throw new CliError(`Secret ${name}: the Kubernetes API's answer is not JSON`);
  }
  const entries = Object.entries((data ?? {}) as Record<string, unknown>);
  return Object.fromEntries(
    entries.map(([key, value]) => [key, Buffer.from(String(value), "base64").toString("utf8")]),
  );
}

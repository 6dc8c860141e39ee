// Stands in for the API server of a Kubernetes cluster, as far as Secrets go: core/v1 get and create, Bearer token, 401,
// 404, 409 with Status objects. A real cluster cannot be had where the tests run.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa, makeLeaf } from "../helpers/pki.ts";

export interface FakeCluster {
  /** What a pod has in its environment. */
  readonly env: NodeJS.ProcessEnv;
  /** What a pod has mounted. */
  readonly serviceAccount: string;
  /** Name of a Secret to its keys and texts. */
  readonly secrets: Map<string, Record<string, string>>;
  /** `GET name`, `POST name`. */
  readonly requests: string[];
  /** Answers the next request of this kind with this status, in place of the right one. */
  refuse(request: string, status: number): void;
  /** Runs when a request of this kind has come, before it is answered. */
  before(request: string, action: () => void): void;
  close(): Promise<void>;
}

interface SecretObject {
  readonly metadata: { readonly name: string };
  readonly data: Readonly<Record<string, string>>;
}

export async function fakeCluster(namespace = "centaur-system"): Promise<FakeCluster> {
  const ca = makeCa();
  const leaf = makeLeaf(ca, "127.0.0.1");
  const token = "service-account-token";
  const secrets = new Map<string, Record<string, string>>();
  const requests: string[] = [];
  const refusals = new Map<string, number>();
  const actions = new Map<string, () => void>();
  const base = `/api/v1/namespaces/${namespace}/secrets`;

  const answer = (request: IncomingMessage, body: string): { status: number; object: unknown } => {
    if (request.headers.authorization !== `Bearer ${token}`) return status(401, "Unauthorized");
    const path = request.url ?? "";
    const sent = request.method === "POST" ? (JSON.parse(body) as SecretObject) : undefined;
    const name = sent?.metadata.name ?? path.slice(base.length + 1);
    if (!path.startsWith(base)) return status(404, "the server could not find the requested resource");
    const asked = `${request.method} ${name}`;
    requests.push(asked);
    actions.get(asked)?.();
    const refused = refusals.get(asked);
    if (refused !== undefined) return status(refused, `refused ${asked}`);
    const held = secrets.get(name);
    if (sent === undefined) {
      if (held === undefined) return status(404, `secrets "${name}" not found`);
      return {
        status: 200,
        object: { kind: "Secret", metadata: { name }, data: recode(held, "utf8", "base64") },
      };
    }
    if (held !== undefined) return status(409, `secrets "${name}" already exists`);
    secrets.set(name, recode(sent.data, "base64", "utf8"));
    return { status: 201, object: sent };
  };

  const server = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const { status: code, object } = answer(request, body);
      response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(object));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const folder = mkdtempSync(join(tmpdir(), "sallyport-cluster-"));
  for (const [file, text] of Object.entries({ token, "ca.crt": ca.certPem, namespace })) {
    writeFileSync(join(folder, file), `${text}\n`);
  }
  return {
    env: {
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String((server.address() as AddressInfo).port),
    },
    serviceAccount: folder,
    secrets,
    requests,
    refuse: (request, code) => void refusals.set(request, code),
    before: (request, action) => void actions.set(request, action),
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function status(code: number, message: string): { status: number; object: unknown } {
  return { status: code, object: { kind: "Status", apiVersion: "v1", status: "Failure", message, code } };
}

function recode(data: Readonly<Record<string, string>>, from: BufferEncoding, to: BufferEncoding) {
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text, from).toString(to)]),
  );
}

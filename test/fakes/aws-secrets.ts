// Stands in for AWS Secrets Manager and Systems Manager Parameter Store, which need an account. It speaks their
// JSON protocol for the two calls that are used, and accepts only requests that carry a valid AWS Signature
// Version 4 made with the key it knows: the check follows the published algorithm and shares no code with a signer.
import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeAws {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Target, region and body of every request that was signed well, in order. */
  readonly calls: {
    readonly target: string;
    readonly region: string;
    readonly body: Record<string, unknown>;
  }[];
  /** What Secrets Manager holds, by SecretId. */
  secrets: Record<string, Record<string, unknown>>;
  /** What Parameter Store holds, by name. */
  parameters: Record<string, Record<string, unknown>>;
  /** Answered in place of the proper answer. */
  failure:
    | { readonly status: number; readonly type: string; readonly headers?: Record<string, string> }
    | undefined;
  /** Every answer waits for this. */
  gate: Promise<void> | undefined;
  close(): Promise<void>;
}

export const fakeAccessKey = "AKIDFAKEFAKEFAKEFAKE";

/** Starts a fake on a free port of the loopback interface; `secretKey` is the one it takes signatures of. */
export async function fakeAws(secretKey: string): Promise<FakeAws> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    const reply = (): void => {
      const { status, body, headers = {} } = answer(fake, secretKey, request, Buffer.concat(chunks));
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1", ...headers });
      response.end(JSON.stringify(body));
    };
    request.on("end", () => {
      if (fake.gate === undefined) reply();
      else void fake.gate.then(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: FakeAws = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: [],
    secrets: {},
    parameters: {},
    failure: undefined,
    gate: undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

function answer(fake: FakeAws, secretKey: string, request: IncomingMessage, payload: Buffer): Answer {
  const failure = (status: number, type: string): Answer => ({
    status,
    body: { __type: type, message: "canary-text" },
  });
  const signed = verify(request, payload, secretKey);
  if ("problem" in signed) return { status: 400, body: { __type: signed.problem, message: "canary-text" } };
  const target = String(request.headers["x-amz-target"]);
  const body = JSON.parse(payload.toString()) as Record<string, unknown>;
  fake.calls.push({ target, region: signed.region, body });
  if (fake.failure !== undefined) {
    return { ...failure(fake.failure.status, fake.failure.type), headers: fake.failure.headers ?? {} };
  }
  if (request.headers["content-type"] !== "application/x-amz-json-1.1")
    return failure(400, "SerializationException");
  if (target === "secretsmanager.GetSecretValue" && signed.service === "secretsmanager") {
    const found = fake.secrets[String(body.SecretId)];
    if (found === undefined) return failure(400, "ResourceNotFoundException");
    return { status: 200, body: { Name: body.SecretId, ...found } };
  }
  if (target === "AmazonSSM.GetParameter" && signed.service === "ssm") {
    const found = fake.parameters[String(body.Name)];
    return found === undefined ? failure(400, "ParameterNotFound") : { status: 200, body: found };
  }
  return failure(400, "UnknownOperationException");
}

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();

/** Checks a header signature: canonical request, string to sign, derived key. */
function verify(
  request: IncomingMessage,
  payload: Buffer,
  secretKey: string,
): { readonly problem: string } | { readonly region: string; readonly service: string } {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;
  const parts = pattern.exec(request.headers.authorization ?? "");
  if (parts === null) return { problem: "MissingAuthenticationTokenException" };
  const [, accessKey, day, region, service, names, signature] = parts as unknown as string[];
  if (accessKey !== fakeAccessKey) return { problem: "UnrecognizedClientException" };
  const signedNames = (names as string).split(";");
  if (!["host", "x-amz-date", "x-amz-target"].every((name) => signedNames.includes(name))) {
    return { problem: "IncompleteSignature" };
  }
  const [path, query = ""] = (request.url as string).split("?");
  const headers = signedNames.map(
    (name) => `${name}:${String(request.headers[name]).trim().replace(/ +/g, " ")}\n`,
  );
  const canonical = [request.method, path, query, headers.join(""), names, sha256(payload)].join("\n");
  const date = String(request.headers["x-amz-date"]);
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(
    (secret, part) => hmac(secret, part as string),
    `AWS4${secretKey}`,
  );
  if (hmac(key, toSign).toString("hex") !== signature) return { problem: "InvalidSignatureException" };
  return { region: region as string, service: service as string };
}

// A small AWS behind TLS: every request has to carry a signature of the real keys that another implementation
// computes again. Objects of S3 are kept, so that a test can hold what was read against what was written.
import { after } from "node:test";
import { crc32 } from "node:zlib";
import { makeLeaf } from "../../helpers/pki.ts";
import { type VerifyKeys, verifySigV4 } from "../../helpers/sigv4.ts";
import { type Message, valueOf } from "../harness/message.ts";
import { type Scripted, startUpstream, type Upstream } from "../harness/upstream.ts";
import type { World } from "../harness/world.ts";

/** Hosts of the region that the tests use. */
const hosts = ["s3", "*.s3", "secretsmanager", "ssm", "sts", "dynamodb", "bedrock-runtime"].map(
  (service) => `${service}.eu-west-1.amazonaws.com`,
);

export interface AwsCloud {
  readonly upstream: Upstream;
  readonly port: number;
  /** Contents of S3, by bucket and key. */
  readonly objects: ReadonlyMap<string, Buffer>;
  /** What was wrong with each request that was refused. */
  readonly refused: string[][];
}

/** Starts it where the world's proxy finds all of Amazon's names. */
export async function startAwsCloud(world: World, keys: VerifyKeys): Promise<AwsCloud> {
  const leaf = makeLeaf(world.upstreamCa, hosts);
  const upstream = await startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem } });
  after(() => upstream.close());
  for (const host of hosts) world.dns.set(host.replace("*", "bucket"), ["127.0.0.1"]);
  const objects = new Map<string, Buffer>();
  const parts = new Map<string, Buffer[]>();
  const refused: string[][] = [];
  upstream.on("*", async (request) => {
    const message = await request.body();
    const problems = problemsOf(request, message, keys);
    if (problems.length > 0) {
      refused.push(problems);
      respond(request, 403, "application/xml", "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    } else if (valueOf(request.fields, "host")?.includes("s3.")) {
      answerS3(request, content(message), objects, parts);
    } else answerService(request, message);
  });
  return { upstream, port: upstream.port, objects, refused };
}

function problemsOf(request: Scripted, { fields, body }: Message, keys: VerifyKeys): string[] {
  const { method, target } = request;
  try {
    return [...verifySigV4({ method, target, headers: fields, body }, keys).problems];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** What a body says below the framing of S3's uploads; its checksum has to be right. */
function content({ fields, body }: Message): Buffer {
  if (valueOf(fields, "x-amz-content-sha256") !== "STREAMING-UNSIGNED-PAYLOAD-TRAILER") return body;
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.toString("latin1", at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) break;
    chunks.push(body.subarray(at, at + size));
    at += size + 2;
  }
  const whole = Buffer.concat(chunks);
  const checksum = /^x-amz-checksum-crc32:(\S+)\r\n/.exec(body.toString("latin1", at))?.[1];
  const expected = Buffer.alloc(4);
  expected.writeUInt32BE(crc32(whole));
  if (checksum !== expected.toString("base64")) throw new Error("the upload has another checksum");
  return whole;
}

function answerS3(
  request: Scripted,
  body: Buffer,
  objects: Map<string, Buffer>,
  parts: Map<string, Buffer[]>,
): void {
  const { pathname, searchParams } = new URL(request.target, "https://s3");
  const bucket = /^([^.]+)\.s3\./.exec(valueOf(request.fields, "host") ?? "")?.[1];
  const name = `${bucket === undefined ? "" : `/${bucket}`}${decodeURIComponent(pathname)}`;
  const upload = searchParams.get("uploadId");
  const xml = (text: string) => respond(request, 200, "application/xml", text, 'ETag: "tag"');
  if (request.method === "POST" && searchParams.has("uploads")) {
    parts.set(name, []);
    return xml("<InitiateMultipartUploadResult><UploadId>id+/=</UploadId></InitiateMultipartUploadResult>");
  }
  if (request.method === "PUT" && upload === "id+/=") {
    const list = parts.get(name) ?? [];
    list[Number(searchParams.get("partNumber")) - 1] = body;
    return xml("");
  }
  if (request.method === "POST" && upload === "id+/=") {
    objects.set(name, Buffer.concat(parts.get(name) ?? []));
    return xml("<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>");
  }
  if (request.method === "PUT") {
    objects.set(name, body);
    return xml("");
  }
  const found = objects.get(name);
  if (found === undefined)
    return respond(request, 404, "application/xml", "<Error><Code>NoSuchKey</Code></Error>");
  respond(request, 200, "application/octet-stream", found);
}

function answerService(request: Scripted, { fields }: Message): void {
  const target = valueOf(fields, "x-amz-target");
  const bodies: Record<string, unknown> = {
    "secretsmanager.GetSecretValue": { Name: "s", SecretString: "from the cloud" },
    "DynamoDB_20120810.GetItem": { Item: { id: { S: "from the cloud" } } },
  };
  respond(
    request,
    200,
    "application/x-amz-json-1.1",
    JSON.stringify(bodies[target ?? ""] ?? { model: "ok" }),
  );
}

function respond(
  request: Scripted,
  status: number,
  type: string,
  body: string | Buffer,
  ...fields: string[]
): void {
  const lines = [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(body)}`, ...fields];
  request.write(`HTTP/1.1 ${status} Because\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`);
  request.write(body);
}

// SDKs with placeholder keys, the real executable, and an AWS that recomputes each signature with another
// implementation and refuses what it would not have made itself.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { BedrockRuntimeClient, InvokeModelCommand } from "@aws-sdk/client-bedrock-runtime";
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  DeleteSecretCommand,
  GetSecretValueCommand,
  SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { missing, run } from "../harness/programs.ts";
import type { Address } from "../harness/sallyport.ts";
import { eventually } from "../harness/wait.ts";
import { allowlist, openWorld } from "../harness/world.ts";
import { startAwsCloud } from "./aws-cloud.ts";

const dummySecret = "placeholder-secret-that-signs-nothing";
const signedHosts = ["*.s3", "secretsmanager", "bedrock-runtime", "dynamodb"].map(
  (service) => `${service}.eu-west-1.amazonaws.com:*`,
);
const realKeyId = "AKIAE2EREALREALREAL0";
const world = await openWorld({
  config: () => ({
    transforms: [
      allowlist(["*.eu-west-1.amazonaws.com:*"]),
      {
        name: "aws_auth",
        config: {
          access_key_id: { type: "env", var: "E2E_AWS_ID" },
          secret_access_key: { type: "env", var: "E2E_KEY" },
          allowed_regions: ["eu-west-1"],
          allowed_actions: [
            "s3:PutObject",
            "s3:GetObject",
            "s3:CreateMultipartUpload",
            "s3:UploadPart",
            "s3:CompleteMultipartUpload",
            "secretsmanager:GetSecretValue",
            "dynamodb:GetItem",
            "bedrock:*",
          ],
          rules: signedHosts.map((host) => ({ host })),
        },
      },
    ],
  }),
  env: { E2E_AWS_ID: realKeyId },
});
const cloud = await startAwsCloud(world, { accessKeyId: realKeyId, secretAccessKey: world.credential });
const { host: proxyHost, port: proxyPort } = world.proxy.addresses.tunnel as Address;
const proxyUrl = `http://${proxyHost}:${proxyPort}`;

const agent = new Agent({ ca: world.context.ca, keepAlive: true, proxyEnv: { HTTPS_PROXY: proxyUrl } });
after(() => agent.destroy());

/** Configuration of an SDK's client: placeholder keys, and the proxy by an agent of node. */
function common(service: string, port = cloud.port) {
  return {
    region: "eu-west-1",
    endpoint: `https://${service}.eu-west-1.amazonaws.com:${port}`,
    credentials: { accessKeyId: "AKIAPLACEHOLDER", secretAccessKey: dummySecret },
    maxAttempts: 1,
    requestHandler: { httpsAgent: agent },
  };
}

const s3 = new S3Client(common("s3"));

type Annotations = Readonly<Record<string, unknown>> | undefined;

/** Annotations of `aws_auth` for the requests whose path begins so. */
async function annotations(path: string, count = 1): Promise<Annotations[]> {
  return eventually(`${count} audit records of ${path}`, () => {
    const own = world.proxy.audit.read().filter((line) => line.audit.path.startsWith(path));
    return own.length >= count && own.map((line) => line.request_transforms?.at(-1)?.annotations);
  });
}

test("S3: an object is put, and got with a presigned URL", async () => {
  const body = "hello ".repeat(1000);
  await s3.send(new PutObjectCommand({ Bucket: "bucket", Key: "a b/é(1)+~.txt", Body: body }));
  assert.equal(cloud.objects.get("/bucket/a b/é(1)+~.txt")?.toString(), body);

  const command = new GetObjectCommand({ Bucket: "bucket", Key: "a b/é(1)+~.txt" });
  const url = await getSignedUrl(s3, command, { expiresIn: 60 });
  assert.match(url, /X-Amz-Credential=AKIAPLACEHOLDER/);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  httpsRequest(url, { agent }, (response) => {
    assert.equal(response.statusCode, 200);
    buffer(response).then((bytes) => resolve(bytes.toString()), reject);
  })
    .once("error", reject)
    .end();
  assert.equal(await promise, body);

  const [put, get] = await annotations("/a%20b/", 2);
  assert.deepEqual(put?.["injected"], [
    "header:Authorization",
    "header:X-Amz-Date",
    "header:X-Amz-Content-Sha256",
  ]);
  const parameters = ["X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"];
  assert.deepEqual(
    get?.["injected"],
    parameters.map((name) => `query:${name}`),
  );
});

test("S3: a multipart upload of a stream, with the SDK's trailing checksums, arrives whole", async () => {
  const first = Buffer.alloc(5 << 20, "a");
  const last = Buffer.alloc(100_000, "b");
  const params = { Bucket: "bucket", Key: "parts", Body: Readable.from([first, last]) };
  await new Upload({ client: s3, params, queueSize: 2 }).done();
  const stored = cloud.objects.get("/bucket/parts");
  assert.ok(stored?.equals(Buffer.concat([first, last])), `${stored?.length} bytes arrived`);
});

test("Secrets Manager", async () => {
  const client = new SecretsManagerClient(common("secretsmanager"));
  const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: "s" }));
  assert.equal(SecretString, "from the cloud");
});

test("DynamoDB", async () => {
  const client = new DynamoDBClient(common("dynamodb"));
  const { Item } = await client.send(new GetItemCommand({ TableName: "t", Key: { id: { S: "1" } } }));
  assert.deepEqual(Item, { id: { S: "from the cloud" } });
});

test("Bedrock runtime, whose path holds a colon", async () => {
  // By default this client speaks HTTP/2 to the name itself and takes no agent.
  const { requestHandler } = s3.config;
  const client = new BedrockRuntimeClient({ ...common("bedrock-runtime"), requestHandler });
  const modelId = "anthropic.claude-3-haiku-20240307-v1:0";
  const { body } = await client.send(
    new InvokeModelCommand({ modelId, body: '{"max_tokens":1}', contentType: "application/json" }),
  );
  assert.equal(body.transformToString(), '{"model":"ok"}');
});

test("curl --aws-sigv4", { skip: missing("curl") }, async () => {
  const file = join(world.folder, "upload");
  writeFileSync(file, "by curl");
  const sign = ["--aws-sigv4", "aws:amz:eu-west-1:s3", "--user", `AKIAPLACEHOLDER:${dummySecret}`];
  const way = ["-sS", "-m", "20", "--cacert", world.proxyCaFile, "-x", proxyUrl];
  const url = `https://bucket.s3.eu-west-1.amazonaws.com:${cloud.port}/curl`;
  const put = await run("curl", [...way, ...sign, "-w", "%{http_code}", "-T", file, url]);
  assert.equal(put.stdout, "200", put.stderr);
  const get = await run("curl", [...way, ...sign, url]);
  assert.equal(get.stdout, "by curl", get.stderr);
});

test("an action that is not allowed never leaves, and the SDK gets an error it can show", async () => {
  const before = cloud.upstream.received.length;
  const client = new SecretsManagerClient(common("secretsmanager"));
  await assert.rejects(client.send(new DeleteSecretCommand({ SecretId: "s" })), (error: unknown) => {
    assert.equal(Reflect.get(Object(error), "$metadata").httpStatusCode, 403);
    return true;
  });
  assert.equal(cloud.upstream.received.length, before);
});

test("without aws_auth the same cloud refuses the placeholder's signature", async () => {
  assert.deepEqual(cloud.refused, []);
  const client = new SecretsManagerClient(common("ssm"));
  await assert.rejects(client.send(new GetSecretValueCommand({ SecretId: "s" })));
  assert.deepEqual(cloud.refused, [["another access key", "the signature does not match"]]);
});

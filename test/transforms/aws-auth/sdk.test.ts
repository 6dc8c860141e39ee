import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { BedrockRuntimeClient, InvokeModelCommand } from "@aws-sdk/client-bedrock-runtime";
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { awsAuthWith, dummySecret, keys, signs } from "./support.ts";

/** What the SDK hands to its HTTP handler. */
interface SdkRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly path: string;
  readonly query: Record<string, string | string[] | null>;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array | Readable;
}

/** Takes the requests of a client and answers each with the same response. */
function recorder(responseHeaders: Record<string, string>, responseBody: (request: SdkRequest) => string) {
  const requests: FakeRequest[] = [];
  const handle = async (request: SdkRequest) => {
    requests.push(await received(request));
    const body = Readable.from([Buffer.from(responseBody(request))]);
    return { response: { statusCode: 200, headers: responseHeaders, body } };
  };
  const requestHandler = { metadata: { handlerProtocol: "http/1.1" }, handle };
  return { requests, requestHandler };
}

/** The request as the proxy meets it, its body not read yet. */
async function received(request: SdkRequest): Promise<FakeRequest> {
  const { method, protocol, hostname, path, headers } = request;
  const query = Object.entries(request.query)
    .flatMap(([name, values]) =>
      [values].flat().map((value) => encode(name) + (value === null ? "" : `=${encode(value)}`)),
    )
    .join("&");
  const bytes = await bytesOf(request.body);
  const length = headers["content-length"];
  return {
    method,
    url: `${protocol}//${hostname}${path}${query === "" ? "" : `?${query}`}`,
    headers: Object.entries(headers).filter(([name]) => name !== "host"),
    ...(bytes.length === 0
      ? {}
      : { body: inPieces(bytes, length === undefined ? undefined : Number(length)) }),
  };
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

async function bytesOf(body: SdkRequest["body"]): Promise<Buffer> {
  if (body === undefined) return Buffer.alloc(0);
  if (body instanceof Readable) return Buffer.concat(await body.toArray());
  return typeof body === "string" ? Buffer.from(body) : Buffer.copyBytesFrom(body);
}

function inPieces(bytes: Buffer, length: number | undefined): NonNullable<FakeRequest["body"]> {
  return {
    length,
    start(sink) {
      for (let at = 0; at < bytes.length; at += 10_000) sink.write(bytes.subarray(at, at + 10_000));
      sink.end(undefined);
    },
    resume() {},
    cancel() {},
  };
}

/** Re-signs what a client sent, and holds the result against another implementation and a wrong key. */
async function resigned(request: FakeRequest, config: Record<string, unknown> = {}) {
  const exchange: FakeExchange = fakeExchange(request);
  await signs(awsAuthWith(config), exchange);
  const sent = await sentRequest(exchange);
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
  assert.deepEqual(verifySigV4(sent, { ...keys, secretAccessKey: dummySecret }).problems, [
    "the signature does not match",
  ]);
  assert.doesNotMatch(JSON.stringify([sent.target, sent.headers]), /AKIADUMMY/);
  return { exchange, sent };
}

const common = {
  region: "eu-west-1",
  credentials: { accessKeyId: "AKIADUMMY", secretAccessKey: dummySecret },
  maxAttempts: 1,
};
const json = { "content-type": "application/x-amz-json-1.1" };

function s3With(response: (request: SdkRequest) => string = () => "") {
  const { requests, requestHandler } = recorder(
    { "content-type": "application/xml", etag: '"tag"' },
    response,
  );
  return { requests, client: new S3Client({ ...common, requestHandler }) };
}

test("S3 put of a buffer with a key that has to be escaped", async () => {
  const { client, requests } = s3With();
  await client.send(new PutObjectCommand({ Bucket: "bucket", Key: "a b/é(1)+~.txt", Body: "hello" }));
  const { sent } = await resigned(requests[0] as FakeRequest, { allowed_actions: ["s3:PutObject"] });
  assert.equal(sent.body?.toString(), "hello");
});

test("S3 put of a stream with a trailing checksum", async () => {
  const { client, requests } = s3With();
  const text = "x".repeat(100_000);
  const Body = Readable.from([Buffer.from(text)]);
  await client.send(new PutObjectCommand({ Bucket: "bucket", Key: "k", Body, ContentLength: text.length }));
  const { sent } = await resigned(requests[0] as FakeRequest);
  assert.equal(new Map(sent.headers).get("X-Amz-Content-Sha256"), "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
  assert.match(sent.body?.toString("latin1") ?? "", /x-amz-checksum-crc32:/);
});

test("S3 multipart upload", async () => {
  const { client, requests } = s3With(({ method, query }) => {
    if (method !== "POST") return "";
    const tag = "uploads" in query ? "InitiateMultipartUploadResult" : "CompleteMultipartUploadResult";
    return `<${tag}><Bucket>bucket</Bucket><Key>k</Key><UploadId>id+/=</UploadId></${tag}>`;
  });
  const Body = Readable.from([Buffer.alloc(5 << 20, "a"), Buffer.alloc(1000, "b")]);
  const upload = new Upload({ client, params: { Bucket: "bucket", Key: "k", Body }, queueSize: 1 });
  await upload.done();
  assert.equal(requests.length, 4);
  const allowed = ["s3:CreateMultipartUpload", "s3:UploadPart", "s3:CompleteMultipartUpload"];
  for (const request of requests) await resigned(request, { allowed_actions: allowed });
});

test("S3 list with parameters", async () => {
  const { client, requests } = s3With(() => "<ListBucketResult></ListBucketResult>");
  await client.send(new ListObjectsV2Command({ Bucket: "bucket", Prefix: "a b+c/é", Delimiter: "/" }));
  await resigned(requests[0] as FakeRequest, { allowed_actions: ["s3:ListObjects"] });
});

test("A-21: S3 presigned get and put", async () => {
  const { client } = s3With();
  const get = await getSignedUrl(client, new GetObjectCommand({ Bucket: "bucket", Key: "a b" }), {
    expiresIn: 60,
  });
  const { sent } = await resigned({ url: get });
  assert.equal(new URLSearchParams(sent.target.split("?")[1]).get("X-Amz-Expires"), "60");
  const put = await getSignedUrl(client, new PutObjectCommand({ Bucket: "bucket", Key: "k" }), {
    expiresIn: 60,
  });
  const headers = [["Content-Type", "text/plain"]] as const;
  await resigned({ method: "PUT", url: put, headers, body: "hello" });
});

test("DynamoDB", async () => {
  const { requests, requestHandler } = recorder(json, () => "{}");
  const client = new DynamoDBClient({ ...common, requestHandler });
  await client.send(new GetItemCommand({ TableName: "t", Key: { id: { S: "1" } } }));
  await resigned(requests[0] as FakeRequest, { allowed_actions: ["dynamodb:GetItem"] });
});

test("Secrets Manager", async () => {
  const { requests, requestHandler } = recorder(json, () => '{"SecretString":"x"}');
  const client = new SecretsManagerClient({ ...common, requestHandler });
  await client.send(new GetSecretValueCommand({ SecretId: "s" }));
  await resigned(requests[0] as FakeRequest, { allowed_actions: ["secretsmanager:GetSecretValue"] });
});

test("Bedrock runtime, whose path holds a colon", async () => {
  const { requests, requestHandler } = recorder({ "content-type": "application/json" }, () => "{}");
  const client = new BedrockRuntimeClient({ ...common, requestHandler });
  const modelId = "anthropic.claude-3-haiku-20240307-v1:0";
  await client.send(
    new InvokeModelCommand({ modelId, body: '{"max_tokens":1}', contentType: "application/json" }),
  );
  const { sent } = await resigned(requests[0] as FakeRequest, { allowed_services: ["bedrock"] });
  assert.match(sent.target, /%3A0\/invoke$/);
});

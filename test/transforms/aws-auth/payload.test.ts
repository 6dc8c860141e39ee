import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyAbortedError, type BodySource } from "../../../src/http/body.ts";
import { type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { awsAuthWith, dynamo, keys, refused, s3, signedBy, signs, sourceOf } from "./support.ts";

test("A-13: unsigned_payload streams a body of unknown length", async () => {
  const { transform } = awsAuthWith({ unsigned_payload: true });
  const exchange = signedBy("us-east-1/bedrock", {
    method: "POST",
    url: "https://bedrock-runtime.us-east-1.amazonaws.com/x",
    body: streamedBody("a", "b"),
  });
  assert.equal(transform.onRequest?.(exchange), undefined);
  assert.equal(exchange.request.body.bytes, undefined);
  const sent = await sentRequest(exchange);
  assert.equal(sent.body?.toString(), "ab");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
  assert.equal(new Map(sent.headers).get("X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD");
});

test("honours UNSIGNED-PAYLOAD where the workload asks for it", async () => {
  const headers = [["x-amz-content-sha256", "UNSIGNED-PAYLOAD"]] as const;
  const exchange = signedBy("eu-west-1/s3", {
    method: "PUT",
    url: `${s3}/k`,
    headers,
    body: streamedBody("ab"),
  });
  await signs(awsAuthWith(), exchange);
  assert.equal(exchange.request.body.bytes, undefined);
  assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
});

test("keeps STREAMING-UNSIGNED-PAYLOAD-TRAILER and its framed body as they are", async () => {
  const framed = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
  const headers = [
    ["x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"],
    ["x-amz-trailer", "x-amz-checksum-crc32"],
    ["content-encoding", "aws-chunked"],
    ["x-amz-decoded-content-length", "5"],
  ] as const;
  const exchange = signedBy("eu-west-1/s3", {
    method: "PUT",
    url: `${s3}/k`,
    headers,
    body: streamedBody(framed),
  });
  await signs(awsAuthWith(), exchange);
  const sent = await sentRequest(exchange);
  assert.equal(sent.body?.toString(), framed);
  const { problems, signedHeaders } = verifySigV4(sent, keys);
  assert.deepEqual(problems, []);
  assert.ok(signedHeaders.includes("x-amz-trailer"));
});

const payloads: readonly [name: string, headers: [string, string][], reason: string][] = [
  ["an event stream", [["content-type", "application/vnd.amazon.eventstream"]], "event_stream_not_supported"],
  ["events", [["x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-EVENTS"]], "event_stream_not_supported"],
  [
    "SigV4A chunks",
    [["x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"]],
    "payload_not_supported",
  ],
  ["an unknown form", [["x-amz-content-sha256", "STREAMING-SOMETHING-NEW"]], "payload_not_supported"],
];
for (const [name, headers, reason] of payloads) {
  test(`refuses ${name} by name`, async () => {
    const exchange = signedBy("eu-west-1/s3", { method: "PUT", url: `${s3}/k`, headers, body: "x" });
    const rejection = await refused(awsAuthWith(), exchange);
    assert.deepEqual([rejection.status, rejection.reason], [400, reason]);
  });
}

test("A-14: refuses a chunked body, unless it is allowed; then it goes out with its length", async () => {
  const request = (): FakeRequest => ({ method: "POST", url: dynamo, body: streamedBody("{", "}") });
  const built = awsAuthWith();
  const rejection = await refused(built, signedBy("us-east-1/dynamodb", request()));
  assert.deepEqual([rejection.status, rejection.reason], [400, "chunked_body_not_allowed"]);
  assert.deepEqual(built.asked, {});
  const allowed = signedBy("us-east-1/dynamodb", request());
  await signs(awsAuthWith({ allow_chunked_body: true }), allowed);
  const sent = await sentRequest(allowed);
  assert.equal(new Map(sent.headers).get("Content-Length"), "2");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
});

for (const [name, body] of [
  ["announced", sourceOf("12345")],
  ["not announced", streamedBody("123", "45")],
] as const) {
  test(`I12: refuses with 413 a body over the limit whose length is ${name}`, async () => {
    const built = awsAuthWith({ allow_chunked_body: true });
    const exchange = signedBy("us-east-1/dynamodb", { method: "POST", url: dynamo, body, maxRequestBody: 4 });
    const rejection = await refused(built, exchange);
    assert.deepEqual([rejection.status, rejection.reason], [413, "body_truncated"]);
    assert.deepEqual(built.asked, {});
  });
}

test("streams an S3 upload over the limit by the hash that its client declares", async () => {
  const text = "0123456789";
  const declared = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
  const request: FakeRequest = {
    method: "PUT",
    url: `${s3}/k`,
    headers: [["x-amz-content-sha256", declared]],
    maxRequestBody: 4,
  };
  const exchange = signedBy("eu-west-1/s3", { ...request, body: sourceOf(text) });
  await signs(awsAuthWith(), exchange);
  assert.equal(exchange.request.body.bytes, undefined);
  assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
  const changed = signedBy("eu-west-1/s3", { ...request, body: sourceOf(text) });
  changed.claim(":body");
  assert.equal((await refused(awsAuthWith(), changed)).reason, "body_truncated");
  const elsewhere = signedBy("us-east-1/dynamodb", { ...request, url: dynamo, body: sourceOf(text) });
  assert.equal((await refused(awsAuthWith(), elsewhere)).reason, "body_truncated");
});

test("refuses with 400 a body that ends early", async () => {
  const body: BodySource = {
    length: 5,
    start: (sink) => sink.abort(new BodyAbortedError("the client went away")),
    resume() {},
    cancel() {},
  };
  const rejection = await refused(
    awsAuthWith(),
    signedBy("us-east-1/dynamodb", { method: "POST", url: dynamo, body }),
  );
  assert.deepEqual([rejection.status, rejection.reason], [400, "body_read_failed"]);
});

test("A-22: signs the length and hash of the body as an earlier transform left it", async () => {
  const exchange = signedBy("us-east-1/dynamodb", {
    method: "POST",
    url: dynamo,
    headers: [["Content-Length", "9"]],
    body: "123456789",
  });
  exchange.request.body.replace(Buffer.from("1234"));
  await signs(awsAuthWith(), exchange);
  const sent = await sentRequest(exchange);
  assert.equal(new Map(sent.headers).get("Content-Length"), "4");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
});

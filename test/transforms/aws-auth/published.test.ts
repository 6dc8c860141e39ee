import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Headers } from "../../../src/http/headers.ts";
import { canonicalQuery, headersToSign } from "../../../src/transforms/aws-auth/canonical.ts";
import {
  canonicalRequest,
  emptyHash,
  Signer,
  signingTime,
  type RequestToSign,
} from "../../../src/transforms/aws-auth/sigv4.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import { sentRequest } from "../../helpers/sigv4.ts";
import { awsAuthWith, keys, now, placeholderAuthorization, signedBy, signs } from "./support.ts";

const akid = new Signer({
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
});
const in2015 = signingTime(Date.UTC(2015, 7, 30, 12, 36));
const in2013 = Date.UTC(2013, 4, 24);

function hashOf(request: RequestToSign): string {
  return createHash("sha256").update(canonicalRequest(request), "latin1").digest("hex");
}

function signature(header: string | undefined): string {
  return /Signature=([0-9a-f]{64})$/.exec(header ?? "")?.[1] ?? "";
}

test("signs IAM ListUsers as Amazon published it", () => {
  const scope = { region: "us-east-1", service: "iam" };
  const request: RequestToSign = {
    method: "GET",
    path: "/",
    query: canonicalQuery("Action=ListUsers&Version=2010-05-08") as string,
    headers: headersToSign(
      Headers.of([
        ["Content-Type", "application/x-www-form-urlencoded; charset=utf-8"],
        ["X-Amz-Date", in2015.dateTime],
      ]),
      "iam.amazonaws.com",
      undefined,
    ),
    payloadHash: emptyHash,
    time: in2015,
    scope,
  };
  assert.equal(hashOf(request), "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
  const key = akid.signingKey(in2015.date, scope).toString("hex");
  assert.equal(key, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
  assert.equal(akid.sign(request), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
});

/** Cases of Amazon's test suite, all with host and x-amz-date signed for `us-east-1/service`. */
const suite: readonly [name: string, method: string, path: string, query: string, expected: string][] = [
  ["get-vanilla", "GET", "/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
  [
    "get-vanilla-query-order-key-case",
    "GET",
    "/",
    "Param2=value2&Param1=value1",
    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
  ],
  ["post-vanilla", "POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"],
  ["get-slashes", "GET", "//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
];

for (const [name, method, path, query, expected] of suite) {
  test(`signs ${name} of Amazon's test suite`, () => {
    const headers = headersToSign(
      Headers.of([["X-Amz-Date", in2015.dateTime]]),
      "example.amazonaws.com",
      undefined,
    );
    const scope = { region: "us-east-1", service: "service" };
    const canonical = canonicalQuery(query) as string;
    const request = { method, path, query: canonical, headers, payloadHash: emptyHash, time: in2015, scope };
    assert.equal(akid.sign(request), expected);
  });
}

test("signs the published S3 GET with Range", async () => {
  const built = awsAuthWith({}, undefined, () => in2013);
  const exchange = signedBy("us-east-1/s3", {
    url: "https://examplebucket.s3.amazonaws.com/test.txt",
    headers: [["Range", "bytes=0-9"]],
  });
  await signs(built, exchange);
  assert.equal(
    exchange.request.headers.get("authorization"),
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, " +
      "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
});

test("signs the published presigned S3 GET", async () => {
  const built = awsAuthWith({}, undefined, () => in2013);
  const query = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Credential=AKIAPLACEHOLDER%2F20250101%2Fus-east-1%2Fs3%2Faws4_request",
    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=abc",
  ].join("&");
  const exchange = fakeExchange({ url: `https://examplebucket.s3.amazonaws.com/test.txt?${query}` });
  await signs(built, exchange);
  const sent = new URLSearchParams(exchange.request.query);
  assert.equal(
    sent.get("X-Amz-Signature"),
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
  assert.equal(sent.get("X-Amz-Expires"), "86400");
  assert.equal(sent.getAll("X-Amz-Credential").length, 1);
  assert.equal(exchange.request.headers.get("authorization"), undefined);
});

test("re-signs the published streaming PUT, chunk by chunk", async () => {
  const built = awsAuthWith({}, undefined, () => in2013);
  const dummy = "0".repeat(64);
  const framed = Buffer.from(
    `10000;chunk-signature=${dummy}\r\n${"a".repeat(65536)}\r\n` +
      `400;chunk-signature=${dummy}\r\n${"a".repeat(1024)}\r\n0;chunk-signature=${dummy}\r\n\r\n`,
  );
  assert.equal(framed.length, 66824);
  const exchange = signedBy("us-east-1/s3", {
    method: "PUT",
    url: "https://s3.amazonaws.com/examplebucket/chunkObject.txt",
    headers: [
      ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ["x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"],
      ["Content-Encoding", "aws-chunked"],
      ["x-amz-decoded-content-length", "66560"],
    ],
    body: framed,
  });
  await signs(built, exchange);
  const sent = await sentRequest(exchange);
  assert.equal(
    signature(exchange.request.headers.get("authorization")),
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
  );
  const signatures = (sent.body as Buffer).toString().match(/(?<=chunk-signature=)[0-9a-f]{64}/g);
  assert.deepEqual(signatures, [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
  ]);
  assert.equal(sent.body?.length, framed.length);
  assert.equal(new Map(sent.headers).get("Content-Length"), "66824");
});

test("A-04 A-07: re-signs a Bedrock call with the scope of the workload's signature and the clock's date", async () => {
  const built = awsAuthWith({}, { id: "AKIAEXAMPLE", key: keys.secretAccessKey }, () => now);
  const exchange = fakeExchange({
    method: "POST",
    url: "https://bedrock-runtime.us-east-1.amazonaws.com/model/foo/invoke",
    headers: [placeholderAuthorization("us-east-1/bedrock")],
    body: '{"x":1}',
  });
  await signs(built, exchange);
  const { headers, body } = exchange.request;
  assert.equal(
    headers.get("authorization"),
    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20250102/us-east-1/bedrock/aws4_request, " +
      "SignedHeaders=content-length;host;x-amz-content-sha256;x-amz-date, " +
      "Signature=bfa9a02ee8aaeff0f86586b1d304c418731dfda703a67f6d53c1c9f84930764d",
  );
  assert.equal(
    headers.get("x-amz-content-sha256"),
    "5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22",
  );
  assert.equal(headers.get("x-amz-security-token"), undefined);
  assert.equal(body.bytes?.toString(), '{"x":1}');
  assert.deepEqual(exchange.annotations, {
    injected: ["header:Authorization", "header:X-Amz-Date", "header:X-Amz-Content-Sha256"],
    service: "bedrock",
    region: "us-east-1",
  });
});

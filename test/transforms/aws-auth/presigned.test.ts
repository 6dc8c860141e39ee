import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeExchange, streamedBody } from "../../helpers/exchange.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { awsAuthWith, keys, s3, signs, sourceOf } from "./support.ts";

test("A-21: presigns again: nothing of the old signature stays, whatever its casing, and the rest does", async () => {
  const query = [
    "response-content-type=text%2Fplain&versionId=1",
    `x-amz-credential=${encodeURIComponent("AKIAPLACEHOLDER/20250101/eu-west-1/s3/aws4_request")}`,
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60",
    "X-AMZ-Security-Token=placeholder&X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=abc&x-id=GetObject",
  ].join("&");
  const built = awsAuthWith(
    { session_token: { type: "test", name: "token" } },
    { id: keys.accessKeyId, key: keys.secretAccessKey, token: "real+token/==" },
  );
  const headers = [
    ["X-Amz-Meta-Tag", "x"],
    ["X-Amz-Security-Token", "placeholder"],
  ] as const;
  const exchange = fakeExchange({ url: `${s3}/k%20y?${query}`, headers });
  await signs(built, exchange);
  const sent = await sentRequest(exchange);
  assert.doesNotMatch(JSON.stringify(sent), /placeholder|abc|20250101/i);
  const { problems, signedHeaders } = verifySigV4(sent, { ...keys, sessionToken: "real+token/==" });
  assert.deepEqual(problems, []);
  assert.deepEqual(signedHeaders, ["host", "x-amz-meta-tag"], "only headers that are sent");
  assert.match(
    sent.target,
    /response-content-type=text%2Fplain&versionId=1.*X-Amz-Expires=60&x-id=GetObject/,
  );
  assert.deepEqual(exchange.annotations["injected"], [
    "query:X-Amz-Credential",
    "query:X-Amz-Date",
    "query:X-Amz-SignedHeaders",
    "query:X-Amz-Security-Token",
    "query:X-Amz-Signature",
  ]);
});

test("presigns an S3 upload of any length without reading it, and hashes the body of other services", async () => {
  const presigned = (service: string): string =>
    `X-Amz-Credential=AKIA%2F20250101%2Feu-west-1%2F${service}%2Faws4_request&X-Amz-Expires=60&X-Amz-Signature=a`;
  const upload = fakeExchange({
    method: "PUT",
    url: `${s3}/k?${presigned("s3")}`,
    body: streamedBody("abc"),
  });
  await signs(awsAuthWith(), upload);
  assert.equal(upload.request.body.bytes, undefined);
  assert.deepEqual(verifySigV4(await sentRequest(upload), keys).problems, []);
  const call = fakeExchange({
    method: "POST",
    url: `https://x.execute-api.eu-west-1.amazonaws.com/?${presigned("execute-api")}`,
    body: sourceOf("abc"),
  });
  await signs(awsAuthWith(), call);
  assert.deepEqual(verifySigV4(await sentRequest(call), keys).problems, []);
});

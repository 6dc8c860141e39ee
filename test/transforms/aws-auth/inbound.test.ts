import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import { awsAuthWith, placeholderAuthorization, refused, s3 } from "./support.ts";

const scope = "AKIA/20250101/us-east-1/s3/aws4_request";
const unusable: readonly [name: string, request: FakeRequest, problem: RegExp, reason?: string][] = [
  ["A-08: no signature", {}, /no SigV4 signature/],
  ["A-03: a bearer token", { headers: [["Authorization", "Bearer x"]] }, /not a AWS4-HMAC-SHA256/],
  [
    "A-03: no Credential",
    { headers: [["Authorization", "AWS4-HMAC-SHA256 Signature=abc"]] },
    /missing Credential/,
  ],
  ["A-03: too few parts", { headers: [["Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c"]] }, /got 3/],
  [
    "A-03: too many parts",
    { headers: [["Authorization", `AWS4-HMAC-SHA256 Credential=a/${scope}`]] },
    /got 6/,
  ],
  [
    "A-03: another terminator",
    { headers: [["Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws3"]] },
    /terminator/,
  ],
  [
    "A-03: an empty region",
    { headers: [["Authorization", "AWS4-HMAC-SHA256 Credential=a/b//s3/aws4_request"]] },
    /empty region/,
  ],
  [
    "A-03: an empty service",
    { headers: [["Authorization", "AWS4-HMAC-SHA256 Credential=a/b/r//aws4_request"]] },
    /empty region or service/,
  ],
  [
    "a region with a space",
    { headers: [["Authorization", "AWS4-HMAC-SHA256 Credential=a/b/r x/s3/aws4_request"]] },
    /character/,
  ],
  [
    "two Authorization headers",
    { headers: [placeholderAuthorization("r/s3"), placeholderAuthorization("r/sqs")] },
    /more than one/,
  ],
  [
    "a header and a presigned query",
    { url: `${s3}/k?x-amz-credential=${scope}`, headers: [placeholderAuthorization("r/s3")] },
    /one in the query/,
  ],
  [
    "two credentials in a query",
    { url: `${s3}/k?X-Amz-Credential=${scope}&X-Amz%2DCredential=${scope}` },
    /more than one/,
  ],
  [
    "SigV4A",
    { headers: [["Authorization", "AWS4-ECDSA-P256-SHA256 Credential=a/20250101/s3/aws4_request"]] },
    /SigV4A/,
    "sigv4a_not_supported",
  ],
  [
    "presigned SigV4A",
    { url: `${s3}/k?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=${scope}` },
    /SigV4A/,
    "sigv4a_not_supported",
  ],
  [
    "a query that cannot be decoded",
    { url: `${s3}/k?a=%zz`, headers: [placeholderAuthorization("eu-west-1/s3")] },
    /percent-escape/,
    "invalid_target",
  ],
];
for (const [name, request, problem, reason = "missing_sigv4"] of unusable) {
  test(`refuses a request with ${name}`, async () => {
    const built = awsAuthWith();
    const exchange = fakeExchange({ url: `${s3}/k`, ...request });
    const rejection = await refused(built, exchange);
    assert.deepEqual([rejection.status, rejection.reason], [400, reason]);
    assert.match(exchange.annotations["error"] as string, problem);
    assert.deepEqual(built.asked, {});
  });
}

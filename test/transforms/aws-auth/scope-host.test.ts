import assert from "node:assert/strict";
import { test } from "node:test";
import { contradictsHost } from "../../../src/transforms/aws-auth/scope-host.ts";
import { awsAuthWith, refused, signedBy, signs } from "./support.ts";

const cases: readonly [host: string, scope: string, contradicts: boolean][] = [
  ["s3.us-east-1.amazonaws.com", "us-east-1/s3", false],
  ["s3.us-east-1.amazonaws.com", "eu-west-1/s3", true],
  ["s3.us-east-1.amazonaws.com", "us-east-1/dynamodb", true],
  ["bucket.s3.us-east-1.amazonaws.com", "us-east-1/s3", false],
  ["eu-west-1.s3.us-east-1.amazonaws.com", "us-east-1/s3", false],
  ["us-west-2.s3.amazonaws.com", "us-east-1/s3", false],
  ["bucket.s3.amazonaws.com", "us-east-1/sts", true],
  ["s3.dualstack.us-west-2.amazonaws.com", "us-west-2/s3", false],
  ["bucket.s3-us-west-2.amazonaws.com", "us-east-1/s3", true],
  ["s3-accelerate.amazonaws.com", "us-east-1/s3", false],
  ["b.s3express-use1-az5.us-east-1.amazonaws.com", "us-east-1/s3express", false],
  ["bedrock-runtime.us-east-1.amazonaws.com", "us-east-1/bedrock", false],
  ["bedrock-runtime.us-east-1.amazonaws.com", "us-east-1/s3", true],
  ["bedrock-runtime-fips.us-east-1.amazonaws.com", "us-east-1/bedrock", false],
  ["email.us-east-1.amazonaws.com", "us-east-1/ses", false],
  ["iam.amazonaws.com", "us-east-1/iam", false],
  ["iam.amazonaws.com", "us-east-1/sts", true],
  ["kms-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1/kms", false],
  ["x.execute-api.us-east-1.amazonaws.com", "us-east-1/execute-api", false],
  ["something-new.us-east-1.amazonaws.com", "us-east-1/another-name", false],
  ["something-new.us-east-1.amazonaws.com", "eu-west-1/another-name", true],
  ["sqs.cn-north-1.amazonaws.com.cn", "cn-north-1/sqs", false],
  ["sqs.cn-north-1.amazonaws.com.cn", "us-east-1/sqs", true],
  ["minio.example.com", "anywhere/s3", false],
  ["s3.us-east-1.amazonaws.com.example.com", "eu-west-1/sqs", false],
];
for (const [host, scope, contradicts] of cases) {
  test(`attack 47: ${scope} ${contradicts ? "contradicts" : "suits"} ${host}`, () => {
    const [region, service] = scope.split("/") as [string, string];
    assert.equal(contradictsHost(host, { region, service }), contradicts);
  });
}

test("attack 47: refuses a scope that contradicts the host, unless match_scope_to_host is off", async () => {
  const request = { url: "https://sqs.eu-west-1.amazonaws.com/" };
  const rejection = await refused(awsAuthWith(), signedBy("us-east-1/sqs", request));
  assert.deepEqual([rejection.status, rejection.reason], [403, "scope_host_mismatch"]);
  await signs(awsAuthWith({ match_scope_to_host: false }), signedBy("us-east-1/sqs", request));
});

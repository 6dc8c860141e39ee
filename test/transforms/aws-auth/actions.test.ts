import assert from "node:assert/strict";
import { test } from "node:test";
import { s3Operations } from "../../../src/transforms/aws-auth/s3-operation.ts";
import { type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { awsAuthWith, refused, signedBy, signs } from "./support.ts";

const form: [string, string] = ["Content-Type", "application/x-www-form-urlencoded; charset=utf-8"];
const json: [string, string] = ["Content-Type", "application/x-amz-json-1.0"];
const iam = "https://iam.amazonaws.com/";
const sts = "https://sts.us-east-1.amazonaws.com/";
const dynamo = "https://dynamodb.us-east-1.amazonaws.com/";
const ecr = "https://api.ecr.us-east-1.amazonaws.com/";
const s3 = "https://bucket.s3.us-east-1.amazonaws.com";

function target(operation: string): [string, string] {
  return ["X-Amz-Target", `DynamoDB_20120810.${operation}`];
}

type Case = readonly [
  name: string,
  service: string,
  request: FakeRequest,
  allowed: string[],
  passes: boolean,
];

const cases: readonly Case[] = [
  [
    "the operation of a form",
    "iam",
    { method: "POST", url: iam, headers: [form], body: "Action=ListUsers&Version=1" },
    ["iam:ListUsers"],
    true,
  ],
  [
    "another operation of a form",
    "iam",
    { method: "POST", url: iam, headers: [form], body: "Action=DeleteUser" },
    ["iam:ListUsers"],
    false,
  ],
  ["the operation of a query", "iam", { url: `${iam}?Action=ListUsers` }, ["iam:List*"], true],
  [
    "a form and a query that disagree",
    "iam",
    { method: "POST", url: `${iam}?Action=ListUsers`, headers: [form], body: "Action=DeleteUser" },
    ["iam:ListUsers"],
    false,
  ],
  [
    "two operations of a service that is allowed as a whole",
    "sns",
    { url: "https://sns.us-east-1.amazonaws.com/?Action=Publish&Action=Publish" },
    ["sns:*"],
    true,
  ],
  [
    "two operations where one is asked for",
    "iam",
    { url: `${iam}?Action=ListUsers&%41ction=DeleteUser` },
    ["iam:ListUsers"],
    false,
  ],
  [
    "an operation in another case",
    "iam",
    { url: `${iam}?action=DeleteUser&Action=ListUsers` },
    ["iam:ListUsers"],
    false,
  ],
  [
    "a form that is not called one",
    "iam",
    { method: "POST", url: `${iam}?Action=ListUsers`, headers: [json], body: "Action=DeleteUser" },
    ["iam:ListUsers"],
    false,
  ],
  [
    "a form in gzip",
    "iam",
    {
      method: "POST",
      url: `${iam}?Action=ListUsers`,
      headers: [form, ["Content-Encoding", "gzip"]],
      body: "x",
    },
    ["iam:ListUsers"],
    false,
  ],
  [
    "a target that a query service ignores",
    "iam",
    { method: "POST", url: iam, headers: [form, target("ListUsers")], body: "Action=DeleteUser" },
    ["iam:ListUsers"],
    false,
  ],
  [
    "the operation of a target",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("GetItem")], body: "{}" },
    ["dynamodb:GetItem"],
    true,
  ],
  [
    "another operation of a target",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("DeleteItem")], body: "{}" },
    ["dynamodb:GetItem"],
    false,
  ],
  [
    "two targets",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("GetItem"), target("DeleteItem")], body: "{}" },
    ["dynamodb:GetItem"],
    false,
  ],
  [
    "a target in the query",
    "dynamodb",
    {
      method: "POST",
      url: `${dynamo}?X-Amz-Target=a.DeleteItem`,
      headers: [json, target("GetItem")],
      body: "{}",
    },
    ["dynamodb:GetItem"],
    false,
  ],
  [
    "a target with another path",
    "dynamodb",
    { method: "POST", url: `${dynamo}service/x`, headers: [json, target("GetItem")], body: "{}" },
    ["dynamodb:GetItem"],
    false,
  ],
  [
    "a prefix",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("BatchGetItem")], body: "{}" },
    ["dynamodb:Batch*"],
    true,
  ],
  [
    "an operation in another case than allowed",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("getitem")], body: "{}" },
    ["dynamodb:GetItem"],
    false,
  ],
  [
    "another service's operation",
    "dynamodb",
    { method: "POST", url: dynamo, headers: [json, target("GetItem")], body: "{}" },
    ["sqs:GetItem"],
    false,
  ],
  [
    "a REST service as a whole",
    "lambda",
    { url: "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions" },
    ["lambda:*"],
    true,
  ],
  [
    "a REST service that is not named",
    "lambda",
    { url: "https://lambda.us-east-1.amazonaws.com/", headers: [target("GetItem")] },
    ["dynamodb:GetItem"],
    false,
  ],
  ["an S3 read", "s3", { url: `${s3}/k` }, ["s3:GetObject"], true],
  ["an S3 delete", "s3", { method: "DELETE", url: `${s3}/k` }, ["s3:GetObject"], false],
  [
    "an S3 target that S3 ignores",
    "s3",
    { method: "DELETE", url: `${s3}/k`, headers: [target("GetObject")] },
    ["s3:GetObject"],
    false,
  ],
  ["an S3 read of the ACL", "s3", { url: `${s3}/k?acl` }, ["s3:GetObject"], false],
  ["an unknown S3 subresource", "s3", { url: `${s3}/k?somethingNew` }, ["s3:GetObject"], false],
  ["an unknown S3 subresource where all is allowed", "s3", { url: `${s3}/k?somethingNew` }, ["s3:*"], true],
  // attack 48: what hands out credentials
  ["STS AssumeRole by default", "sts", { url: `${sts}?Action=AssumeRole` }, [], false],
  ["STS GetCallerIdentity by default", "sts", { url: `${sts}?Action=GetCallerIdentity` }, [], true],
  ["STS AssumeRole behind a wildcard", "sts", { url: `${sts}?Action=AssumeRole` }, ["sts:*"], false],
  ["STS AssumeRole named in full", "sts", { url: `${sts}?Action=AssumeRole` }, ["sts:AssumeRole"], true],
  [
    "STS AssumeRole beside another",
    "sts",
    { url: `${sts}?Action=GetCallerIdentity&Action=AssumeRole` },
    [],
    false,
  ],
  [
    "STS through another protocol",
    "sts",
    { method: "POST", url: `${sts}service/AWSSecurityTokenService/operation/AssumeRole` },
    [],
    false,
  ],
  [
    "IAM CreateAccessKey by default",
    "iam",
    { method: "POST", url: iam, headers: [form], body: "Action=CreateAccessKey" },
    [],
    false,
  ],
  [
    "ECR GetAuthorizationToken by default",
    "ecr",
    {
      method: "POST",
      url: ecr,
      headers: [json, ["X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"]],
      body: "{}",
    },
    [],
    false,
  ],
  ["S3 CreateSession by default", "s3", { url: `${s3}/?session` }, [], false],
  ["S3 CreateSession in disguise", "s3", { url: `${s3}/?Session=&x=1` }, [], false],
  ["S3 by default", "s3", { url: `${s3}/k?somethingNew` }, [], true],
  ["a service called like a part of every object", "constructor", { url: "https://example.com/" }, [], true],
];
for (const [name, service, request, allowed, passes] of cases) {
  test(`attacks 47 and 48: ${passes ? "signs" : "refuses"} ${name}`, async () => {
    const built = awsAuthWith({ allowed_actions: allowed });
    const exchange = signedBy(`us-east-1/${service}`, request);
    if (passes) return signs(built, exchange);
    const rejection = await refused(built, exchange);
    assert.deepEqual([rejection.status, rejection.reason], [403, "action_not_allowed"]);
    assert.equal(typeof exchange.annotations["action"], "string");
    assert.deepEqual(built.asked, {});
  });
}

test("reads a form that streams in before it decides, even with unsigned_payload", async () => {
  const built = awsAuthWith({ unsigned_payload: true });
  const body = { ...streamedBody("Action=", "AssumeRole"), length: 17 };
  const exchange = signedBy("us-east-1/sts", { method: "POST", url: sts, headers: [form], body });
  assert.equal((await refused(built, exchange)).reason, "action_not_allowed");
  assert.equal(exchange.annotations["action"], "AssumeRole");
  const chunked = signedBy("us-east-1/sts", {
    method: "POST",
    url: sts,
    headers: [form],
    body: streamedBody("x"),
  });
  assert.equal((await refused(built, chunked)).reason, "chunked_body_not_allowed");
});

const amazon = "s3.us-east-1.amazonaws.com";
const operations: readonly [
  method: string,
  host: string,
  path: string,
  query: string | undefined,
  expected: string[],
][] = [
  ["GET", amazon, "/", undefined, ["ListBuckets"]],
  ["GET", amazon, "/bucket", undefined, ["ListObjects"]],
  ["GET", amazon, "/bucket/", "list-type=2&prefix=a", ["ListObjects"]],
  ["GET", amazon, "/bucket/key", undefined, ["GetObject"]],
  ["GET", amazon, "/bucket%2Fkey", undefined, ["GetObject"]],
  ["GET", amazon, "//key", undefined, []],
  ["DELETE", amazon, "/bucket", undefined, ["DeleteBucket"]],
  ["PUT", amazon, "/bucket", "policy", ["PutBucketPolicy"]],
  ["DELETE", amazon, "/bucket", "lifecycle", ["DeleteBucketLifecycle"]],
  ["PATCH", amazon, "/bucket", "policy", []],
  ["HEAD", `b.${amazon}`, "/", undefined, ["HeadBucket"]],
  ["PUT", `b.${amazon}`, "/key", "partNumber=1&uploadId=x", ["UploadPart"]],
  ["POST", `b.${amazon}`, "/key", "uploads", ["CreateMultipartUpload"]],
  ["POST", `b.${amazon}`, "/", "delete", ["DeleteObjects"]],
  ["GET", `b.${amazon}`, "/key", "acl&tagging", []],
  ["GET", "my.bucket.s3.amazonaws.com", "/key", undefined, ["GetObject"]],
  ["GET", "bucket.s3-us-west-2.amazonaws.com", "/a", undefined, ["GetObject"]],
  ["GET", "s3-us-west-2.amazonaws.com", "/a", undefined, ["ListObjects"]],
  ["GET", "s3.dualstack.us-west-2.amazonaws.com", "/a", undefined, ["ListObjects"]],
  ["GET", "b--use1-az5--x-s3.s3express-use1-az5.us-east-1.amazonaws.com", "/a", undefined, ["GetObject"]],
  // Elsewhere the host may or may not name the bucket: both readings count.
  ["GET", "minio.example.com", "/a", undefined, ["ListObjects", "GetObject"]],
  ["DELETE", "minio.example.com", "/a", undefined, ["DeleteBucket", "DeleteObject"]],
  ["GET", "minio.example.com", "/a/b", undefined, ["GetObject"]],
];
for (const [method, host, path, query, expected] of operations) {
  test(`tells ${method} ${host}${path}${query === undefined ? "" : `?${query}`} is ${expected.join(" or ") || "unknown"}`, () => {
    assert.deepEqual(s3Operations({ method, host, path, query, copies: false }), expected);
  });
}

test("tells copies from uploads", () => {
  const request = { method: "PUT", host: `b.${amazon}`, path: "/k", copies: true };
  assert.deepEqual(s3Operations({ ...request, query: undefined }), ["CopyObject"]);
  assert.deepEqual(s3Operations({ ...request, query: "uploadId=1&partNumber=2" }), ["UploadPartCopy"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import {
  awsAuthWith,
  dummySecret,
  dynamo,
  keys,
  placeholderAuthorization,
  refused,
  s3,
  signedBy,
  signs,
} from "./support.ts";

const gates: readonly [name: string, config: object, scope: string, reason: string | undefined][] = [
  [
    "A-10: a service that is not allowed",
    { allowed_services: ["s3"] },
    "us-east-1/dynamodb",
    "service_not_allowed",
  ],
  [
    "A-11: a region that is not allowed",
    { allowed_regions: ["eu-west-1"] },
    "us-east-1/s3",
    "region_not_allowed",
  ],
  [
    "A-02: a region in another case",
    { allowed_regions: ["US-EAST-1"] },
    "us-east-1/s3",
    "region_not_allowed",
  ],
  [
    "A-02: what is allowed",
    { allowed_regions: ["us-east-1"], allowed_services: ["s3"] },
    "us-east-1/s3",
    undefined,
  ],
  [
    "A-02: anything where the lists hold only empty strings",
    { allowed_regions: [""], allowed_services: [""] },
    "us-east-1/s3",
    undefined,
  ],
];
for (const [name, config, scope, reason] of gates) {
  test(`attack 47 ${name} is ${reason === undefined ? "signed" : "refused, and no key is asked for"}`, async () => {
    const built = awsAuthWith({ ...config, match_scope_to_host: false });
    const exchange = signedBy(scope, { url: "https://storage.example.com/b/k" });
    if (reason === undefined) return signs(built, exchange);
    const { status, response } = await refused(built, exchange);
    assert.equal(status, 403);
    assert.equal(response?.status, 403);
    assert.equal(response?.body, `{"error":"aws_auth","reason":"${reason}"}`);
    assert.deepEqual(built.asked, {});
  });
}

test("I2, A-09: has no part in opening a tunnel", () => {
  assert.equal(awsAuthWith().transform.onTunnel, undefined);
});

test("A-12: leaves a request alone that no rule matches", async () => {
  const { transform, asked } = awsAuthWith({ rules: [{ host: "sqs.us-east-1.amazonaws.com" }] });
  const exchange = fakeExchange({ url: `${s3}/k`, headers: [placeholderAuthorization("us-east-1/s3")] });
  assert.equal(await transform.onRequest?.(exchange), undefined);
  assert.match(exchange.request.headers.get("authorization") ?? "", /PLACEHOLDER/);
  assert.deepEqual(asked, {});
  assert.deepEqual(exchange.annotations, {});
});

test("A-05: signs for the service and region of the workload, at once when nothing has to be read", async () => {
  const { transform } = awsAuthWith();
  const exchange = signedBy("eu-west-1/s3", { url: `${s3}/k` });
  assert.equal(transform.onRequest?.(exchange), undefined, "a promise on the hot path");
  const sent = await sentRequest(exchange);
  const { problems, scope: signed } = verifySigV4(sent, keys);
  assert.deepEqual(problems, []);
  assert.match(signed, /\/eu-west-1\/s3\//);
  assert.deepEqual(verifySigV4(sent, { ...keys, secretAccessKey: dummySecret }).problems, [
    "the signature does not match",
  ]);
});

test("A-06: sends the session token of temporary keys, signed, and nothing of the workload's", async () => {
  const token = "FwoGZXIvYXdzEXAMPLE+/=";
  const built = awsAuthWith(
    { session_token: { type: "test", name: "token" } },
    { id: keys.accessKeyId, key: keys.secretAccessKey, token },
  );
  const exchange = signedBy("us-east-1/dynamodb", {
    method: "POST",
    url: dynamo,
    headers: [
      ["x-amz-security-token", "placeholder"],
      ["X-AMZ-Security-Token", "another"],
    ],
    body: "{}",
  });
  await signs(built, exchange);
  assert.deepEqual(exchange.request.headers.getAll("x-amz-security-token"), [token]);
  assert.deepEqual(verifySigV4(await sentRequest(exchange), { ...keys, sessionToken: token }).problems, []);
  assert.ok((exchange.annotations["injected"] as string[]).includes("header:X-Amz-Security-Token"));
  assert.ok(exchange.claimed("x-amz-security-token"), "later transforms would record the token (I14)");
});

test("drops the workload's session token where the keys have none", async () => {
  const exchange = signedBy("us-east-1/dynamodb", {
    url: dynamo,
    headers: [["X-Amz-Security-Token", "placeholder"]],
  });
  await signs(awsAuthWith(), exchange);
  assert.equal(exchange.request.headers.has("x-amz-security-token"), false);
});

test("A-07: nothing of the workload's key, date or body hash goes out", async () => {
  const exchange = signedBy("eu-west-1/s3", {
    url: `${s3}/k`,
    headers: [
      ["X-Amz-Date", "20200101T000000Z"],
      ["x-amz-date", "20200102T000000Z"],
      ["x-amz-content-sha256", "f".repeat(64)],
    ],
  });
  await signs(awsAuthWith(), exchange);
  const { headers, target } = await sentRequest(exchange);
  assert.doesNotMatch(JSON.stringify([headers, target]), /PLACEHOLDER|20200101|20200102|fff/);
});

test("A-16, I6: signs for this machine over plain HTTP with host and port, and refuses any other", async () => {
  const exchange = signedBy("us-east-1/s3", { url: "http://127.0.0.1:9000/bucket/k" });
  await signs(awsAuthWith({ rules: [{ host: "127.0.0.1" }] }), exchange);
  const sent = await sentRequest(exchange);
  assert.equal(new Map(sent.headers).get("Host"), "127.0.0.1:9000");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
  const built = awsAuthWith();
  const plain = await refused(built, signedBy("us-east-1/s3", { url: "http://minio.example.com/bucket/k" }));
  assert.deepEqual([plain.status, plain.reason], [403, "plaintext_upstream"]);
  assert.deepEqual(built.asked, {});
});

test("I5: the first credential transform wins; a later one skips and says so", async () => {
  const first = awsAuthWith();
  const second = awsAuthWith({ allowed_services: ["sqs"] }, { id: "AKIAOTHER", key: "other" });
  const exchange = signedBy("us-east-1/dynamodb", { url: dynamo });
  await signs(first, exchange);
  delete exchange.annotations["injected"];
  assert.equal(await second.transform.onRequest?.(exchange), undefined);
  assert.equal(exchange.annotations["skipped"], "credential_already_applied");
  assert.deepEqual(second.asked, {});
  assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
  const bearer = signedBy("us-east-1/dynamodb", { url: dynamo });
  bearer.claim("authorization");
  assert.equal(await first.transform.onRequest?.(bearer), undefined);
  assert.equal(bearer.annotations["skipped"], "credential_already_applied");
});

test("explains what would happen without asking for a key", async () => {
  const { transform, asked } = awsAuthWith({
    rules: [{ host: "*.amazonaws.com" }],
    allowed_services: ["s3", "sts"],
  });
  const lines: [FakeRequest & { scope: string }, RegExp][] = [
    [
      { scope: "eu-west-1/s3", url: `${s3}/k` },
      /would be signed in the Authorization header for s3 in eu-west-1 with keys from sources, its body hashed/,
    ],
    [{ scope: "us-east-1/dynamodb", url: dynamo }, /would be refused \(service_not_allowed\)/],
    [
      { scope: "us-east-1/sts", url: "https://sts.amazonaws.com/?Action=AssumeRole" },
      /would be refused \(action_not_allowed\)/,
    ],
    [{ scope: "us-east-1/s3", url: "https://example.com/" }, /rules do not match/],
  ];
  for (const [{ scope: signed, ...request }, line] of lines) {
    assert.match(transform.explain?.(signedBy(signed, request))[0] ?? "", line);
  }
  assert.deepEqual(asked, {});
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { BodyAbortedError, type BodySource } from "../../../src/http/body.ts";
import { SourceError } from "../../../src/sources/types.ts";
import { makeAwsAuth } from "../../../src/transforms/aws-auth/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { fakeExchange, type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import {
  anyHost,
  awsAuthWith,
  dummySecret,
  keys,
  placeholderAuthorization,
  refused,
  signedBy,
  signs,
  staticKeys,
} from "./support.ts";

const s3 = "https://bucket.s3.eu-west-1.amazonaws.com";
const dynamo = "https://dynamodb.us-east-1.amazonaws.com/";

const mistakes: readonly [name: string, config: unknown, errors: RegExp[]][] = [
  [
    "no keys",
    anyHost,
    [/^: aws_auth: requires either access_key_id\+secret_access_key or credentials_provider$/],
  ],
  [
    "only the ID",
    { ...anyHost, access_key_id: staticKeys.access_key_id },
    [/aws_auth: secret_access_key is required/],
  ],
  [
    "only the secret",
    { ...anyHost, secret_access_key: staticKeys.secret_access_key },
    [/aws_auth: access_key_id is required/],
  ],
  [
    "keys and a provider",
    { ...anyHost, ...staticKeys, credentials_provider: { type: "workload_identity" } },
    [/set either access_key_id\/secret_access_key or credentials_provider, not both/],
  ],
  [
    "a provider without a type",
    { ...anyHost, credentials_provider: {} },
    [
      /^credentials_provider\.type: aws_auth: building credentials_provider: credentials_provider\.type is required$/,
    ],
  ],
  [
    "a provider of another type",
    { ...anyHost, credentials_provider: { type: "vault" } },
    [/unsupported credentials_provider type "vault"/],
  ],
  ["no rules", staticKeys, [/^rules: aws_auth: at least one entry in "rules" is required$/]],
  [
    "actions that are none, or cannot be told apart",
    { ...anyHost, ...staticKeys, allowed_actions: ["GetItem", "lambda:Invoke", "lambda:*", "s3:Get*"] },
    [
      /^allowed_actions\.0: .*"GetItem" is not service:Operation/,
      /^allowed_actions\.1: .*lambda cannot be told apart/,
    ],
  ],
];
for (const [name, config, errors] of mistakes) {
  test(`A-01: refuses a configuration with ${name}`, () => {
    const built = buildTransform(makeAwsAuth(), config);
    assert.equal(built.errors.length, errors.length, built.errors.join("\n"));
    for (const [index, error] of errors.entries()) assert.match(built.errors[index] as string, error);
  });
}

test("an unknown key is an error", () => {
  assert.throws(() => buildTransform(makeAwsAuth(), { ...staticKeys, ...anyHost, region: "x" }), /region/);
});

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

function sourceOf(text: string, length: number | undefined = text.length): BodySource {
  return { ...streamedBody(text), length };
}

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

const secretText = "s3cr3t-value-that-must-not-get-out";
const badSources: readonly [
  name: string,
  id: string | (() => string),
  key: string | (() => string),
  problem: RegExp,
][] = [
  [
    "cannot be read",
    keys.accessKeyId,
    () => {
      throw new SourceError(`failed with ${secretText}`);
    },
    /^a source of the keys could not be read$/,
  ],
  ["gives nothing", "", secretText, /^access_key_id: the value is empty$/],
  ["gives too much", keys.accessKeyId, secretText.repeat(20), /^secret_access_key: the value is too long$/],
  [
    "gives a line feed",
    keys.accessKeyId,
    `${secretText}\n`,
    /^secret_access_key: the value has a space, a line break/,
  ],
  ["gives a header", `AKIA\r\nX-Evil: ${secretText}`, secretText, /^access_key_id: the value has/],
  ["gives a key ID that ends the field", "AKIA/x,y", secretText, /^access_key_id: the value has/],
];
for (const [name, id, key, problem] of badSources) {
  test(`A-15, I14 attack 33: answers 502 when a source ${name}, and shows nothing of it`, async () => {
    const exchange = signedBy("us-east-1/dynamodb", { url: dynamo });
    const rejection = await refused(awsAuthWith({}, { id, key }), exchange);
    assert.deepEqual([rejection.status, rejection.reason], [502, "credential_unavailable"]);
    assert.equal(exchange.annotations["credential"], "static");
    assert.match(exchange.annotations["error"] as string, problem);
    assert.doesNotMatch(JSON.stringify([rejection, exchange.annotations]), new RegExp(secretText));
  });
}

test("waits for sources that are not cached, and uses a rotated key at once", async () => {
  let key = "first-key-of-two";
  const built = awsAuthWith({}, { id: async () => keys.accessKeyId, key: async () => key });
  const outcome = async (): Promise<readonly string[]> => {
    const exchange = signedBy("us-east-1/dynamodb", { url: dynamo });
    await signs(built, exchange);
    return verifySigV4(await sentRequest(exchange), { ...keys, secretAccessKey: key }).problems;
  };
  assert.deepEqual(await outcome(), []);
  key = "second-key-of-two";
  assert.deepEqual(await outcome(), []);
});

test("answers 502 when a source fails later", async () => {
  const built = awsAuthWith(
    {},
    { id: keys.accessKeyId, key: () => Promise.reject(new SourceError(secretText)) },
  );
  const rejection = await refused(built, signedBy("us-east-1/dynamodb", { url: dynamo }));
  assert.equal(rejection.reason, "credential_unavailable");
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

const paths: readonly [path: string, why: string][] = [
  ["/a%20b", "a space"],
  ["/%E2%82%AC/%C3%A9", "characters beyond ASCII"],
  ["/a%2Fb", "an escaped slash"],
  ["/a//b/", "empty segments"],
  ["/(a)!'*~", "reserved characters"],
  ["/a%2Bb=c@d:e,f$g&h;i", "more reserved characters"],
  ["/%7Euser", "an escaped tilde"],
];
for (const [path, why] of paths) {
  for (const [service, url] of [
    ["s3", s3],
    ["execute-api", "https://x.execute-api.eu-west-1.amazonaws.com"],
  ] as const) {
    test(`A-20: signs a ${service} path with ${why} and sends it byte for byte`, async () => {
      const exchange = signedBy(`eu-west-1/${service}`, { url: `${url}${path}?b=%20x&a=1&a=0&flag` });
      await signs(awsAuthWith(), exchange);
      const sent = await sentRequest(exchange);
      assert.equal(sent.target, `${path}?b=%20x&a=1&a=0&flag`);
      // aws4 looks at the first of repeated S3 parameters only, so it is asked about one.
      const single =
        service === "s3" ? signedBy("eu-west-1/s3", { url: `${url}${path}?b=%20x&a=1&flag` }) : exchange;
      if (single !== exchange) await signs(awsAuthWith(), single);
      assert.deepEqual(verifySigV4(await sentRequest(single), keys).problems, []);
    });
  }
}

test("agrees with another implementation about any path, query and header", async () => {
  const text = fc
    .string({ unit: "grapheme-composite", minLength: 1, maxLength: 8 })
    .filter((part) => !/^\.+$/.test(part));
  const encoded = text.map((part) => encodeURIComponent(part));
  const value = fc.stringMatching(/^[!-~][ -~]{0,20}$/);
  const requests = fc.record({
    service: fc.constantFrom("s3", "execute-api"),
    path: fc.array(encoded, { maxLength: 4 }).map((parts) => `/${parts.join("/")}`),
    query: fc.uniqueArray(fc.tuple(encoded, encoded), { maxLength: 4, selector: ([name]) => name }),
    headers: fc.uniqueArray(fc.tuple(fc.constantFrom("x-amz-meta-a", "X-Amz-B", "Content-Type"), value), {
      selector: ([name]) => name,
    }),
    body: fc.string({ maxLength: 10 }),
  });
  const built = awsAuthWith({ match_scope_to_host: false });
  await fc.assert(
    fc.asyncProperty(requests, async ({ service, path, query, headers, body }) => {
      const url = `https://example.com${path}?${query.map((pair) => pair.join("=")).join("&")}`;
      const exchange = signedBy(`us-east-1/${service}`, { method: "POST", url, headers, body });
      await signs(built, exchange);
      assert.deepEqual(verifySigV4(await sentRequest(exchange), keys).problems, []);
    }),
    { numRuns: 300 },
  );
});

test("sends a bare plus in the query as the space that servers decode", async () => {
  const exchange = signedBy("us-east-1/s3", { url: "https://s3.us-east-1.amazonaws.com/b?prefix=a+b" });
  await signs(awsAuthWith(), exchange);
  const sent = await sentRequest(exchange);
  assert.equal(sent.target, "/b?prefix=a%20b");
  assert.deepEqual(verifySigV4(sent, keys).problems, []);
});

test("joins repeated headers and folds spaces as the standard says, and signs nothing a hop may change", async () => {
  const exchange = signedBy("eu-west-1/s3", {
    url: `${s3}/k`,
    headers: [
      ["x-amz-meta-a", "  one   two\tthree "],
      ["x-amz-meta-b", "1"],
      ["X-Amz-Meta-B", "2"],
      ["If-None-Match", '"x"'],
      ["Content-Type", "text/plain;  charset=utf-8"],
      ["Accept-Encoding", "gzip"],
      ["User-Agent", "aws-sdk"],
      ["X-Amzn-Trace-Id", "Root=1"],
      ["TE", "trailers"],
      ["Via", "1.1 x"],
    ],
  });
  await signs(awsAuthWith(), exchange);
  const { problems, signedHeaders } = verifySigV4(await sentRequest(exchange), keys);
  assert.deepEqual(problems, []);
  assert.deepEqual(signedHeaders, [
    "content-type",
    "host",
    "if-none-match",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-meta-a",
    "x-amz-meta-b",
  ]);
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

test("names its rules and sources for the start-up checks", () => {
  const { transform } = awsAuthWith({ session_token: { type: "test", name: "token" } });
  assert.equal(transform.credentialRules?.length, 1);
  assert.deepEqual(
    transform.secrets?.map(({ name }) => name),
    ["id", "key", "token"],
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyTooLargeError } from "../../src/http/body.ts";
import { bodyCapture } from "../../src/transforms/body-capture.ts";
import { secrets } from "../../src/transforms/secrets/index.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { fakeExchange, type FakeRequest, streamedBody } from "../helpers/exchange.ts";

const rules = [{ host: "api.example.com" }, { host: "*.example.com" }];

async function capture(config: Record<string, unknown>, request: FakeRequest) {
  const { transform } = buildTransform(bodyCapture, { rules, ...config });
  const exchange = fakeExchange({ method: "POST", ...request });
  assert.equal(await transform.onRequest?.(exchange), undefined);
  return { exchange, captured: exchange.bodyCapture, annotations: exchange.annotations };
}

test("records the exact body and how much of it", async () => {
  for (const body of ['{"a":"é"}', streamedBody('{"a":', '"é"}')]) {
    const { exchange, captured, annotations } = await capture({}, { body });
    assert.deepEqual(captured, { request_body: '{"a":"é"}', request_body_truncated: false });
    assert.deepEqual(annotations, { captured_bytes: 10, truncated: false });
    assert.equal(exchange.request.body.bytes?.toString(), '{"a":"é"}');
  }
});

test("records nothing where no rule matches, and nothing of an empty body", async () => {
  const elsewhere = await capture({}, { url: "https://other.com/", body: streamedBody("x") });
  assert.equal(elsewhere.captured, undefined);
  assert.equal(elsewhere.exchange.request.body.bytes, undefined);
  for (const body of ["", streamedBody()]) {
    const { captured, annotations } = await capture({}, { body });
    assert.equal(captured, undefined);
    assert.deepEqual(annotations, {});
  }
});

const cuts: [
  title: string,
  body: Buffer | string,
  limit: number,
  text: string,
  bytes: number,
  truncated: boolean,
][] = [
  ["before a character that the limit cuts", "ab€", 4, "ab", 2, true],
  ["after one that fits", "ab€c", 5, "ab€", 5, true],
  ["a four-byte character", "a😀b", 4, "a", 1, true],
  ["exactly at the limit", "abcd", 4, "abcd", 4, false],
  ["bytes that are no text keep their tail", Buffer.alloc(8, 0x80), 4, "\ufffd".repeat(4), 4, true],
  ["the default", "x".repeat(20_000), 0, "x".repeat(16_384), 16_384, true],
  ["a negative limit is the default", "x".repeat(20_000), -1, "x".repeat(16_384), 16_384, true],
];

for (const [title, body, limit, text, bytes, truncated] of cuts) {
  test(`cuts ${title}`, async () => {
    const { captured, annotations, exchange } = await capture({ max_request_body_bytes: limit }, { body });
    assert.deepEqual(captured, { request_body: text, request_body_truncated: truncated });
    assert.deepEqual(annotations, { captured_bytes: bytes, truncated });
    assert.equal(exchange.request.body.length, Buffer.byteLength(body));
  });
}

test("a body over the proxy's own limit is refused, not cut", async () => {
  await assert.rejects(
    capture({}, { body: streamedBody("x".repeat(11)), maxRequestBody: 10 }),
    BodyTooLargeError,
  );
});

test("I14: a body in which a credential was put is not recorded; before the swap it shows the placeholder", async () => {
  const { transform } = buildTransform(
    secrets,
    {
      secrets: [
        {
          source: { type: "test", name: "A" },
          rules,
          replace: { proxy_value: "placeholder-1", match_body: true },
        },
      ],
    },
    { A: "canary" },
  );
  const recorder = buildTransform(bodyCapture, { rules }).transform;
  const after = fakeExchange({ method: "POST", body: "placeholder-1" });
  assert.equal(await transform.onRequest?.(after), undefined);
  assert.equal(await recorder.onRequest?.(after), undefined);
  assert.equal(after.request.body.bytes?.toString(), "canary");
  assert.equal(after.bodyCapture, undefined);
  assert.equal(after.annotations["skipped"], "body_has_credential");
  const before = fakeExchange({ method: "POST", body: "placeholder-1" });
  assert.equal(await recorder.onRequest?.(before), undefined);
  assert.equal(await transform.onRequest?.(before), undefined);
  assert.equal(before.bodyCapture?.request_body, "placeholder-1");
  assert.equal(before.request.body.bytes?.toString(), "canary");
});

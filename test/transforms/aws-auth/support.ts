import assert from "node:assert/strict";
import type { BodySource } from "../../../src/http/body.ts";
import type { Rejection } from "../../../src/pipeline/types.ts";
import { makeAwsAuth } from "../../../src/transforms/aws-auth/index.ts";
import { type Built, buildTransform, type FakeSource } from "../../helpers/build-transform.ts";
import { type FakeExchange, fakeExchange, type FakeRequest, streamedBody } from "../../helpers/exchange.ts";

/** The keys of Amazon's published examples. */
export const keys = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
export const dummySecret = "placeholder-secret-that-signs-nothing";
export const now = Date.UTC(2025, 0, 2, 3, 4, 5);

export const staticKeys = {
  access_key_id: { type: "test", name: "id" },
  secret_access_key: { type: "test", name: "key" },
};
export const anyHost = { rules: [{ host: "*" }] };

export const s3 = "https://bucket.s3.eu-west-1.amazonaws.com";
export const dynamo = "https://dynamodb.us-east-1.amazonaws.com/";

/** An `aws_auth` with the published keys, unless other sources are given. */
export function awsAuthWith(
  config: Record<string, unknown> = {},
  sources: Record<string, FakeSource> = { id: keys.accessKeyId, key: keys.secretAccessKey },
  time: () => number = () => now,
): Built {
  const built = buildTransform(makeAwsAuth({ now: time }), { ...staticKeys, ...anyHost, ...config }, sources);
  assert.deepEqual(built.errors, []);
  return built;
}

/** `Authorization` as a client with placeholder keys sends it. */
export function placeholderAuthorization(scope: string, headers = "host"): [string, string] {
  const credential = `Credential=AKIAPLACEHOLDER/20250101/${scope}/aws4_request`;
  return ["Authorization", `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${headers}, Signature=abc`];
}

export function signedBy(scope: string, request: FakeRequest): FakeExchange {
  return fakeExchange({ ...request, headers: [placeholderAuthorization(scope), ...(request.headers ?? [])] });
}

/** A body that is not in memory yet and whose length is known. */
export function sourceOf(text: string, length: number | undefined = text.length): BodySource {
  return { ...streamedBody(text), length };
}

/** Runs a transform and expects a refusal; checks that it says its reason everywhere. */
export async function refused({ transform }: Built, exchange: FakeExchange): Promise<Rejection> {
  const verdict = await transform.onRequest?.(exchange);
  assert.equal(verdict?.kind, "reject");
  const rejection = verdict;
  assert.equal(exchange.annotations["rejected"], rejection.reason);
  assert.equal(exchange.annotations["injected"], undefined);
  return rejection;
}

/** Runs a transform and expects the request to go on. */
export async function signs({ transform }: Built, exchange: FakeExchange): Promise<void> {
  assert.equal(await transform.onRequest?.(exchange), undefined);
  assert.ok(exchange.annotations["injected"], "nothing was injected");
}

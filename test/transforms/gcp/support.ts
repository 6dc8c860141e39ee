import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { TestContext } from "node:test";
import { jwtVerify } from "jose";
import { Agent, type Dispatcher } from "undici";
import type { TransformKind } from "../../../src/pipeline/types.ts";
import { SourceRegistry } from "../../../src/sources/registry.ts";
import { makeGcpAuth } from "../../../src/transforms/gcp/gcp-auth.ts";
import { makeGcpIdToken } from "../../../src/transforms/gcp/gcp-id-token.ts";
import type { GcpOptions } from "../../../src/transforms/gcp/token-source.ts";
import { buildTransform, type Built, type FakeSource } from "../../helpers/build-transform.ts";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import {
  type Issuer,
  type IssuerAnswer,
  startIssuer,
  type TokenRequestSeen,
} from "../oauth-token/fixture.ts";

export type Config = Record<string, unknown>;

/** Keys are costly to make; the tests of a file share these. */
export const [key, otherKey] = [newKey(), newKey()];

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { pem: privateKey.export({ type: "pkcs8", format: "pem" }), publicKey };
}

export const email = "robot@project.iam.gserviceaccount.com";

/** A service account's key file that has its tokens issued at `tokenUri`. */
export function keyfileOf(tokenUri: string, more: Config = {}): string {
  const account = {
    type: "service_account",
    client_email: email,
    private_key: key.pem,
    private_key_id: "kid-1",
  };
  return JSON.stringify({ ...account, token_uri: tokenUri, ...more });
}

/** Claims of an assertion that a request to the token endpoint carries, after its signature was verified. */
export async function claimsOf(
  request: TokenRequestSeen | undefined,
  publicKey = key.publicKey,
  at = Date.now(),
) {
  const form = new URLSearchParams(request?.body);
  assert.deepEqual([...form.keys()].toSorted(), ["assertion", "grant_type"]);
  assert.equal(form.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
  const options = { algorithms: ["RS256"], currentDate: new Date(at) };
  return jwtVerify(form.get("assertion") ?? "", publicKey, options);
}

/** A token endpoint whose access tokens are `token-1`, `token-2`, ... */
export function startGoogle(
  t: TestContext,
  answer: (request: TokenRequestSeen, index: number) => IssuerAnswer = (_, index) => ({
    body: { access_token: `token-${index + 1}`, expires_in: 3599, token_type: "Bearer" },
  }),
): Promise<Issuer> {
  return startIssuer(t, answer);
}

/** An unsigned JWT with some claims. */
export function jwtOf(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.c2ln`;
}

export const rules = [{ host: "*.googleapis.com" }, { host: "*.run.app" }];
export const scopes = ["https://www.googleapis.com/auth/cloud-platform"];
export const source = { type: "test", name: "keyfile" };

export interface Setup {
  readonly options?: GcpOptions;
  readonly dispatcher?: Dispatcher;
}

/** Builds `gcp_auth` with a key file from a source named `keyfile`. */
export function buildAuth(
  t: TestContext,
  config: Config,
  keyfile?: FakeSource,
  { options = {}, dispatcher = agent(t) }: Setup = {},
): Built {
  const whole = { scopes, rules, ...(keyfile === undefined ? {} : { keyfile: source }), ...config };
  return buildTransform(makeGcpAuth(options), whole, sourcesOf(keyfile), dispatcher);
}

/** Builds `gcp_id_token` with a key file from a source named `keyfile`. */
export function buildIdToken(
  t: TestContext,
  config: Config,
  keyfile?: FakeSource,
  { options = {}, dispatcher = agent(t) }: Setup = {},
): Built {
  const whole = {
    audience: "https://service.run.app",
    rules,
    ...(keyfile === undefined ? {} : { keyfile: source }),
    ...config,
  };
  return buildTransform(makeGcpIdToken(options), whole, sourcesOf(keyfile), dispatcher);
}

function sourcesOf(keyfile: FakeSource | undefined): Record<string, FakeSource> {
  return keyfile === undefined ? {} : { keyfile };
}

/** The same kind, with sources as the proxy makes them. */
export function withRealSources(t: TestContext, kind: TransformKind): TransformKind {
  const registry = new SourceRegistry({ env: {}, onWarning: () => {} });
  t.after(() => registry.close());
  return {
    ...kind,
    build: (config, context) =>
      kind.build(config, {
        ...context,
        secret: (path, given) => registry.handle(given, (at, text) => context.error([...path, ...at], text)),
      }),
  };
}

/** Connections that end with the test. */
export function agent(t: TestContext): Agent {
  const made = new Agent();
  t.after(() => made.destroy());
  return made;
}

export interface Sent {
  readonly exchange: FakeExchange;
  readonly verdict: unknown;
  readonly authorization: string | undefined;
  /** Everything a workload or an operator can see of it. */
  readonly shown: string;
}

export const url = "https://storage.googleapis.com/storage/v1/b/bucket";

/** Sends one request through. */
export async function send({ transform, errors, logs }: Built, request: FakeRequest = {}): Promise<Sent> {
  assert.deepEqual(errors, []);
  const exchange = fakeExchange({ url, ...request });
  const verdict = await transform.onRequest?.(exchange);
  const authorization = exchange.request.headers.get("authorization");
  return { exchange, verdict, authorization, shown: JSON.stringify([verdict, exchange.annotations, logs]) };
}

export const unavailable = { kind: "reject", status: 403, reason: "token_unavailable" };

/** Waits until something is so. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 400, "it never became so");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

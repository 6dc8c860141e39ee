import assert from "node:assert/strict";
import { test } from "node:test";
import { makeGcpIdToken } from "../../../src/transforms/gcp/gcp-id-token.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import type { Issuer } from "../oauth-token/fixture.ts";
import {
  buildIdToken,
  claimsOf,
  type Config,
  email,
  jwtOf,
  key,
  keyfileOf,
  rules,
  send,
  source,
  startGoogle,
  unavailable,
  withRealSources,
} from "./support.ts";

const audience = "https://service.run.app";
const url = `${audience}/reports`;
const one = 'gcp_id_token: requires exactly one of "keyfile_path" or "keyfile"';

const mistakes: [title: string, config: Config, error: string][] = [
  ["no key file", { audience, rules }, `: ${one}`],
  ["two key files", { audience, rules, keyfile: source, keyfile_path: "/k.json" }, `: ${one}`],
  ["no audience", { rules, keyfile: source }, 'audience: gcp_id_token: "audience" is required'],
  [
    "no rules",
    { audience, keyfile: source },
    'rules: gcp_id_token: at least one entry in "rules" is required',
  ],
  [
    "another header",
    { audience, rules, keyfile: source, header: "x-api-key" },
    'header: gcp_id_token: "header" must be "authorization" or "x-serverless-authorization"',
  ],
];

for (const [title, config, error] of mistakes) {
  test(`G-11: refuses at load: ${title}`, () => {
    assert.deepEqual(buildTransform(makeGcpIdToken(), config).errors, [error]);
  });
}

test("G-06: a mistake in the key file's source is told at load", (t) => {
  const kind = withRealSources(t, makeGcpIdToken());
  const { errors } = buildTransform(kind, { keyfile: { type: "env" }, audience, rules });
  assert.deepEqual(errors, ['keyfile: env source requires "var" field']);
});

const seconds = (ms = Date.now()) => Math.floor(ms / 1000);

/** Google issuing ID tokens with some claims. */
function startIdp(t: Parameters<typeof startGoogle>[0], claims: () => object): Promise<Issuer> {
  return startGoogle(t, () => ({ body: { id_token: jwtOf(claims()) } }));
}

const good = () => ({ aud: audience, iat: seconds(), exp: seconds() + 3600 });

test("G-11: an ID token by an assertion with target_audience, kept and then given at once", async (t) => {
  const google = await startIdp(t, good);
  const built = buildIdToken(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint), {
    options: { now: () => 1_700_000_000_000 },
  });
  const { verdict, authorization, exchange } = await send(built, { url });
  assert.equal(verdict, undefined);
  assert.match(authorization ?? "", /^Bearer ey[\w-]+\.ey[\w-]+\.[\w-]+$/);
  const injected = ["header:Authorization"];
  assert.deepEqual(exchange.annotations, { service_account: email, audience, injected });
  const { payload } = await claimsOf(google.requests[0], key.publicKey, 1_700_000_000_000);
  assert.equal(
    JSON.stringify(payload),
    `{"iss":"${email}","aud":"${google.endpoint}","exp":1700003590,"iat":1699999990,"target_audience":"${audience}"}`,
  );
});

test("the token is kept, and given without a promise", async (t) => {
  const google = await startIdp(t, good);
  const built = buildIdToken(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  await Promise.all([send(built, { url }), send(built, { url })]);
  const exchange = fakeExchange({ url });
  assert.equal(built.transform.onRequest?.(exchange), undefined);
  assert.ok(exchange.request.headers.has("authorization"));
  assert.equal(google.requests.length, 1);
});

for (const header of ["x-serverless-authorization", " X-Serverless-Authorization "]) {
  test(`G-11: header ${JSON.stringify(header)} leaves Authorization alone`, async (t) => {
    const google = await startIdp(t, good);
    const config = { header, allow_token_uri: [google.authority] };
    const built = buildIdToken(t, config, keyfileOf(google.endpoint));
    const own = [["Authorization", "Bearer own"]] as const;
    const { exchange, authorization } = await send(built, { url, headers: own });
    assert.equal(authorization, "Bearer own");
    assert.match(exchange.request.headers.get("x-serverless-authorization") ?? "", /^Bearer ey/);
    assert.deepEqual(exchange.annotations["injected"], ["header:X-Serverless-Authorization"]);
  });
}

test("I5: the place that it writes to is the one that it claims", async (t) => {
  const google = await startIdp(t, good);
  const config = { allow_token_uri: [google.authority] };
  const taken = fakeExchange({ url });
  taken.claim("authorization");
  const skipping = buildIdToken(t, config, keyfileOf(google.endpoint)).transform;
  assert.equal(skipping.onRequest?.(taken), undefined);
  assert.deepEqual(taken.annotations, { skipped: "credential_already_applied" });
  const serverless = { ...config, header: "x-serverless-authorization" };
  await buildIdToken(t, serverless, keyfileOf(google.endpoint)).transform.onRequest?.(taken);
  assert.ok(taken.claimed("x-serverless-authorization"));
});

const lifetimes: [title: string, skew: number, claims: (now: number) => object, served: boolean][] = [
  ["a clock ten minutes behind", -600, (now) => ({ iat: now, exp: now + 3600 }), true],
  ["a clock ten minutes ahead", 600, (now) => ({ iat: now, exp: now + 3600 }), true],
  ["a short token and a clock ten minutes ahead", 600, (now) => ({ iat: now, exp: now + 300 }), true],
  ["no iat", 0, (now) => ({ exp: now + 3600 }), true],
  ["a token that expired", 0, (now) => ({ iat: now - 7200, exp: now - 3600 }), false],
  ["a token that expired, without iat", 0, (now) => ({ exp: now - 1 }), false],
];

for (const [title, skew, claims, served] of lifetimes) {
  test(`${title}: ${served ? "the token is used and kept" : "403 token_expired"}`, async (t) => {
    const google = await startIdp(t, () => claims(seconds()));
    const config = { allow_token_uri: [google.authority] };
    const options = { now: () => Date.now() + skew * 1000 };
    const built = buildIdToken(t, config, keyfileOf(google.endpoint), { options });
    const { verdict, exchange } = await send(built, { url });
    assert.deepEqual(verdict, served ? undefined : unavailable);
    if (!served) assert.equal(exchange.annotations["error"], "token_expired");
    await send(built, { url });
    assert.equal(google.requests.length, 1);
  });
}

const failures: [title: string, status: number, body: unknown, reason: string][] = [
  ["no id_token", 200, { access_token: "hunter2" }, "mint_failed"],
  ["an id_token that is no JWT", 200, { id_token: "hunter2" }, "mint_failed"],
  ["an id_token without expiry", 200, { id_token: jwtOf({ hunter2: 1 }) }, "mint_failed"],
  ["an error", 403, { message: "hunter2" }, "token_endpoint_http_403"],
  ["HTML", 500, "<p>hunter2", "token_endpoint_http_500"],
];

for (const [title, status, body, reason] of failures) {
  test(`G-11 I4 I14: the issuer answers with ${title}: 403, and nothing of it is shown`, async (t) => {
    const google = await startGoogle(t, () => ({ status, body }));
    const config = { allow_token_uri: [google.authority] };
    const built = buildIdToken(t, config, keyfileOf(google.endpoint));
    const { verdict, authorization, exchange, shown } = await send(built, { url });
    assert.deepEqual([verdict, authorization], [unavailable, undefined]);
    assert.deepEqual(exchange.annotations, { error: reason, rejected: "token_unavailable" });
    assert.match(shown, /gcp_id_token mint failed/);
    assert.doesNotMatch(shown, /hunter2|BEGIN|aHVudGVy/);
  });
}

test("G-11: a missing key file: mint_failed", async (t) => {
  const kind = withRealSources(t, makeGcpIdToken());
  const built = buildTransform(kind, { keyfile_path: "/nonexistent/key.json", audience, rules });
  const { verdict, exchange } = await send(built, { url });
  assert.deepEqual(verdict, unavailable);
  assert.equal(exchange.annotations["error"], "mint_failed");
});

test("explains what would happen, without asking for anything", (t) => {
  const built = buildIdToken(t, {}, () => assert.fail("the source was asked"));
  const explain = (target: string) => built.transform.explain?.(fakeExchange({ url: target }));
  const line = `gcp_id_token: rules match; would set header Authorization for audience ${audience}`;
  assert.deepEqual(explain(url), [line]);
  assert.equal(explain("https://oauth2.googleapis.com/token")?.length, 2);
});

import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeGcpAuth } from "../../../src/transforms/gcp/gcp-auth.ts";
import { credentialOperations } from "../../../src/transforms/gcp/operations.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import { fakeClock } from "../../sources/fake-clock.ts";
import { never } from "../oauth-token/fixture.ts";
import {
  agent,
  buildAuth,
  claimsOf,
  type Config,
  email,
  key,
  keyfileOf,
  otherKey,
  rules,
  scopes,
  send,
  source,
  startGoogle,
  unavailable,
  until,
  url,
  withRealSources,
} from "./support.ts";

const one = 'gcp_auth: requires exactly one of "keyfile_path", "keyfile", or "credentials_provider"';
const provider = { type: "workload_identity" };

const mistakes: [title: string, config: Config, error: string][] = [
  ["G-01: no credential", { scopes, rules }, `: ${one}`],
  ["G-01: two credentials", { keyfile: source, keyfile_path: "/k.json", scopes, rules }, `: ${one}`],
  [
    "G-01: a source and a provider",
    { keyfile: source, credentials_provider: provider, scopes, rules },
    `: ${one}`,
  ],
  [
    "G-01: no scopes",
    { keyfile: source, rules },
    'scopes: gcp_auth: at least one entry in "scopes" is required',
  ],
  [
    "scopes in one string",
    { keyfile: source, scopes: ["a b"], rules },
    "scopes.0: gcp_auth: a scope is one word; list each by itself",
  ],
  [
    "G-01: subject with a provider",
    { credentials_provider: provider, subject: "a@x.io", scopes, rules },
    'subject: gcp_auth: "subject" cannot be combined with "credentials_provider": delegation needs a key file',
  ],
  [
    "a provider without type",
    { credentials_provider: {}, scopes, rules },
    "credentials_provider: gcp_auth: credentials_provider.type is required",
  ],
  [
    "a provider of another type",
    { credentials_provider: { type: "vault" }, scopes, rules },
    'credentials_provider.type: gcp_auth: unsupported credentials_provider type "vault"; the only one is "workload_identity"',
  ],
  [
    "attack 48: no rules, which would send the token everywhere",
    { keyfile: source, scopes },
    'rules: gcp_auth: at least one entry in "rules" is required',
  ],
  [
    "an operation nobody knows",
    { keyfile: source, scopes, rules, allowed_operations: ["SignBlob"] },
    `allowed_operations.0: gcp_auth: "SignBlob" is none of ${credentialOperations.join(", ")}`,
  ],
  ...["https://idp.example.com/token", "", "a:99999", "a b"].map((host): [string, Config, string] => [
    `allow_token_uri ${JSON.stringify(host)}`,
    { keyfile: source, scopes, rules, allow_token_uri: [host] },
    `allow_token_uri.0: gcp_auth: ${JSON.stringify(host)} is not a host; write a host, with a port if it is not 443: idp.example.com, 127.0.0.1:8443`,
  ]),
];

for (const [title, config, error] of mistakes) {
  test(`refuses at load: ${title}`, () => {
    assert.deepEqual(buildTransform(makeGcpAuth(), config).errors, [error]);
  });
}

test("G-06: a mistake in the key file's source is told at load", (t) => {
  const kind = withRealSources(t, makeGcpAuth());
  const { errors } = buildTransform(kind, { keyfile: { type: "env" }, scopes, rules });
  assert.deepEqual(errors, ['keyfile: env source requires "var" field']);
});

test("G-03: a key file from a source: a token by an assertion that verifies", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(
    t,
    { scopes: ["a", "b"], allow_token_uri: [google.authority] },
    keyfileOf(google.endpoint),
    { options: { now: () => 1_700_000_000_000 } },
  );
  const { verdict, exchange } = await send(built, {
    headers: [["authorization", "Bearer iron-proxy-stub-token"]],
  });
  assert.equal(verdict, undefined);
  assert.deepEqual([...exchange.request.headers], [["Authorization", "Bearer token-1"]]);
  assert.deepEqual(exchange.annotations, { service_account: email, injected: ["header:Authorization"] });
  const { payload, protectedHeader } = await claimsOf(google.requests[0], key.publicKey, 1_700_000_000_000);
  assert.deepEqual(protectedHeader, { alg: "RS256", typ: "JWT", kid: "kid-1" });
  assert.equal(
    JSON.stringify(payload),
    `{"iss":"${email}","scope":"a b","aud":"${google.endpoint}","exp":1700003590,"iat":1699999990}`,
  );
});

test("G-10: sub only with subject; the key file's audience overrides aud", async (t) => {
  const google = await startGoogle(t);
  const keyfile = keyfileOf(google.endpoint, { audience: "https://aud.example/", private_key_id: undefined });
  await send(buildAuth(t, { subject: "alice@x.io", allow_token_uri: [google.authority] }, keyfile));
  const { payload, protectedHeader } = await claimsOf(google.requests[0]);
  assert.deepEqual(
    [payload.sub, payload["prn"], payload.aud],
    ["alice@x.io", "alice@x.io", "https://aud.example/"],
  );
  assert.equal("kid" in protectedHeader, false);
});

test("G-04: rules restrict, and five requests share one mint and then get a plain value", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  const elsewhere = await send(built, { url: "https://example.com/" });
  assert.deepEqual(
    [elsewhere.verdict, elsewhere.authorization, google.requests.length],
    [undefined, undefined, 0],
  );
  assert.deepEqual(elsewhere.exchange.annotations, {});
  const sent = await Promise.all(Array.from({ length: 5 }, () => send(built)));
  assert.deepEqual(new Set(sent.map(({ authorization }) => authorization)), new Set(["Bearer token-1"]));
  assert.equal(built.transform.onRequest?.(fakeExchange({ url })), undefined);
  assert.equal(google.requests.length, 1);
});

test("G-03 credentials.md 13 (16): a key file that was replaced is used without a restart", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-gcp-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "key.json");
  const google = await startGoogle(t);
  writeFileSync(path, keyfileOf(google.endpoint));
  const kind = withRealSources(t, makeGcpAuth());
  const config = { keyfile_path: path, scopes, rules, allow_token_uri: [google.authority] };
  const built = buildTransform(kind, config, {}, agent(t));
  assert.equal((await send(built)).authorization, "Bearer token-1");
  writeFileSync(`${path}.new`, keyfileOf(google.endpoint, { private_key: otherKey.pem }));
  renameSync(`${path}.new`, path);
  await until(() => {
    void built.transform.onRequest?.(fakeExchange({ url })); // served with the old token meanwhile
    return google.requests.length === 2;
  });
  await claimsOf(google.requests[1], otherKey.publicKey);
});

test("G-05: a missing key file refuses the request and leaves it without a header", async (t) => {
  const kind = withRealSources(t, makeGcpAuth());
  const path = "/nonexistent/key.json";
  const built = buildTransform(kind, { keyfile_path: path, scopes, rules });
  const { verdict, authorization, exchange } = await send(built);
  assert.deepEqual([verdict, authorization], [unavailable, undefined]);
  assert.deepEqual(exchange.annotations, { error: "mint_failed", rejected: "token_unavailable" });
  assert.match(JSON.stringify(built.logs), /nonexistent\/key\.json.*does not exist/);
});

const badKeyfiles: [title: string, make: (endpoint: string) => string, problem: RegExp][] = [
  ["text", () => "hunter2-hunter2", /the key file is not a JSON object/],
  ["a JSON string", () => '"hunter2-hunter2"', /the key file is not a JSON object/],
  ["another type", (uri) => keyfileOf(uri, { type: "authorized_user" }), /is not \\"service_account\\"/],
  ["no client_email", (uri) => keyfileOf(uri, { client_email: "" }), /has no client_email/],
  ["no private_key", (uri) => keyfileOf(uri, { private_key: undefined }), /has no private_key/],
  [
    "a broken key",
    (uri) => keyfileOf(uri, { private_key: "hunter2-hunter2" }),
    /not an unencrypted private key/,
  ],
  [
    "a token_uri elsewhere",
    () => keyfileOf("https://hunter2-hunter2.example/t"),
    /token_uri of the key file is not at a host of Google's; list its host in allow_token_uri/,
  ],
  [
    "a plain token_uri of Google's",
    () => keyfileOf("http://oauth2.googleapis.com/token"),
    /not an https URL/,
  ],
  ["another port of Google's", () => keyfileOf("https://oauth2.googleapis.com:8443/token"), /not at a host/],
  [
    "a look-alike of Google's",
    () => keyfileOf("https://oauth2.googleapis.com.evil.example/"),
    /not at a host/,
  ],
  ["a token_uri with a password", (uri) => keyfileOf(uri.replace("//", "//u:hunter2-hunter2@")), /user name/],
  [
    "a token_uri on this machine that is not listed",
    () => keyfileOf("http://127.0.0.1:9/token"),
    /not at a host/,
  ],
  ["a token_uri that is none", () => keyfileOf("hunter2-hunter2"), /is not a URL/],
];

for (const [title, make, problem] of badKeyfiles) {
  test(`I4 I14: ${title} in the key file: 403, nothing asked, nothing shown`, async (t) => {
    const google = await startGoogle(t);
    const built = buildAuth(t, { allow_token_uri: [google.authority] }, make(google.endpoint));
    const { verdict, authorization, exchange, shown } = await send(built);
    assert.deepEqual([verdict, authorization], [unavailable, undefined]);
    assert.deepEqual(exchange.annotations, { error: "mint_failed", rejected: "token_unavailable" });
    assert.match(shown, problem);
    assert.doesNotMatch(shown, /hunter2|evil|BEGIN/);
    assert.equal(google.requests.length, 0);
  });
}

const badAnswers: [title: string, status: number, body: unknown, reason: string][] = [
  ["invalid_grant", 400, { error: "invalid_grant", error_description: "hunter2" }, "invalid_grant"],
  ["a server error", 500, "hunter2", "token_endpoint_http_500"],
  ["HTML", 200, "<html>hunter2</html>", "mint_failed"],
  ["no token", 200, { id_token: "hunter2" }, "mint_failed"],
  ["a token with a line break", 200, { access_token: "hunter2\r\nX: y" }, "mint_failed"],
  ["an expired token", 200, { access_token: "hunter2", expires_in: -5 }, "token_expired"],
  ["a redirect", 302, "hunter2", "token_endpoint_http_302"],
];

for (const [title, status, body, reason] of badAnswers) {
  test(`I4 I14: the issuer answers with ${title}`, async (t) => {
    const google = await startGoogle(t, () => ({
      status,
      body,
      headers: { Location: "http://127.0.0.1:1/" },
    }));
    const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
    const { verdict, exchange, shown } = await send(built);
    assert.deepEqual(verdict, unavailable);
    assert.deepEqual(exchange.annotations, { error: reason, rejected: "token_unavailable" });
    assert.doesNotMatch(shown, /hunter2/);
    await send(built);
    assert.equal(google.requests.length, 1, "a failing issuer is left alone");
  });
}

test("an issuer that never answers is given up after ten seconds, once for all who wait", async (t) => {
  const clock = fakeClock();
  const google = await startGoogle(t, () => ({ body: never }));
  const config = { allow_token_uri: [google.authority] };
  const built = buildAuth(t, config, keyfileOf(google.endpoint), { options: { clock } });
  const waiting = Promise.all([send(built), send(built)]);
  await until(() => google.requests.length === 1);
  clock.advance(10_000);
  for (const { verdict } of await waiting) assert.deepEqual(verdict, unavailable);
});

test("a token without expiry is used", async (t) => {
  const google = await startGoogle(t, () => ({ body: { access_token: "t" } }));
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  await send(built);
  assert.equal((await send(built)).authorization, "Bearer t");
  assert.equal(google.requests.length, 1);
});

test("a clock that is ten minutes wrong is told of when the issuer minds it", async (t) => {
  const Date_ = new Date(Date.now() - 600_000).toUTCString();
  const google = await startGoogle(t, () => ({
    status: 400,
    headers: { Date: Date_ },
    body: { error: "invalid_grant" },
  }));
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  assert.match((await send(built)).shown, /clock is (?:600|601) s ahead of the issuer's/);
});

test("I5: an earlier credential stays, and nothing is minted", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  const exchange = fakeExchange({ url, headers: [["Authorization", "Bearer first"]] });
  assert.ok(exchange.claim("authorization"));
  assert.equal(await built.transform.onRequest?.(exchange), undefined);
  assert.deepEqual(exchange.annotations, { skipped: "credential_already_applied" });
  assert.equal(exchange.request.headers.get("authorization"), "Bearer first");
  assert.equal(google.requests.length, 0);
});

test("I6: no token over plain HTTP", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  const { verdict, authorization } = await send(built, { url: url.replace("https", "http") });
  assert.deepEqual(
    [(verdict as { reason: string }).reason, authorization],
    ["plaintext_upstream", undefined],
  );
});

test("I2: it has no part in opening a tunnel", (t) => {
  assert.equal(buildAuth(t, {}, "x").transform.onTunnel, undefined);
});

const iam = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b";
const handOut: [method: string, url: string, operation: string][] = [
  ["POST", `${iam}:generateAccessToken`, "generateAccessToken"],
  ["POST", `${iam}%3AgenerateAccessToken`, "generateAccessToken"],
  ["POST", `${iam}%3agenerate%41ccessToken/`, "generateAccessToken"],
  ["POST", `${iam}:generateIdToken?alt=json`, "generateIdToken"],
  ["POST", "https://iam.googleapis.com/v1/projects/-/serviceAccounts/a@b:signBlob", "signBlob"],
  ["POST", `${iam.replace("iamcredentials", "iamcredentials.us-east1.rep")}:signJwt`, "signJwt"],
  [
    "POST",
    "https://iamcredentials.googleapis.com/google.iam.credentials.v1.IAMCredentials/GenerateAccessToken",
    "generateAccessToken",
  ],
  ["POST", "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@b/keys", "createServiceAccountKey"],
  [
    "POST",
    "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@b/keys:upload",
    "uploadServiceAccountKey",
  ],
  ["POST", "https://iam.googleapis.com/batch", "batch"],
  ["POST", "https://storage.googleapis.com/storage/v1/projects/p/hmacKeys", "createHmacKey"],
  ["POST", "https://storage.googleapis.com/?Action=CreateAccessKey&UserEmail=a", "createHmacKey"],
  ["POST", "https://apikeys.googleapis.com/v2/projects/p/locations/global/keys", "createKey"],
  ["GET", "https://apikeys.googleapis.com/v2/projects/p/locations/global/keys/k/keyString", "getKeyString"],
  [
    "GET",
    "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a/keys?$httpMethod=POST",
    "createServiceAccountKey",
  ],
];

for (const [method, target, operation] of handOut) {
  test(`attack 48: ${method} ${target} is refused unless ${operation} is allowed`, async (t) => {
    const google = await startGoogle(t);
    const config = { allow_token_uri: [google.authority] };
    const built = buildAuth(t, config, keyfileOf(google.endpoint));
    const { verdict, authorization, exchange } = await send(built, { method, url: target });
    const detail = `${operation} can hand out a credential that works without this proxy.`;
    assert.deepEqual(verdict, { kind: "reject", status: 403, reason: "action_not_allowed", detail });
    assert.deepEqual(exchange.annotations, { operation, rejected: "action_not_allowed" });
    assert.deepEqual([authorization, google.requests.length], [undefined, 0]);
    const others = credentialOperations.filter((name) => name !== operation);
    const stillRefused = buildAuth(t, { ...config, allowed_operations: others }, keyfileOf(google.endpoint));
    assert.deepEqual((await send(stillRefused, { method, url: target })).verdict, verdict);
    const allowed = buildAuth(t, { ...config, allowed_operations: [operation] }, keyfileOf(google.endpoint));
    assert.equal((await send(allowed, { method, url: target })).authorization, "Bearer token-1");
  });
}

test("attack 48: requests that only look like those are let through", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  const harmless: [string, string][] = [
    ["GET", "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@b/keys"],
    ["POST", "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?name=keys"],
    ["POST", "https://storage.googleapis.com/batch/storage/v1"],
    ["PUT", "https://storage.googleapis.com/bucket/a:signBlobs"],
    ["POST", "https://pubsub.googleapis.com/google.pubsub.v1.Publisher/Publish"],
  ];
  for (const [method, target] of harmless) {
    assert.equal((await send(built, { method, url: target })).authorization, "Bearer token-1", target);
  }
});

test("explains what would happen, without asking for anything", (t) => {
  const built = buildAuth(t, {}, () => assert.fail("the source was asked"));
  const explain = (target: string) => built.transform.explain?.(fakeExchange({ url: target }));
  assert.deepEqual(explain(url), ["gcp_auth: rules match; would set header Authorization"]);
  assert.deepEqual(explain(`${iam}:signBlob`), [
    "gcp_auth: rules match; would be refused (action_not_allowed): signBlob",
  ]);
  assert.deepEqual(explain("https://example.com/"), [
    "gcp_auth: rules do not match: no rule is for the host example.com",
  ]);
  assert.match(explain("https://oauth2.googleapis.com/token")?.[0] ?? "", /token endpoint of Google's/);
  assert.match(explain("http://metadata.google.internal/")?.[0] ?? "", /Google's metadata server/);
});

test("I14: neither key nor token shows in what is written of a served request", async (t) => {
  const google = await startGoogle(t);
  const built = buildAuth(t, { allow_token_uri: [google.authority] }, keyfileOf(google.endpoint));
  const { shown } = await send(built);
  assert.doesNotMatch(shown, /token-1|BEGIN|PRIVATE/);
});

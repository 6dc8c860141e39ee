import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Agent, type Dispatcher } from "undici";
import { startIssuer, type TokenRequestSeen } from "../oauth-token/fixture.ts";
import { buildAuth, claimsOf, email, keyfileOf, scopes, send, startGoogle, unavailable } from "./support.ts";

const provider = { credentials_provider: { type: "workload_identity" } };

/** A directory that goes with the test, with a credentials file in it. */
function fileOf(t: TestContext, content: unknown): string {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-adc-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "credentials.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** `gcp_auth` with the identity that a credentials file has. */
function buildWith(t: TestContext, content: unknown, allowed: string[] = [], dispatcher?: Dispatcher) {
  const env = { GOOGLE_APPLICATION_CREDENTIALS: fileOf(t, content) };
  const setup = { options: { env }, ...(dispatcher === undefined ? {} : { dispatcher }) };
  return buildAuth(t, { ...provider, allow_token_uri: allowed }, undefined, setup);
}

/** Sends everything to one server on this machine, and notes where it was meant to go. */
function detour(t: TestContext, to: string): { readonly dispatcher: Dispatcher; readonly origins: string[] } {
  const agent = new Agent();
  t.after(() => agent.destroy());
  const origins: string[] = [];
  const dispatcher = agent.compose((dispatch) => (options, handler) => {
    origins.push(String(options.origin));
    return dispatch({ ...options, origin: to }, handler);
  });
  return { dispatcher, origins };
}

function formOf(request: TokenRequestSeen | undefined): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(request?.body));
}

test("G-02: a service account's file", async (t) => {
  const google = await startGoogle(t);
  const built = buildWith(t, keyfileOf(google.endpoint), [google.authority]);
  const { authorization, exchange } = await send(built);
  assert.equal(authorization, "Bearer token-1");
  assert.deepEqual(exchange.annotations, { service_account: email, injected: ["header:Authorization"] });
  const { payload } = await claimsOf(google.requests[0]);
  assert.deepEqual([payload["scope"], payload.sub], [scopes[0], undefined]);
});

test("a person's own file, found where gcloud leaves it, renewed at Google and nowhere else", async (t) => {
  const google = await startGoogle(t);
  const { dispatcher, origins } = detour(t, `http://${google.authority}`);
  const home = mkdtempSync(join(tmpdir(), "sallyport-adc-"));
  t.after(() => rmSync(home, { recursive: true }));
  mkdirSync(join(home, ".config", "gcloud"), { recursive: true });
  const user = { type: "authorized_user", client_id: "id", client_secret: "s", refresh_token: "r" };
  const content = JSON.stringify({ ...user, token_uri: "https://evil.example/" });
  writeFileSync(join(home, ".config", "gcloud", "application_default_credentials.json"), content);
  const built = buildAuth(t, provider, undefined, { options: { env: { HOME: home } }, dispatcher });
  const { authorization, exchange } = await send(built);
  assert.equal(authorization, "Bearer token-1");
  assert.deepEqual(exchange.annotations, { injected: ["header:Authorization"] });
  assert.deepEqual(origins, ["https://oauth2.googleapis.com"]);
  const expected = { client_id: "id", client_secret: "s", grant_type: "refresh_token", refresh_token: "r" };
  assert.deepEqual(formOf(google.requests[0]), expected);
});

test("a person of a workforce pool", async (t) => {
  const google = await startGoogle(t);
  const json = {
    type: "external_account_authorized_user",
    client_id: "id",
    client_secret: "se:cret",
    refresh_token: "r",
    token_url: google.endpoint,
  };
  assert.equal((await send(buildWith(t, json, [google.authority]))).authorization, "Bearer token-1");
  const basic = `Basic ${Buffer.from("id:se%3Acret").toString("base64")}`;
  assert.equal(google.requests[0]?.headers.authorization, basic);
  assert.deepEqual(formOf(google.requests[0]), { grant_type: "refresh_token", refresh_token: "r" });
});

const actAs = "/v1/projects/-/serviceAccounts/target@p.iam.gserviceaccount.com:generateAccessToken";

/** Google's token endpoint, and its API that gives one account the token of another. */
function startWithImpersonation(t: TestContext) {
  return startIssuer(t, ({ url }) =>
    url === actAs
      ? { body: { accessToken: "acting", expireTime: new Date(Date.now() + 3_600_000).toISOString() } }
      : { body: { access_token: "first", issued_token_type: "x", token_type: "Bearer", expires_in: 3600 } },
  );
}

test("an account that acts as another", async (t) => {
  const google = await startWithImpersonation(t);
  const url = `http://${google.authority}${actAs}`;
  const json = {
    type: "impersonated_service_account",
    service_account_impersonation_url: url,
    delegates: ["d"],
    source_credentials: JSON.parse(keyfileOf(google.endpoint)) as unknown,
  };
  const { authorization, exchange } = await send(buildWith(t, json, [google.authority]));
  assert.equal(authorization, "Bearer acting");
  assert.equal(exchange.annotations["service_account"], url);
  assert.equal(google.requests[1]?.headers.authorization, "Bearer first");
  const body: unknown = JSON.parse(google.requests[1]?.body ?? "");
  assert.deepEqual(body, { delegates: ["d"], scope: scopes, lifetime: "3600s" });
});

/** Workload identity federation, with another platform's token in a file. */
function external(t: TestContext, tokenUrl: string, more: object = {}) {
  return {
    type: "external_account",
    audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: tokenUrl,
    credential_source: { file: fileOf(t, "subject-token") },
    ...more,
  };
}

test("I11: an external account, its exchange guarded and not retried", async (t) => {
  const google = await startWithImpersonation(t);
  const { dispatcher, origins } = detour(t, `http://${google.authority}`);
  const json = external(t, "https://sts.googleapis.com/v1/token");
  const { authorization, exchange } = await send(buildWith(t, json, [], dispatcher));
  assert.equal(authorization, "Bearer first");
  assert.equal("service_account" in exchange.annotations, false);
  assert.deepEqual(origins, ["https://sts.googleapis.com"]);
  const form = formOf(google.requests[0]);
  assert.equal(form["subject_token"], "subject-token");
  assert.equal(form["scope"], scopes[0]);
});

test("I11: an external account whose token is at a URL of this machine, acting as a service account", async (t) => {
  const google = await startWithImpersonation(t);
  const platform = await startIssuer(t, () => ({ body: { value: "platform-token" } }));
  const { dispatcher, origins } = detour(t, `http://${google.authority}`);
  const url = `https://iamcredentials.googleapis.com${actAs}`;
  const format = { type: "json", subject_token_field_name: "value" };
  const json = external(t, "https://sts.googleapis.com/v1/token", {
    service_account_impersonation_url: url,
    credential_source: { url: platform.endpoint, headers: { Metadata: "True" }, format },
  });
  const { authorization, exchange } = await send(buildWith(t, json, [], dispatcher));
  assert.equal(authorization, "Bearer acting");
  assert.equal(exchange.annotations["service_account"], url);
  assert.deepEqual(origins, ["https://sts.googleapis.com", "https://iamcredentials.googleapis.com"]);
  assert.equal(platform.requests[0]?.headers["metadata"], "True");
  assert.equal(formOf(google.requests[0])["subject_token"], "platform-token");
});

for (const status of [400, 500]) {
  test(`I14: an external account's exchange fails with ${status}: asked once, nothing shown`, async (t) => {
    const google = await startIssuer(t, () => ({
      status,
      body: { error: "hunter2", error_description: "hunter2" },
    }));
    const built = buildWith(
      t,
      external(t, google.endpoint),
      [google.authority],
      detour(t, `http://${google.authority}`).dispatcher,
    );
    const { verdict, exchange, shown } = await send(built);
    assert.deepEqual(verdict, unavailable);
    assert.equal(exchange.annotations["error"], `token_endpoint_http_${status}`);
    assert.doesNotMatch(shown, /hunter2|subject-token/);
    assert.equal(google.requests.length, 1);
  });
}

const evil = "https://sts.evil.example/token";
const refused: [title: string, make: (t: TestContext) => unknown, problem: RegExp][] = [
  ["no JSON", () => "hunter2", /the credentials file is not a JSON object/],
  ["another type", () => ({ type: "gdch_service_account" }), /type\\" is none of service_account, /],
  [
    "a key file with its token_uri elsewhere",
    () => keyfileOf(evil),
    /token_uri .* is not at a host of Google's/,
  ],
  ["token_url elsewhere", (t) => external(t, evil), /token_url .* is not at a host of Google's/],
  [
    "impersonation elsewhere",
    (t) => external(t, "https://sts.googleapis.com/v1/token", { service_account_impersonation_url: evil }),
    /service_account_impersonation_url .* is not at a host/,
  ],
  [
    "impersonation elsewhere of a user",
    () => ({ type: "impersonated_service_account", service_account_impersonation_url: evil }),
    /service_account_impersonation_url .* is not at a host/,
  ],
  [
    "impersonation in itself",
    () => ({
      type: "impersonated_service_account",
      service_account_impersonation_url: `https://iamcredentials.googleapis.com${actAs}`,
      source_credentials: { type: "impersonated_service_account" },
    }),
    /no source_credentials that can be used/,
  ],
  [
    "a certificate",
    (t) => external(t, "https://sts.googleapis.com/v1/token", { credential_source: { certificate: {} } }),
    /with a certificate are not supported/,
  ],
  [
    "no source of a subject token",
    (t) => external(t, "https://sts.googleapis.com/v1/token", { credential_source: { hunter2: 1 } }),
    /configuration or its subject token cannot be used/,
  ],
  [
    "a subject token that is not there",
    (t) => external(t, "https://sts.googleapis.com/v1/token", { credential_source: { file: "/hunter2" } }),
    /configuration or its subject token cannot be used/,
  ],
  ["no refresh token", () => ({ type: "authorized_user" }), /has no refresh_token/],
  ["a file that is too large", () => "x".repeat(70_000), /larger than 65536 bytes/],
];

for (const [title, make, problem] of refused) {
  test(`I4 I14: credentials file with ${title}: 403, and nothing is asked anywhere`, async (t) => {
    const { dispatcher, origins } = detour(t, "http://127.0.0.1:1");
    const { verdict, exchange, shown } = await send(buildWith(t, make(t), [], dispatcher));
    assert.deepEqual(verdict, unavailable);
    assert.deepEqual(exchange.annotations, { error: "mint_failed", rejected: "token_unavailable" });
    assert.match(shown, problem);
    assert.doesNotMatch(shown, /hunter2|evil/);
    assert.deepEqual(origins, []);
  });
}

test("a file that is named and not there is an error, not a reason to look elsewhere", async (t) => {
  const env = { GOOGLE_APPLICATION_CREDENTIALS: "/nonexistent/c.json", GCE_METADATA_HOST: "127.0.0.1:1" };
  const { verdict, shown } = await send(buildAuth(t, provider, undefined, { options: { env } }));
  assert.deepEqual(verdict, unavailable);
  assert.match(shown, /reading credentials file .*nonexistent.*ENOENT/);
});

test("without a file, the metadata server", async (t) => {
  const server = await startIssuer(t, () => ({
    headers: { "Metadata-Flavor": "Google" },
    body: { access_token: "machine", expires_in: 3000, token_type: "Bearer" },
  }));
  const env = { GCE_METADATA_HOST: server.authority };
  const built = buildAuth(t, { ...provider, scopes: ["https://a/b", "c"] }, undefined, { options: { env } });
  const { authorization, exchange } = await send(built);
  assert.equal(authorization, "Bearer machine");
  assert.deepEqual(exchange.annotations, { injected: ["header:Authorization"] });
  const path = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fa%2Fb%2Cc";
  assert.equal(server.requests[0]?.url, path);
  assert.equal(server.requests[0].headers["metadata-flavor"], "Google");
});

const servers: [title: string, answer: object, reason: string][] = [
  ["no flavor", { body: { access_token: "hunter2" } }, "mint_failed"],
  [
    "404",
    { status: 404, body: "hunter2", headers: { "Metadata-Flavor": "Google" } },
    "token_endpoint_http_404",
  ],
  [
    "the stub of a proxy",
    { body: { access_token: "iron-proxy-stub-token" }, headers: { "Metadata-Flavor": "Google" } },
    "mint_failed",
  ],
];

for (const [title, answer, reason] of servers) {
  test(`I4 I14: the metadata server answers with ${title}: 403`, async (t) => {
    const server = await startIssuer(t, () => ({ body: "", ...answer }));
    const env = { GCE_METADATA_HOST: server.authority };
    const { verdict, exchange, shown } = await send(buildAuth(t, provider, undefined, { options: { env } }));
    assert.deepEqual(verdict, unavailable);
    assert.equal(exchange.annotations["error"], reason);
    assert.doesNotMatch(shown, /hunter2/);
  });
}

test("what it reads of the environment is taken from the child of run", (t) => {
  const { transform } = buildAuth(t, provider);
  assert.ok(transform.variables?.includes("GOOGLE_APPLICATION_CREDENTIALS"));
  assert.equal(buildAuth(t, {}, "x").transform.variables, undefined);
});

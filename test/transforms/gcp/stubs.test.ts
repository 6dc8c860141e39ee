import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stub } from "../../../src/pipeline/types.ts";
import { fakeIdToken } from "../../../src/transforms/gcp/fake-id-token.ts";
import type { Built } from "../../helpers/build-transform.ts";
import { type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { buildAuth, buildIdToken, jwtOf, keyfileOf, send } from "./support.ts";

const tokenUrl = "https://oauth2.googleapis.com/token";
const metadata = "http://metadata.google.internal";
const accounts = `${metadata}/computeMetadata/v1/instance/service-accounts`;
const flavor = [["Metadata-Flavor", "Google"]] as const;
const stubBody = '{"access_token":"iron-proxy-stub-token","expires_in":3600,"token_type":"Bearer"}';
const elsewhere = [{ host: "api.example.com" }];
const keyfile = () => assert.fail("the source was asked");
const now = 1_700_000_000_000;
const v13 =
  "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJodHRwczovL3NlcnZpY2UucnVuLmFwcCIsImF6cCI6Imlyb24tcHJveHktc3R1YiIsImVtYWlsIjoic3R1YkBpcm9uLXByb3h5LmxvY2FsIiwiZW1haWxfdmVyaWZpZWQiOnRydWUsImV4cCI6MTcwMDAwMzYwMCwiaWF0IjoxNzAwMDAwMDAwLCJpc3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20iLCJzdWIiOiJpcm9uLXByb3h5LXN0dWIifQ.c3R1Yi1zaWduYXR1cmU";

function form(fields: Record<string, string>): string {
  return new URLSearchParams(fields).toString();
}

const bearer = (claims: object) =>
  form({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: jwtOf(claims) });
const idTokenForm = bearer({ target_audience: "https://service.run.app" });
const formType = [["Content-Type", "application/x-www-form-urlencoded"]] as const;
const post = (body: FakeRequest["body"], more: FakeRequest = {}): FakeRequest => ({
  method: "POST",
  url: tokenUrl,
  headers: formType,
  ...(body === undefined ? {} : { body }),
  ...more,
});

/** What a stub answered; `undefined` when the request was let through. */
async function answered(built: Built, request: FakeRequest) {
  const { verdict, exchange, authorization } = await send(built, request);
  if (verdict === undefined) {
    assert.deepEqual(exchange.annotations, {});
    assert.equal(authorization, undefined);
    return undefined;
  }
  const { kind, response } = verdict as Stub;
  assert.equal(kind, "stub");
  return { ...response, annotations: exchange.annotations };
}

test("V13: the fake ID token, to the byte", () => {
  assert.equal(fakeIdToken("https://service.run.app", now), v13);
});

const accessRequests: [title: string, request: FakeRequest][] = [
  ["an assertion", post(bearer({ scope: "a" }))],
  [
    "an assertion that is broken",
    post(form({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: "a.b.c" })),
  ],
  ["a refresh token", post(form({ grant_type: "refresh_token", refresh_token: "x", client_id: "y" }))],
  ["a form without a type", post(bearer({ scope: "a" }), { headers: [] })],
  ["a body that arrives in pieces", post(streamedBody("grant_type=refresh", "_token&refresh_token=x"))],
  ["JSON", post('{"grant_type":"refresh_token"}', { headers: [["Content-Type", "application/json"]] })],
  ["nothing", post(undefined)],
  ["another method", { url: tokenUrl }],
  ["an older endpoint", post(bearer({}), { url: "https://www.googleapis.com/oauth2/v4/token" })],
  ["the oldest endpoint", post(bearer({}), { url: "https://accounts.google.com/o/oauth2/token" })],
  [
    "a name in capitals with a dot at the end",
    post(bearer({}), { url: "https://OAUTH2.googleapis.com.:443/token" }),
  ],
];

for (const [title, request] of accessRequests) {
  test(`G-07 G-13: gcp_auth answers ${title} at the token endpoint, although its rules differ`, async (t) => {
    const answer = await answered(buildAuth(t, { rules: elsewhere }, keyfile), request);
    assert.deepEqual(answer, {
      status: 200,
      headers: [["Content-Type", "application/json"]],
      body: stubBody,
      annotations: { stubbed: "oauth2_token_endpoint" },
    });
    assert.equal(await answered(buildIdToken(t, { rules: elsewhere }, keyfile), request), undefined);
  });
}

const others: [title: string, request: FakeRequest][] = [
  ["a login's code", post(form({ grant_type: "authorization_code", code: "x" }))],
  ["a device's code", post(form({ grant_type: "urn:ietf:params:oauth:grant-type:device_code" }))],
  ["two grant types", post("grant_type=refresh_token&grant_type=authorization_code")],
  ["an ID token for a refresh token", post(form({ grant_type: "refresh_token", target_audience: "a" }))],
  ["a coded body", post(bearer({}), { headers: [...formType, ["Content-Encoding", "gzip"]] })],
  ["a body of another type", post("x", { headers: [["Content-Type", "text/xml"]] })],
  ["JSON that is none", post("{", { headers: [["Content-Type", "application/json"]] })],
  ["a body that is too large to look at", post(`${bearer({})}&pad=${"x".repeat(1_048_576)}`)],
  ["another path", post(bearer({}), { url: "https://oauth2.googleapis.com/revoke" })],
  ["another path below it", post(bearer({}), { url: `${tokenUrl}/x` })],
  ["another port", post(bearer({}), { url: "https://oauth2.googleapis.com:8443/token" })],
  ["another host", post(bearer({}), { url: "https://oauth2.googleapis.com.example.com/token" })],
];

for (const [title, request] of others) {
  test(`G-12: neither answers ${title}, and the body stays whole`, async (t) => {
    for (const build of [buildAuth, buildIdToken]) {
      const { verdict, exchange } = await send(build(t, { rules: elsewhere }, keyfile), request);
      assert.equal(verdict, undefined);
      assert.deepEqual(exchange.annotations, {});
      const body = await exchange.request.body.buffer(Number.POSITIVE_INFINITY);
      assert.equal(body.toString(), request.body);
    }
  });
}

test("G-08 G-12: an ID token is asked for: gcp_auth lets it through whole, gcp_id_token answers", async (t) => {
  for (const body of [idTokenForm, streamedBody(idTokenForm.slice(0, 40), idTokenForm.slice(40))]) {
    const passed = await send(buildAuth(t, { rules: elsewhere }, keyfile), post(body));
    assert.equal(passed.verdict, undefined);
    assert.deepEqual(passed.exchange.annotations, {});
    const whole = await passed.exchange.request.body.buffer(10_000);
    assert.equal(whole.toString(), idTokenForm);
  }
  const built = buildIdToken(t, { rules: elsewhere }, keyfile, { options: { now: () => now } });
  assert.deepEqual(await answered(built, post(idTokenForm)), {
    status: 200,
    headers: [["Content-Type", "application/json"]],
    body: `{"id_token":"${v13}","expires_in":3600,"token_type":"Bearer"}`,
    annotations: { stubbed: "gcp_oauth2_id_token_endpoint", audience: "https://service.run.app" },
  });
});

const notIdTokens: [title: string, assertion: string][] = [
  ["two parts", "a.eyJ0YXJnZXRfYXVkaWVuY2UiOiJhIn0"],
  ["four parts", `${jwtOf({ target_audience: "a" })}.x`],
  ["padding", "a.eyJ0YXJnZXRfYXVkaWVuY2UiOiJhIn0=.c"],
  ["an empty audience", jwtOf({ target_audience: "" })],
  ["an audience that is no text", jwtOf({ target_audience: ["a"] })],
  ["an inherited audience", jwtOf({ __proto__: { target_audience: "a" } })],
];

for (const [title, assertion] of notIdTokens) {
  test(`credentials.md 8.3: an assertion with ${title} does not ask for an ID token`, async (t) => {
    const body = form({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion });
    assert.equal(await answered(buildIdToken(t, { rules: elsewhere }, keyfile), post(body)), undefined);
    assert.equal((await answered(buildAuth(t, { rules: elsewhere }, keyfile), post(body)))?.body, stubBody);
  });
}

test("a body of unknown length that turns out too large is refused, never cut", async (t) => {
  const request = post(streamedBody("grant_type=", "x".repeat(100)), { maxRequestBody: 64 });
  await assert.rejects(send(buildAuth(t, { rules: elsewhere }, keyfile), request), {
    name: "BodyTooLargeError",
  });
});

const metadataHeaders = (type: string) => [
  ["Content-Type", type],
  ["Metadata-Flavor", "Google"],
  ["Server", "Metadata Server for VM"],
];

const stub = "stub@iron-proxy.local";
const account = `{"aliases":["default"],"email":"${stub}","scopes":["s1","s2"]}`;
const probes: [path: string, type: string, body: string][] = [
  ["/", "application/text", "computeMetadata/\n"],
  ["/computeMetadata/v1/instance", "application/text", "service-accounts/\n"],
  ["/computeMetadata/v1/instance/", "application/text", "service-accounts/\n"],
  ["/computeMetadata/v1/universe/universe-domain", "application/text", "googleapis.com"],
  ["/computeMetadata/v1/project/project-id", "application/text", "my-project"],
  ["/computeMetadata/v1/instance/service-accounts/", "application/text", `default/\n${stub}/\n`],
  [
    "/computeMetadata/v1/instance/service-accounts/?recursive=true",
    "application/json",
    `{"default":${account},"${stub}":${account}}`,
  ],
  [
    "/computeMetadata/v1/instance/service-accounts/default/",
    "application/text",
    "aliases\nemail\nidentity\nscopes\ntoken\n",
  ],
  ["/computeMetadata/v1/instance/service-accounts/default/?recursive=true", "application/json", account],
  [
    "/computeMetadata/v1/instance/service-accounts/default/?alt=json&recursive=True",
    "application/json",
    account,
  ],
  ["/computeMetadata/v1/instance/service-accounts/default/email", "application/text", stub],
  ["/computeMetadata/v1/instance/service-accounts/default/aliases", "application/text", "default\n"],
  ["/computeMetadata/v1/instance/service-accounts/default/scopes", "application/text", "s1\ns2\n"],
];

for (const [path, type, body] of probes) {
  test(`the metadata stub answers ${path} on both hosts`, async (t) => {
    const built = buildAuth(t, { rules: elsewhere, scopes: ["s1", "s2"], project_id: "my-project" }, keyfile);
    for (const host of ["metadata.google.internal", "169.254.169.254", "metadata.google.internal."]) {
      assert.deepEqual(await answered(built, { url: `http://${host}${path}`, headers: flavor }), {
        status: 200,
        headers: metadataHeaders(type),
        body,
        annotations: { stubbed: "gcp_metadata_endpoint" },
      });
    }
  });
}

for (const name of ["default", stub, "any%40name", "1234"]) {
  test(`G-09: the metadata stub has a token for ${name}`, async (t) => {
    const built = buildAuth(t, { rules: elsewhere }, keyfile);
    const urls = [`${accounts}/${name}/token`, `${accounts}/${name}/token?scopes=a,b`];
    for (const url of [...urls, urls[0]?.replace("metadata.google.internal", "169.254.169.254") ?? ""]) {
      assert.deepEqual(await answered(built, { url, headers: flavor }), {
        status: 200,
        headers: metadataHeaders("application/json"),
        body: stubBody,
        annotations: { stubbed: "oauth2_token_endpoint" },
      });
    }
  });
}

test("V13 G-12: the metadata stub has an ID token, from gcp_id_token alone and with an audience alone", async (t) => {
  const built = buildIdToken(t, { rules: elsewhere }, keyfile, { options: { now: () => now } });
  const url = `${accounts}/default/identity?audience=https%3A%2F%2Fservice.run.app&format=full`;
  assert.deepEqual(await answered(built, { url, headers: flavor }), {
    status: 200,
    headers: metadataHeaders("text/plain"),
    body: v13,
    annotations: { stubbed: "gcp_metadata_identity_endpoint", audience: "https://service.run.app" },
  });
  for (const query of ["", "?audience=", "?format=full"]) {
    const without = { url: `${accounts}/default/identity${query}`, headers: flavor };
    assert.equal(await answered(built, without), undefined);
  }
  assert.equal(
    await answered(buildAuth(t, { rules: elsewhere }, keyfile), { url, headers: flavor }),
    undefined,
  );
  assert.equal(await answered(built, { url: `${accounts}/default/token`, headers: flavor }), undefined);
});

test("the metadata stub leaves what it is not sure of to policy", async (t) => {
  const built = buildAuth(t, { rules: elsewhere }, keyfile);
  const v1 = `${metadata}/computeMetadata/v1`;
  const unknown = [
    `${v1}/project/project-id`, // not configured
    `${v1}/project/numeric-project-id`,
    `${v1}/instance/attributes/kube-env`,
    `${v1}/instance/?recursive=true`,
    `${accounts}/default/email?alt=json`,
    `${accounts}/default/scopes?wait_for_change=true`,
    `${accounts}/a/b/token`,
    `${accounts}/default/token/`,
    `${accounts}//token`,
    `${metadata}/computeMetadata/v1beta1/instance/service-accounts/default/token`,
    "http://metadata.google.internal:8080/",
    "http://metadata.google.internal.example.com/",
    "http://metadata/",
  ];
  for (const url of unknown) assert.equal(await answered(built, { url, headers: flavor }), undefined, url);
  const put = { method: "PUT", url: `${accounts}/default/token`, headers: flavor };
  assert.equal(await answered(built, put), undefined);
});

test("as the real one, the metadata stub refuses requests without Metadata-Flavor", async (t) => {
  const built = buildAuth(t, { rules: elsewhere }, keyfile);
  const values = [[], [["Metadata-Flavor", "Amazon"]], [["X-Metadata-Flavor", "Google"]]] as const;
  for (const headers of values) {
    const { verdict, exchange } = await send(built, { url: `${accounts}/default/token`, headers });
    assert.deepEqual(verdict, { kind: "reject", status: 403, reason: "metadata_flavor_missing" });
    assert.deepEqual(exchange.annotations, { rejected: "metadata_flavor_missing" });
  }
  const ping = await answered(built, { url: `${metadata}/` });
  assert.equal(ping?.status, 200); // clients look for the header in this answer
});

test("I6: what falls through on a metadata host gets no token over plain HTTP", async (t) => {
  const built = buildAuth(t, { rules: [{ host: "*" }] }, keyfileOf("https://oauth2.googleapis.com/token"), {
    options: { clock: { now: () => 0, random: () => 0, after: () => () => {} } },
    dispatcher: {
      dispatch: (_: unknown, handler: { onResponseError(_c: unknown, e: Error): void }) => {
        handler.onResponseError({}, new Error("no network in this test"));
        return true;
      },
    } as never,
  });
  const { authorization } = await send(built, {
    url: `${metadata}/computeMetadata/v1/project/x`,
    headers: flavor,
  });
  assert.equal(authorization, undefined);
});

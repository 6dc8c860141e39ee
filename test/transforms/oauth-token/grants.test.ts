import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { build, entryOf, send, source, startGoodIssuer, startIssuer, values } from "./fixture.ts";

const jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const forms: [title: string, grant: string, more: object, sources: Record<string, string>, body: string][] = [
  [
    "O-02 V11: refresh_token, client in the body",
    "refresh_token",
    {},
    {},
    "client_id=discrete-client-id&client_secret=discrete-client-secret&grant_type=refresh_token&refresh_token=discrete-refresh-token",
  ],
  [
    "O-02 O-15: refresh_token of a public client; scopes are not sent",
    "refresh_token",
    { client_secret: undefined, scopes: ["a"] },
    {},
    "client_id=discrete-client-id&grant_type=refresh_token&refresh_token=discrete-refresh-token",
  ],
  [
    "O-03: client_credentials with scopes",
    "client_credentials",
    { scopes: ["read", "write"] },
    {},
    "client_id=discrete-client-id&client_secret=discrete-client-secret&grant_type=client_credentials&scope=read+write",
  ],
  [
    "client_credentials without scopes",
    "client_credentials",
    {},
    {},
    "client_id=discrete-client-id&client_secret=discrete-client-secret&grant_type=client_credentials",
  ],
  [
    "O-03 V11: password",
    "password",
    { scopes: ["read", "write"] },
    { client_id: "the-client-id", client_secret: "s&c=ret" },
    "client_id=the-client-id&client_secret=s%26c%3Dret&grant_type=password&password=s3+cret&scope=read+write&username=alice%40x.io",
  ],
  [
    "O-03: password of a public client; every byte as Go escapes it",
    "password",
    { client_secret: undefined },
    { password: "~*'()!-_. +/=&?%é\r\n" },
    "client_id=discrete-client-id&grant_type=password&password=~%2A%27%28%29%21-_.+%2B%2F%3D%26%3F%25%C3%A9%0D%0A&username=alice%40x.io",
  ],
];

for (const [title, grant, more, sources, body] of forms) {
  test(title, async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf(grant, issuer.endpoint, { ...more })], { ...values, ...sources });
    const { authorization, exchange, verdict } = await send(built);
    assert.equal(verdict, undefined);
    assert.equal(authorization, "Bearer token-1");
    assert.deepEqual(exchange.annotations, { grant, injected: ["header:Authorization"] });
    const [request] = issuer.requests;
    assert.equal(request?.body, body);
    assert.equal(request.method, "POST");
    assert.equal(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert.equal(request.headers.authorization, undefined);
  });
}

for (const grant of ["refresh_token", "client_credentials", "password"]) {
  test(`client_auth basic takes the ${grant} client out of the form (RFC 6749 section 2.3.1)`, async (t) => {
    const issuer = await startGoodIssuer(t);
    const sources = { ...values, client_id: "id:1 é", client_secret: "s&c=+ret" };
    await send(build(t, [entryOf(grant, issuer.endpoint, { client_auth: "basic" })], sources));
    const [request] = issuer.requests;
    const basic = Buffer.from("id%3A1+%C3%A9:s%26c%3D%2Bret").toString("base64");
    assert.equal(request?.headers.authorization, `Basic ${basic}`);
    assert.doesNotMatch(request.body, /client_(?:id|secret)/);
  });
}

const keyKinds: [title: string, make: () => { privateKey: KeyObject; publicKey: KeyObject }, alg: string][] =
  [
    ["RSA", () => generateKeyPairSync("rsa", { modulusLength: 2048 }), "RS256"],
    ["EC P-256", () => generateKeyPairSync("ec", { namedCurve: "P-256" }), "ES256"],
    ["Ed25519", () => generateKeyPairSync("ed25519"), "EdDSA"],
  ];

for (const [title, make, alg] of keyKinds) {
  test(`O-13: an assertion signed with ${title}`, async (t) => {
    const { privateKey, publicKey } = make();
    const private_key = privateKey.export({ type: "pkcs8", format: "pem" });
    const issuer = await startGoodIssuer(t);
    const more = { private_key_id: source("kid"), scopes: ["a", "b"], audience: "https://aud.example/" };
    const entry = entryOf("jwt_bearer", issuer.endpoint, more);
    const now = 1_700_000_000_000;
    const built = build(t, [entry], { ...values, private_key, kid: "key-7" }, { now: () => now });
    assert.equal((await send(built)).authorization, "Bearer token-1");
    const form = new URLSearchParams(issuer.requests[0]?.body);
    assert.deepEqual([...form.keys()], ["assertion", "grant_type"]);
    assert.equal(form.get("grant_type"), jwtGrant);
    const assertion = form.get("assertion") ?? "";
    assert.equal(
      JSON.stringify(decodeProtectedHeader(assertion)),
      `{"alg":"${alg}","typ":"JWT","kid":"key-7"}`,
    );
    assert.equal(
      JSON.stringify(decodeJwt(assertion)),
      '{"iss":"robot@x.io","scope":"a b","aud":"https://aud.example/","exp":1700003590,"iat":1699999990,"sub":"bob@x.io","prn":"bob@x.io"}',
    );
    await jwtVerify(assertion, publicKey, { currentDate: new Date(now), audience: "https://aud.example/" });
  });
}

test("O-13: no kid and no scope unless configured", async (t) => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const private_key = privateKey.export({ type: "pkcs8", format: "pem" });
  const issuer = await startGoodIssuer(t);
  await send(build(t, [entryOf("jwt_bearer", issuer.endpoint)], { ...values, private_key }));
  const assertion = new URLSearchParams(issuer.requests[0]?.body).get("assertion") ?? "";
  assert.deepEqual(decodeProtectedHeader(assertion), { alg: "EdDSA", typ: "JWT" });
  assert.equal("scope" in decodeJwt(assertion), false);
});

test("O-14: another private key makes another token, signed with that key", async (t) => {
  const keys = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")] as const;
  const pem = (index: 0 | 1) => keys[index].privateKey.export({ type: "pkcs8", format: "pem" });
  let current = pem(0);
  const issuer = await startGoodIssuer(t);
  const built = build(t, [entryOf("jwt_bearer", issuer.endpoint)], { ...values, private_key: () => current });
  await send(built);
  await send(built);
  assert.equal(issuer.requests.length, 1);
  current = pem(1);
  await send(built);
  while (issuer.requests.length < 2) await new Promise(setImmediate);
  const assertion = new URLSearchParams(issuer.requests[1]?.body).get("assertion") ?? "";
  await jwtVerify(assertion, keys[1].publicKey);
});

test("O-13: a key with its line breaks written \\n, and one in PKCS#1", async (t) => {
  const issuer = await startGoodIssuer(t);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs1", format: "pem" });
  for (const private_key of [pem, pem.replaceAll("\n", "\\n")]) {
    const built = build(t, [entryOf("jwt_bearer", issuer.endpoint)], { ...values, private_key });
    assert.match((await send(built)).authorization ?? "", /^Bearer token-\d$/);
  }
});

const badKeys: [title: string, make: () => string, problem: RegExp][] = [
  ["text", () => "hunter2-not-a-key", /private_key is not an unencrypted private key in PEM/],
  ["a public key", () => pemOf("ed25519").publicKey, /private_key is not an unencrypted private key/],
  ["a short RSA key", () => pemOf("rsa", 1024).privateKey, /must be RSA with at least 2048 bits/],
  ["another curve", () => pemOf("P-384").privateKey, /EC P-256 or Ed25519/],
  ["a key of another kind", () => pemOf("x25519").privateKey, /EC P-256 or Ed25519/],
];

function pemOf(kind: string, modulusLength = 2048) {
  const options = {
    modulusLength,
    namedCurve: kind,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  };
  const type = kind.startsWith("P-") ? "ec" : kind;
  return (
    generateKeyPairSync as unknown as (
      type: string,
      options: object,
    ) => Record<"publicKey" | "privateKey", string>
  )(type, options);
}

for (const [title, make, problem] of badKeys) {
  test(`I14: ${title} in place of a private key is refused without a word of it`, async (t) => {
    const private_key = make();
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("jwt_bearer", issuer.endpoint)], { ...values, private_key });
    const { exchange, shown } = await send(built);
    assert.equal(exchange.annotations["error"], "mint_failed");
    assert.match(shown, problem);
    assert.equal(issuer.requests.length, 0);
    for (const line of private_key.split("\n").filter((part) => part.length > 8)) {
      if (!line.startsWith("---")) assert.ok(!shown.includes(line));
    }
  });
}

test("a form answer and a text/plain answer are read as forms, and text/plain JSON as JSON", async (t) => {
  const answers: [string, string][] = [
    [
      "application/x-www-form-urlencoded; charset=utf-8",
      "access_token=a%2Bb&expires_in=3600&token_type=bearer",
    ],
    ["text/plain", "access_token=a%2Bb&expires_in=3600"],
    ["text/plain", '{"access_token":"a+b"}'],
    ["text/html", '{"access_token":"a+b","expires_in":"3600"}'],
  ];
  for (const [type, body] of answers) {
    const issuer = await startIssuer(t, () => ({ headers: { "Content-Type": type }, body }));
    const { authorization } = await send(build(t, [entryOf("client_credentials", issuer.endpoint)]));
    assert.equal(authorization, "Bearer a+b", `${type} ${body}`);
  }
});

test("O-12: endpoint headers reach the token request in their casing, and never the proxied request", async (t) => {
  const issuer = await startGoodIssuer(t);
  const headers = { "x-tenant-KEY": source("tenant"), "content-type": source("type") };
  for (const grant of ["client_credentials", "refresh_token", "password"]) {
    const entry = entryOf(grant, issuer.endpoint, { token_endpoint_headers: headers });
    const built = build(t, [entry], {
      ...values,
      tenant: "t-1",
      type: "application/x-www-form-urlencoded;x=1",
    });
    const sent = await send(built);
    assert.deepEqual(sent.headers, [["Authorization", `Bearer token-${issuer.requests.length}`]]);
    const { rawHeaders = [] } = issuer.requests.at(-1) ?? {};
    assert.equal(rawHeaders[rawHeaders.indexOf("x-tenant-KEY") + 1], "t-1");
    const types = rawHeaders.filter((text) => text.toLowerCase() === "content-type");
    assert.deepEqual(types, ["content-type"]);
  }
});

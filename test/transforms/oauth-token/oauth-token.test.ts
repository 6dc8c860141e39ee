import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fakeClock, settled } from "../../sources/fake-clock.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import {
  build,
  entryOf,
  refusalOf,
  rules,
  send,
  source,
  startGoodIssuer,
  startIssuer,
  values,
} from "./fixture.ts";

describe("attaching", () => {
  test("O-04: five requests one after the other, one mint; with a token held nothing waits", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    for (let index = 0; index < 5; index++) {
      assert.equal((await send(built)).authorization, "Bearer token-1");
    }
    assert.equal(built.transform.onRequest?.(fakeExchange()), undefined);
    assert.equal(issuer.requests.length, 1);
  });

  test("O-04: a thousand concurrent requests on a cold cache, one mint", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    const sent = await Promise.all(Array.from({ length: 1000 }, () => send(built)));
    assert.equal(issuer.requests.length, 1);
    assert.ok(sent.every(({ authorization }) => authorization === "Bearer token-1"));
  });

  test("O-05: a request that no rule is for has no header set, and nothing is read or minted", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    const { headers, exchange } = await send(built, { url: "https://other.example.com/" });
    assert.deepEqual([headers, exchange.annotations, built.asked], [[], {}, {}]);
    assert.equal(issuer.requests.length, 0);
  });

  test("O-06 attack 44: every spelling of the header that the workload sent is replaced", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    const sent = await send(built, {
      headers: [
        ["authorization", "Bearer mine"],
        ["Accept", "*/*"],
        ["AUTHORIZATION", "Bearer too"],
      ],
    });
    assert.deepEqual(sent.headers, [
      ["Authorization", "Bearer token-1"],
      ["Accept", "*/*"],
    ]);
  });

  test("another header, in the configured casing, with another prefix; the client's Authorization stays", async (t) => {
    const issuer = await startGoodIssuer(t);
    const more = { header: "x-api-TOKEN", value_prefix: "tok " };
    const sent = await send(build(t, [entryOf("client_credentials", issuer.endpoint, more)]), {
      headers: [["Authorization", "Bearer mine"]],
    });
    assert.deepEqual(sent.headers, [
      ["Authorization", "Bearer mine"],
      ["x-api-TOKEN", "tok token-1"],
    ]);
    assert.deepEqual(sent.exchange.annotations["injected"], ["header:X-Api-Token"]);
  });

  test("O-07: the first entry whose rules match is used, even when its mint fails", async (t) => {
    const bad = await startIssuer(t, () => ({ status: 500, body: "" }));
    const good = await startGoodIssuer(t);
    const built = build(t, [
      entryOf("client_credentials", good.endpoint, { rules: [{ host: "other.example.com" }] }),
      entryOf("client_credentials", bad.endpoint),
      entryOf("client_credentials", good.endpoint),
    ]);
    assert.deepEqual((await send(built)).verdict, refusalOf("client_credentials"));
    assert.equal(good.requests.length, 0);
  });

  test("I5: a header that an earlier transform has set is left alone, and nothing is minted", async (t) => {
    const issuer = await startGoodIssuer(t);
    const { transform } = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    const exchange = fakeExchange();
    exchange.claim("authorization");
    assert.equal(await transform.onRequest?.(exchange), undefined);
    assert.deepEqual(exchange.annotations, { skipped: "credential_already_applied" });
    assert.equal(issuer.requests.length, 0);
  });

  test("I5: its own header is claimed against later transforms", async (t) => {
    const issuer = await startGoodIssuer(t);
    const { exchange } = await send(build(t, [entryOf("client_credentials", issuer.endpoint)]));
    assert.equal(exchange.claimed("authorization"), true);
  });

  test("I6: no token over plain HTTP", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    const { verdict, headers, exchange } = await send(built, { url: "http://api.example.com/" });
    assert.deepEqual(verdict, { kind: "reject", status: 403, reason: "plaintext_upstream" });
    assert.deepEqual(headers, []);
    assert.equal(exchange.annotations["rejected"], "plaintext_upstream");
  });

  test("I2: it has no part in opening a tunnel", (t) => {
    const { transform } = build(t, [entryOf("client_credentials", "https://idp.example.com/token")]);
    assert.equal(transform.onTunnel, undefined);
  });

  test("its sources and rules are known to whoever runs it", (t) => {
    const more = { token_endpoint_headers: { "X-B": source("b"), "X-A": source("a") } };
    const { transform } = build(t, [entryOf("password", "https://idp.example.com/token", more)]);
    const names = transform.secrets?.map(({ name }) => name);
    assert.deepEqual(names, ["client_id", "client_secret", "password", "username", "a", "b"]);
    assert.equal(transform.credentialRules?.length, 1);
  });
});

test("O-16: a mint does not depend on the request that began it", async (t) => {
  const clock = fakeClock();
  const issuer = await startGoodIssuer(t);
  const built = build(t, [entryOf("client_credentials", issuer.endpoint)], values, { clock });
  void built.transform.onRequest?.(fakeExchange()); // and never looked at again
  assert.equal((await send(built)).authorization, "Bearer token-1");
  clock.advance(50 * 60_000);
  assert.equal((await send(built)).authorization, "Bearer token-1");
  while (issuer.requests.length < 2) await settled();
  for (;;) {
    const { authorization } = await send(built);
    if (authorization === "Bearer token-2") break;
    await settled();
  }
});

test("a token without a lifetime serves for an hour at most", async (t) => {
  for (const expires_in of [undefined, null, ""]) {
    const clock = fakeClock();
    const issuer = await startIssuer(t, (_, index) => ({
      body: { access_token: `tok-${index}`, expires_in },
    }));
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)], values, { clock });
    await send(built);
    clock.advance(45 * 60_000);
    assert.equal((await send(built)).authorization, "Bearer tok-0");
    assert.equal(issuer.requests.length, 1);
    clock.advance(15 * 60_000);
    assert.equal((await send(built)).authorization, "Bearer tok-1");
  }
});

test("a changed client secret makes a new token, and the old one serves until it is there", async (t) => {
  let client_secret = "first-secret";
  const issuer = await startGoodIssuer(t);
  const built = build(t, [entryOf("client_credentials", issuer.endpoint)], {
    ...values,
    client_secret: () => client_secret,
  });
  await send(built);
  client_secret = "second-secret";
  assert.equal((await send(built)).authorization, "Bearer token-1");
  while ((await send(built)).authorization !== "Bearer token-2") await settled();
  assert.equal(issuer.requests.length, 2);
  assert.match(issuer.requests[1]?.body ?? "", /client_secret=second-secret/);
});

test("explain says what would happen and asks nobody", (t) => {
  const tokens = [
    entryOf("password", "https://idp.example.com/token", { rules: [{ host: "other.example.com" }] }),
    entryOf("client_credentials", "https://api.example.com/token", { rules }),
    entryOf("refresh_token", "https://idp.example.com/token", { rules }),
  ];
  const { transform, asked } = build(t, tokens);
  const exchange = fakeExchange({ url: "https://api.example.com/token" });
  assert.deepEqual(transform.explain?.(exchange), [
    "oauth_token: this is a token endpoint: a form with a grant type known here gets a stub token",
    "oauth_token: tokens[0] (password): rules do not match: no rule is for the host api.example.com",
    "oauth_token: tokens[1] (client_credentials): rules match; would set header Authorization",
    "oauth_token: tokens[2] (refresh_token): rules match; not used: an earlier entry matches",
  ]);
  exchange.claim("authorization");
  assert.match(
    transform.explain?.(exchange)[2] ?? "",
    /would skip header Authorization: an earlier transform has it/,
  );
  assert.deepEqual(asked, {});
});

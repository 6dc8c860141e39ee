// Against issuers that others wrote.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { decodeJwt } from "jose";
import { OAuth2Server } from "oauth2-mock-server";
import { clientSecret, startOidcProvider } from "../../fakes/oidc-provider.ts";
import { fakeClock } from "../../sources/fake-clock.ts";
import { build, entryOf, send, values } from "./fixture.ts";

const hour = 3_600_000;
const tokenOf = (authorization: string | undefined) => authorization?.replace(/^Bearer /, "") ?? "";

describe("oidc-provider", () => {
  for (const [client_auth, id] of [
    ["basic", "basic"],
    ["body", "post"],
  ]) {
    test(`client_credentials with ${client_auth} authentication`, async (t) => {
      const issuer = await startOidcProvider(t);
      const entry = entryOf("client_credentials", issuer.tokenEndpoint, {
        client_auth,
        scopes: ["api:read", "api:write"],
      });
      const built = build(t, [entry], { client_id: id as string, client_secret: clientSecret });
      const { authorization, shown } = await send(built);
      assert.equal(await issuer.ownerOf(tokenOf(authorization)), id, shown);
    });
  }

  test("a client with the wrong secret: invalid_client", async (t) => {
    const issuer = await startOidcProvider(t);
    for (const [client_auth, client_id] of [
      ["body", "post"],
      ["basic", "basic"],
    ] as const) {
      const entry = entryOf("client_credentials", issuer.tokenEndpoint, { client_auth });
      const { exchange } = await send(build(t, [entry], { client_id, client_secret: "wrong" }));
      assert.equal(exchange.annotations["error"], "invalid_client");
    }
  });

  for (const [client_auth, id] of [
    ["basic", "basic"],
    ["body", "post"],
  ]) {
    test(`refresh_token with rotation, ${client_auth} authentication`, async (t) => {
      const clock = fakeClock();
      const issuer = await startOidcProvider(t);
      const refresh_token = await issuer.newRefreshToken(id as string);
      const entry = entryOf("refresh_token", issuer.tokenEndpoint, { client_auth });
      const sources = { client_id: id as string, client_secret: clientSecret, refresh_token };
      const built = build(t, [entry], sources, { clock });
      const seen = new Set<string>();
      for (let mint = 0; mint < 3; mint++) {
        const token = tokenOf((await send(built)).authorization);
        assert.equal(await issuer.ownerOf(token), id, JSON.stringify(built.logs));
        seen.add(token);
        clock.advance(hour);
      }
      assert.equal(seen.size, 3);
    });
  }

  test("refresh_token: a revoked one is invalid_grant, told at ERROR", async (t) => {
    const issuer = await startOidcProvider(t);
    const refresh_token = await issuer.newRefreshToken("post");
    await issuer.revoke(refresh_token);
    const entry = entryOf("refresh_token", issuer.tokenEndpoint);
    const built = build(t, [entry], { client_id: "post", client_secret: clientSecret, refresh_token });
    const { exchange, shown } = await send(built);
    assert.equal(exchange.annotations["error"], "invalid_grant");
    assert.equal(built.logs[0]?.level, "error");
    for (const secret of [refresh_token, clientSecret]) assert.ok(!shown.includes(secret));
  });
});

describe("oauth2-mock-server", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const private_key = privateKey.export({ type: "pkcs8", format: "pem" });

  for (const grant of ["refresh_token", "client_credentials", "password", "jwt_bearer"]) {
    test(grant, async (t) => {
      const server = new OAuth2Server();
      await server.issuer.keys.generate("RS256");
      await server.start(0, "127.0.0.1");
      t.after(() => server.stop());
      const entry = entryOf(grant, `http://127.0.0.1:${server.address().port}/token`, {
        scopes: ["read", "write"],
      });
      const built = build(t, [entry], { ...values, private_key });
      const { authorization } = await send(built);
      const claims = decodeJwt(tokenOf(authorization));
      if (grant === "password") assert.equal(claims.sub, values.username);
      if (grant === "jwt_bearer") assert.equal(claims.sub, values.subject);
      // It reads scopes from the form; those of an assertion are inside it.
      if (grant === "client_credentials" || grant === "password") assert.equal(claims["scope"], "read write");
    });
  }
});

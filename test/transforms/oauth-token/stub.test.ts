import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BodyTooLargeError } from "../../../src/http/body.ts";
import { fakeExchange, type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { build, entryOf, send, startGoodIssuer } from "./fixture.ts";

describe("the stub of the token endpoint", () => {
  const endpoint = "https://idp.example.com:8443/oauth2/token";
  const form = "application/x-www-form-urlencoded";
  const tokens = [
    entryOf("client_credentials", endpoint, { rules: [{ host: "elsewhere.example.com" }] }),
    entryOf("refresh_token", "https://login.example.com"),
  ];
  const request: FakeRequest = {
    method: "POST",
    url: endpoint,
    headers: [["Content-Type", form]],
    body: "grant_type=client_credentials&client_id=dummy&client_secret=dummy",
  };
  const stub = {
    kind: "stub",
    response: {
      status: 200,
      headers: [["Content-Type", "application/json"]],
      body: '{"access_token":"iron-proxy-stub-token","expires_in":3600,"token_type":"Bearer"}',
    },
  };

  const stubbed: [title: string, change: FakeRequest][] = [
    ["O-08: although the rules point elsewhere", {}],
    [
      "with a charset and in another casing",
      { headers: [["CONTENT-TYPE", `${form.toUpperCase()}; charset=UTF-8`]] },
    ],
    ["with a query", { url: `${endpoint}?tenant=1` }],
    ["spelt with escapes that mean the same", { url: "https://IDP.example.com:8443/oauth2/%74oken" }],
    ["in chunks", { body: streamedBody("grant_type=client_", "credentials&a=b") }],
    ["refresh_token", { body: "refresh_token=x&grant_type=refresh_token" }],
    ["password", { body: "grant_type=password&username=x" }],
    ["jwt_bearer", { body: "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=x" }],
    ["another endpoint, whose path is /", { url: "https://login.example.com/" }],
  ];
  for (const [title, change] of stubbed) {
    test(`answers a token request: ${title}`, async (t) => {
      const built = build(t, tokens);
      const { verdict, exchange } = await send(built, { ...request, ...change });
      assert.deepEqual(verdict, stub);
      assert.equal(stub.response.body.length, 80);
      assert.deepEqual(exchange.annotations, { stubbed: "oauth2_token_endpoint" });
      assert.deepEqual(built.asked, {});
    });
  }

  const passed: [title: string, change: FakeRequest][] = [
    ["GET", { method: "GET", body: "" }],
    ["another path", { url: "https://idp.example.com:8443/oauth2/revoke" }],
    ["another path below it", { url: `${endpoint}/x` }],
    ["another port", { url: "https://idp.example.com/oauth2/token" }],
    ["another host", { url: "https://idp2.example.com:8443/oauth2/token" }],
    ["no content type", { headers: [] }],
    [
      "JSON",
      { headers: [["Content-Type", "application/json"]], body: '{"grant_type":"client_credentials"}' },
    ],
    ["no grant type", { body: "client_id=x" }],
    ["a login's code", { body: "grant_type=authorization_code&code=x" }],
    ["a grant type that only begins like one", { body: "grant_type=password2" }],
    ["two grant types", { body: "grant_type=password&grant_type=authorization_code" }],
    [
      "a compressed body",
      {
        headers: [
          ["Content-Type", form],
          ["Content-Encoding", "gzip"],
        ],
      },
    ],
    ["no body", { body: "" }],
    ["a body longer than token requests are", { body: `grant_type=password&x=${"y".repeat(65_536)}` }],
  ];
  for (const [title, change] of passed) {
    test(`leaves alone: ${title}`, async (t) => {
      const options = { ...request, ...change };
      const { verdict, exchange } = await send(build(t, tokens), options);
      assert.equal(verdict, undefined);
      assert.deepEqual(exchange.annotations, {});
      assert.equal(exchange.request.body.bytes?.toString(), options.body);
    });
  }

  test("I3: leaves the body readable for transforms that follow", async (t) => {
    const body = streamedBody("grant_type=authorization_", "code&code=x");
    const { exchange } = await send(build(t, tokens), { ...request, body });
    assert.equal(
      (await exchange.request.body.buffer(1000)).toString(),
      "grant_type=authorization_code&code=x",
    );
  });

  test("a body of unknown length over the limit is refused, never cut", async (t) => {
    const { transform } = build(t, tokens);
    const exchange = fakeExchange({ ...request, body: streamedBody("x".repeat(100)), maxRequestBody: 50 });
    await assert.rejects(async () => transform.onRequest?.(exchange), BodyTooLargeError);
  });

  test("a request that is no token request has the token set where rules match", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [
      entryOf("client_credentials", issuer.endpoint, { rules: [{ host: "127.0.0.1:*" }] }),
    ]);
    const url = `http://${issuer.authority}/oauth2/token`;
    assert.equal((await send(built, { url })).authorization, "Bearer token-1");
    const token = await send(built, { ...request, url });
    assert.deepEqual(token.verdict, stub);
  });
});

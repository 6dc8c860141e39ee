import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BodyTooLargeError } from "../../../src/http/body.ts";
import { fakeClock, settled } from "../../sources/fake-clock.ts";
import { fakeExchange, type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import {
  build,
  entryOf,
  type IssuerAnswer,
  never,
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

describe("failures", () => {
  const cases: [title: string, answer: IssuerAnswer, reason: string, detail: RegExp][] = [
    [
      "O-09: 400 invalid_grant",
      { status: 400, body: { error: "invalid_grant", error_description: "LEAK of hunter2" } },
      "invalid_grant",
      /status 400/,
    ],
    [
      "401 invalid_client",
      { status: 401, body: { error: "invalid_client" } },
      "invalid_client",
      /status 401/,
    ],
    [
      "200 with an error",
      { body: { error: "invalid_scope", access_token: "LEAK" } },
      "invalid_scope",
      /status 200/,
    ],
    ["500", { status: 500, body: "LEAK" }, "token_endpoint_http_500", /status 500/],
    [
      "a redirect, which is not followed",
      { status: 307, headers: { Location: "/elsewhere" }, body: "LEAK" },
      "token_endpoint_http_307",
      /status 307/,
    ],
    [
      "HTML",
      { headers: { "Content-Type": "text/html" }, body: "<html>LEAK</html>" },
      "mint_failed",
      /neither a JSON object nor a form/,
    ],
    ["a JSON array", { body: ["LEAK"] }, "mint_failed", /neither a JSON object/],
    ["no access_token", { body: { id_token: "LEAK" } }, "mint_failed", /no access_token/],
    ["an access_token that is no text", { body: { access_token: 1 } }, "mint_failed", /no access_token/],
    ["an empty access_token", { body: { access_token: "" } }, "mint_failed", /no access_token/],
    [
      "attack 33: a line break in the token",
      { body: { access_token: "LEAK\r\nX-Evil: 1" } },
      "mint_failed",
      /line break/,
    ],
    [
      "an endless token",
      { body: { access_token: "LEAK".repeat(10_000) } },
      "mint_failed",
      /longer than 32768/,
    ],
    ["an answer over 1 MiB", { body: "LEAK".repeat(300_000) }, "token_endpoint_error", /larger than 1048576/],
    [
      "a token that lives for 5 s",
      { body: { access_token: "LEAK", expires_in: 5 } },
      "token_expired",
      /lives for 5s/,
    ],
    [
      "a token that ended a minute ago",
      { body: { access_token: "LEAK", expires_in: -60 } },
      "token_expired",
      /too short/,
    ],
    [
      "a lifetime that is no number",
      { body: { access_token: "LEAK", expires_in: "LEAK" } },
      "mint_failed",
      /expires_in .* is not a number/,
    ],
    [
      "a proxy's own stub",
      { body: { access_token: "iron-proxy-stub-token", expires_in: 3600 } },
      "mint_failed",
      /stub of a proxy/,
    ],
    [
      "an error code with other things in it",
      { status: 400, body: { error: "LEAK a b" } },
      "token_endpoint_error",
      /400/,
    ],
    ["a long error code", { status: 400, body: { error: "LEAK".repeat(20) } }, "token_endpoint_error", /400/],
    [
      "an error code that is no text",
      { status: 400, body: { error: { LEAK: 1 } } },
      "token_endpoint_error",
      /400/,
    ],
    [
      "an error code that repeats the client's secret",
      { status: 400, body: { error: `bad_${values.client_secret}` } },
      "token_endpoint_error",
      /400/,
    ],
  ];
  for (const [title, answer, reason, detail] of cases) {
    test(`${title}: ${reason}, and nothing of it is told (I14)`, async (t) => {
      const issuer = await startIssuer(t, () => answer);
      const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
      const { verdict, exchange, headers, shown } = await send(built);
      assert.deepEqual(verdict, refusalOf("client_credentials"));
      assert.deepEqual(exchange.annotations, {
        grant: "client_credentials",
        error: reason,
        rejected: "token_unavailable",
      });
      assert.deepEqual(headers, []);
      const [line] = built.logs;
      assert.equal(line?.message, "oauth_token mint failed");
      assert.equal(line.level, reason === "invalid_grant" ? "error" : "warn");
      const { error, ...fields } = line.fields;
      assert.deepEqual(fields, { entry: "tokens[0]", grant: "client_credentials", reason, retry_in: "1s" });
      assert.match(String(error), detail);
      for (const secret of ["LEAK", "hunter2", values.client_id, values.client_secret]) {
        assert.ok(!shown.includes(secret), secret);
      }
      // It is not asked again at once.
      await send(built);
      assert.equal(issuer.requests.length, 1);
    });
  }

  test("O-10: with require false the request goes on without a token", async (t) => {
    const issuer = await startIssuer(t, () => ({ status: 400, body: { error: "invalid_grant" } }));
    const built = build(t, [entryOf("client_credentials", issuer.endpoint, { require: false })]);
    const { verdict, exchange, headers } = await send(built, { headers: [["Authorization", "Bearer mine"]] });
    assert.equal(verdict, undefined);
    assert.deepEqual(headers, [["Authorization", "Bearer mine"]]);
    assert.deepEqual(exchange.annotations, {
      grant: "client_credentials",
      error: "invalid_grant",
      skipped: "token_unavailable",
    });
    assert.equal(exchange.claimed("authorization"), false);
  });

  for (const require of [true, false]) {
    test(`O-11: a source that fails, require ${require}`, async (t) => {
      const issuer = await startGoodIssuer(t);
      const { client_secret: _, ...others } = values;
      const built = build(t, [entryOf("client_credentials", issuer.endpoint, { require })], others);
      const { verdict, exchange } = await send(built);
      assert.deepEqual(verdict, require ? refusalOf("client_credentials") : undefined);
      assert.deepEqual(exchange.annotations, {
        grant: "client_credentials",
        error: "mint_failed",
        [require ? "rejected" : "skipped"]: "token_unavailable",
      });
      assert.match(String(built.logs[0]?.fields["error"]), /client_secret is not there/);
      await send(built);
      assert.equal(built.logs.length, 1);
      assert.equal(issuer.requests.length, 0);
    });
  }

  test("an empty value of a source", async (t) => {
    const issuer = await startGoodIssuer(t);
    const built = build(t, [entryOf("password", issuer.endpoint)], { ...values, password: "" });
    assert.match((await send(built)).shown, /password is empty/);
    assert.equal(issuer.requests.length, 0);
  });

  test("attack 33 I14: a line break in an endpoint header's value", async (t) => {
    const issuer = await startGoodIssuer(t);
    const entry = entryOf("client_credentials", issuer.endpoint, {
      token_endpoint_headers: { "X-A": source("a") },
    });
    const { shown } = await send(build(t, [entry], { ...values, a: "hunter2\r\nX-Evil: 1" }));
    assert.match(shown, /token_endpoint_headers\[.*X-A.*\] has a line break/);
    assert.ok(!shown.includes("hunter2"));
    assert.equal(issuer.requests.length, 0);
  });

  test("an issuer that never answers: refused after ten seconds, once for all who wait", async (t) => {
    const clock = fakeClock();
    const issuer = await startIssuer(t, () => ({ body: never }));
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)], values, { clock });
    const waiting = Promise.all([send(built), send(built)]);
    while (issuer.requests.length === 0) await settled();
    clock.advance(10_000);
    for (const { verdict, exchange } of await waiting) {
      assert.deepEqual(verdict, refusalOf("client_credentials"));
      assert.equal(exchange.annotations["error"], "token_endpoint_error");
    }
    assert.equal(issuer.requests.length, 1);
    assert.equal(built.logs.length, 1);
  });

  test("an issuer that is not there", async (t) => {
    const built = build(t, [entryOf("client_credentials", "http://127.0.0.1:9/token")]);
    const { exchange, shown } = await send(built);
    assert.equal(exchange.annotations["error"], "token_endpoint_error");
    assert.match(shown, /connection refused|no answer/);
    assert.ok(!JSON.stringify(exchange.annotations).includes("127.0.0.1"));
  });

  test("Retry-After is minded", async (t) => {
    const issuer = await startIssuer(t, () => ({ status: 429, headers: { "Retry-After": "17" }, body: "" }));
    const built = build(t, [entryOf("client_credentials", issuer.endpoint)]);
    await send(built);
    assert.equal(built.logs[0]?.fields["retry_in"], "17s");
  });
});

describe("clock skew of ten minutes", () => {
  for (const minutes of [10, -10]) {
    test(`${minutes}: lifetimes do not depend on it, and the log tells of it when an assertion is refused`, async (t) => {
      const Date_ = () => new Date(Date.now() - minutes * 60_000).toUTCString();
      const good = await startIssuer(t, () => ({
        headers: { Date: Date_() },
        body: { access_token: "tok", expires_in: 120 },
      }));
      const built = build(t, [entryOf("client_credentials", good.endpoint)]);
      assert.equal((await send(built)).authorization, "Bearer tok");
      assert.equal((await send(built)).authorization, "Bearer tok");
      assert.equal(good.requests.length, 1);
      const bad = await startIssuer(t, () => ({
        status: 400,
        headers: { Date: Date_() },
        body: { error: "invalid_grant" },
      }));
      const { shown } = await send(build(t, [entryOf("client_credentials", bad.endpoint)]));
      assert.match(shown, /this machine's clock is (?:599|600|601) s/);
      assert.match(shown, minutes > 0 ? /ahead of the issuer's/ : /behind the issuer's/);
    });
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

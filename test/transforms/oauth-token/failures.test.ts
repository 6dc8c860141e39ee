import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fakeClock, settled } from "../../sources/fake-clock.ts";
import {
  build,
  entryOf,
  type IssuerAnswer,
  never,
  refusalOf,
  send,
  source,
  startGoodIssuer,
  startIssuer,
  values,
} from "./fixture.ts";

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

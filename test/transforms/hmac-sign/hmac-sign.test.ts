import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { BodyAbortedError, type BodySource } from "../../../src/http/body.ts";
import { fakeExchange, type FakeRequest, streamedBody } from "../../helpers/exchange.ts";
import { credentials, header, now, refused, signerWith, signs } from "./support.ts";

const quote: FakeRequest = {
  method: "POST",
  url: "https://api.falconx.io/v1/quotes?account=acct1",
  body: '{"base":"BTC","quote":"USD","quantity":"1"}',
};
const falconx = {
  signature: {
    key_encoding: "base64",
    message: "{{.Timestamp}}{{.Method}}{{.PathWithQuery}}{{.Body}}",
  },
  credentials: credentials("api_key", "passphrase"),
  headers: [
    { name: "FX-ACCESS-KEY", value: "{{.Credentials.api_key}}" },
    { name: "FX-ACCESS-SIGN", value: "{{.Signature}}" },
    { name: "FX-ACCESS-TIMESTAMP", value: "{{.Timestamp}}" },
    { name: "FX-ACCESS-PASSPHRASE", value: "{{.Credentials.passphrase}}" },
  ],
};
const falconxSources = { key: "c3VwZXJzZWNyZXRrZXktYnl0ZXM=", api_key: "api-1", passphrase: "pass-1" };

describe("published and computed vectors", () => {
  test("V1 H-01 H-05 H-07: FalconX with four headers, spelled as configured", async () => {
    const exchange = fakeExchange(quote);
    await signs(signerWith(falconx, falconxSources), exchange);
    assert.deepEqual(
      [...exchange.request.headers],
      [
        ["FX-ACCESS-KEY", "api-1"],
        ["FX-ACCESS-SIGN", "osdip9KkbMtE/ZfIpdt432z++Syz0fIQ3M6mAsfbr6Q="],
        ["FX-ACCESS-TIMESTAMP", "1700000000"],
        ["FX-ACCESS-PASSPHRASE", "pass-1"],
      ],
    );
    assert.deepEqual(exchange.annotations, {
      injected: [
        "header:FX-ACCESS-KEY",
        "header:FX-ACCESS-SIGN",
        "header:FX-ACCESS-TIMESTAMP",
        "header:FX-ACCESS-PASSPHRASE",
      ],
    });
    assert.ok(exchange.credentialed);
  });

  test("V2a H-02: SHA-512, raw key, hexadecimal, milliseconds", async () => {
    const config = {
      timestamp: { format: "unix_millis" },
      signature: {
        algorithm: "sha512",
        output_encoding: "hex",
        message: "{{.Timestamp}}{{.Method}}{{.Path}}",
      },
    };
    const exchange = fakeExchange({ url: "https://api.example.com/v1/accounts" });
    await signs(signerWith(config, { key: "rawsecret123" }), exchange);
    assert.equal(
      header(exchange, "X-Signature"),
      "188d9d5920717ac6a9bb1e8f3d8e93322d75ac7d7bb80c53a78366ef57be1759" +
        "ee1a1f80a4f7b1cffa7d279702849dc1947f2b33d0b040c73c400457d54bb377",
    );
  });

  for (const body of [undefined, ""]) {
    test(`V2b H-03: Coinbase Prime with ${body === undefined ? "no" : "an empty"} body`, async () => {
      const exchange = fakeExchange({
        url: "https://api.prime.coinbase.com/v1/portfolios",
        ...(body === undefined ? {} : { body }),
      });
      await signs(signerWith({}, { key: "prime-signing-key" }), exchange);
      assert.equal(header(exchange, "X-Signature"), "xhacxbAQywI6Zl+bcPIibqooxwgJIwdxYUUKQ2dvuf0=");
    });
  }

  test("V2c: a key of one byte", async () => {
    const exchange = fakeExchange({ url: "https://api.example.com/v1/health" });
    await signs(signerWith({}), exchange);
    assert.equal(header(exchange, "X-Signature"), "PKBGsEQNNhEHrWLXuaSPDthHD/Siv6GtqsC6R7PMCwI=");
  });

  test("V3 H-14: SHA-1, hexadecimal key, RFC 3339, decoded path, host without port", async () => {
    const config = {
      timestamp: { format: "rfc3339" },
      rules: [{ host: "api.example.com:8080" }],
      signature: {
        algorithm: "sha1",
        key_encoding: "hex",
        output_encoding: "hex",
        message: "{{.Timestamp}}\n{{.Method}}\n{{.Host}}\n{{.Path}}\n{{.Query}}",
      },
    };
    const exchange = fakeExchange({
      url: "http://api.example.com:8080/v1/a%20b?x=1&y=%20z",
      plaintextCredentials: true,
    });
    await signs(signerWith(config, { key: "000102030405060708090A0b0c0d0e0f" }), exchange);
    assert.equal(header(exchange, "X-Signature"), "6811da2752238a326311efce0d97c304445054ae");
    assert.equal(exchange.request.path, "/v1/a%20b");
  });
});

describe("which requests are signed", () => {
  test("H-04: leaves a request alone that no rule matches", () => {
    const built = signerWith({ rules: [{ host: "api.falconx.io", methods: ["GET"] }] });
    const exchange = fakeExchange(quote);
    assert.equal(built.transform.onRequest?.(exchange), undefined);
    assert.deepEqual([[...exchange.request.headers], exchange.annotations], [[], {}]);
    assert.deepEqual(built.asked, {});
  });

  test("I2: has no part in opening a tunnel", () => {
    assert.equal(signerWith({}).transform.onTunnel, undefined);
  });

  test("I6: refuses to sign for plain HTTP, and asks no source", async () => {
    const built = signerWith({});
    const rejection = await refused(built, fakeExchange({ url: "http://api.example.com/" }));
    assert.deepEqual([rejection.status, rejection.reason], [403, "plaintext_upstream"]);
    assert.deepEqual(built.asked, {});
  });

  test("I5: the first of two signers of one header wins, the second says so", async () => {
    const exchange = fakeExchange();
    await signs(signerWith({}, { key: "first" }), exchange);
    const first = header(exchange, "X-Signature");
    const second = signerWith({}, { key: "second" });
    assert.equal(second.transform.onRequest?.(exchange), undefined);
    assert.equal(header(exchange, "X-Signature"), first);
    assert.equal(exchange.annotations["skipped"], "credential_already_applied");
    assert.deepEqual(second.asked, {});
  });

  test("I5: claims its headers and parameters for later transforms", async () => {
    const exchange = fakeExchange();
    await signs(signerWith({ query: [{ name: "sig", value: "{{.Signature}}" }] }), exchange);
    for (const place of ["x-signature", "query:sig", "signature"]) assert.ok(exchange.claimed(place), place);
  });

  test("I5: does not change a query that is signed already", () => {
    const exchange = fakeExchange();
    exchange.claim("signature");
    const built = signerWith({ headers: [], query: [{ name: "sig", value: "{{.Signature}}" }] });
    assert.equal(built.transform.onRequest?.(exchange), undefined);
    assert.equal(exchange.annotations["skipped"], "credential_already_applied");
  });

  test("signs with differently named headers beside each other", async () => {
    const exchange = fakeExchange();
    await signs(signerWith({}), exchange);
    await signs(signerWith({ headers: [{ name: "X-Second", value: "{{.Signature}}" }] }), exchange);
    assert.equal(header(exchange, "X-Second"), header(exchange, "X-Signature"));
  });

  test("leaves nothing of the workload's own in the headers it sets", async () => {
    const exchange = fakeExchange({
      headers: [
        ["x-signature", "forged"],
        ["Accept", "*/*"],
        ["X-SIGNATURE", "forged too"],
      ],
    });
    await signs(signerWith({}), exchange);
    assert.deepEqual(
      [...exchange.request.headers].map(([name]) => name),
      ["X-Signature", "Accept"],
    );
  });
});

describe("the body", () => {
  const large = "x".repeat(100);
  const sourceOf = (text: string, length: number | undefined): BodySource => ({
    ...streamedBody(text),
    length,
  });
  const readable = async (exchange: ReturnType<typeof fakeExchange>) =>
    (await exchange.request.body.buffer(1 << 20)).toString();

  test("H-06: is read, signed and still there for the upstream", async () => {
    const exchange = fakeExchange({ ...quote, body: sourceOf(quote.body as string, 43) });
    assert.deepEqual(await signs(signerWith(falconx, falconxSources), exchange), { waited: true });
    assert.equal(header(exchange, "FX-ACCESS-SIGN"), "osdip9KkbMtE/ZfIpdt432z++Syz0fIQ3M6mAsfbr6Q=");
    assert.equal(await readable(exchange), quote.body);
  });

  test("H-08 I12: a body over the limit is refused and not signed", async () => {
    const exchange = fakeExchange({ method: "POST", body: sourceOf(large, 100), maxRequestBody: 99 });
    const built = signerWith({});
    const rejection = await refused(built, exchange);
    assert.deepEqual([rejection.status, rejection.reason], [413, "body_truncated"]);
    assert.equal(exchange.annotations["content_length"], 100);
    assert.equal(exchange.annotations["limit"], 99);
    assert.deepEqual(built.asked, {});
  });

  test("a body that an earlier transform made too long is refused", async () => {
    const rejection = await refused(signerWith({}), fakeExchange({ body: large, maxRequestBody: 99 }));
    assert.equal(rejection.reason, "body_truncated");
  });

  test("H-09: a body of unknown length is refused", async () => {
    const rejection = await refused(
      signerWith({}),
      fakeExchange({ method: "POST", body: streamedBody("a") }),
    );
    assert.deepEqual([rejection.status, rejection.reason], [400, "chunked_body_not_allowed"]);
  });

  test("H-10: a body of unknown length is signed where the entry allows it", async () => {
    const exchange = fakeExchange({ method: "POST", body: streamedBody("one ", "two") });
    await signs(signerWith({ allow_chunked_body: true, signature: { message: "{{.Body}}" } }), exchange);
    const expected = createHmac("sha256", "k").update("one two").digest("base64");
    assert.equal(header(exchange, "X-Signature"), expected);
    assert.equal(await readable(exchange), "one two");
  });

  test("a body of unknown length over the limit is refused where the entry allows it", async () => {
    const exchange = fakeExchange({ method: "POST", body: streamedBody(large), maxRequestBody: 99 });
    const rejection = await refused(signerWith({ allow_chunked_body: true }), exchange);
    assert.equal(rejection.reason, "body_truncated");
    assert.equal(exchange.annotations["content_length"], undefined);
  });

  test("a body that ends early is refused", async () => {
    const source: BodySource = {
      length: 10,
      start: (sink) => sink.abort(new BodyAbortedError("gone")),
      resume() {},
      cancel() {},
    };
    const rejection = await refused(signerWith({}), fakeExchange({ method: "POST", body: source }));
    assert.deepEqual([rejection.status, rejection.reason], [400, "body_read_failed"]);
  });

  test("H-16: a body that an earlier transform shortened is signed as it will be sent", async () => {
    const exchange = fakeExchange({
      method: "POST",
      body: "long placeholder",
      headers: [["Content-Length", "16"]],
    });
    exchange.request.body.replace(Buffer.from("short"));
    await signs(signerWith({ signature: { message: "{{.Body}}" } }), exchange);
    assert.equal(header(exchange, "X-Signature"), createHmac("sha256", "k").update("short").digest("base64"));
  });

  test("is signed byte for byte, whatever the bytes are", async () => {
    const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const exchange = fakeExchange({ method: "POST", body });
    await signs(signerWith({ signature: { message: "ü{{.Body}}" } }), exchange);
    const expected = createHmac("sha256", "k").update("ü").update(body).digest("base64");
    assert.equal(header(exchange, "X-Signature"), expected);
    assert.equal(exchange.request.body.bytes, body);
  });

  test("larger than a template's usual output is signed", async () => {
    const body = "y".repeat(300_000);
    const exchange = fakeExchange({ method: "POST", body });
    await signs(signerWith({ signature: { message: "{{.Body}}" } }), exchange);
    assert.equal(header(exchange, "X-Signature"), createHmac("sha256", "k").update(body).digest("base64"));
  });
});

describe("the query", () => {
  const query = [
    { name: "ts", value: "{{.Timestamp}}" },
    { name: "sig", value: "{{.Signature}}" },
  ];
  const signed = {
    headers: [],
    query,
    signature: { message: "{{.Query}}|{{.Body}}", output_encoding: "base64" },
  };
  const form: [string, string] = ["Content-Type", "application/x-www-form-urlencoded; charset=utf-8"];

  test("parameters without the signature are signed, the signature comes last and is escaped", async () => {
    const exchange = fakeExchange({ url: "https://api.example.com/o?sig=dummy&a=%2f&t%73=1&b" });
    await signs(signerWith(signed), exchange);
    const signature = createHmac("sha256", "k").update("a=%2f&b&ts=1700000000|").digest("base64");
    assert.equal(exchange.request.query, `a=%2f&b&ts=1700000000&sig=${encodeURIComponent(signature)}`);
    assert.deepEqual(exchange.annotations["injected"], ["query:ts", "query:sig"]);
  });

  for (const url of [
    "https://api.example.com/o",
    "https://api.example.com/o?",
    "https://api.example.com/o?sig=1",
  ]) {
    test(`parameters begin the query of ${url}`, async () => {
      const exchange = fakeExchange({ url });
      await signs(signerWith(signed), exchange);
      assert.match(exchange.request.query ?? "", /^ts=1700000000&sig=[A-Za-z0-9%]+$/);
    });
  }

  test("a signature that the workload's library put in a form goes", async () => {
    const exchange = fakeExchange({ method: "POST", body: "a=1&sig=dummy&b=%C3%A9", headers: [form] });
    await signs(signerWith(signed), exchange);
    assert.equal(exchange.request.body.bytes?.toString(), "a=1&b=%C3%A9");
    const signature = createHmac("sha256", "k").update("ts=1700000000|a=1&b=%C3%A9").digest("base64");
    assert.equal(exchange.request.query, `ts=1700000000&sig=${encodeURIComponent(signature)}`);
  });

  for (const [what, headers] of [
    ["that is no form", [["Content-Type", "application/json"]]],
    ["that is encoded", [form, ["Content-Encoding", "gzip"]]],
    ["without a type", []],
  ] as [string, [string, string][]][]) {
    test(`a body ${what} stays as it is`, async () => {
      const exchange = fakeExchange({ method: "POST", body: "a=1&sig=dummy", headers });
      await signs(signerWith(signed), exchange);
      assert.equal(exchange.request.body.bytes?.toString(), "a=1&sig=dummy");
    });
  }
});

describe("time, counters and nonces", () => {
  const formats: [format: string, time: number, expected: string][] = [
    ["unix_seconds", now + 999, "1700000000"],
    ["unix_millis", now + 7, "1700000000007"],
    ["unix_nanos", now + 7, "1700000000007000000"],
    ["rfc3339", now + 999, "2023-11-14T22:13:20Z"],
    ["rfc3339_millis", now + 7, "2023-11-14T22:13:20.007Z"],
  ];
  for (const [format, time, expected] of formats) {
    test(`writes ${format}`, async () => {
      const headers = [{ name: "X-Time", value: "{{.Timestamp}}" }];
      const exchange = fakeExchange();
      await signs(
        signerWith({ timestamp: { format }, headers }, undefined, () => time),
        exchange,
      );
      assert.equal(header(exchange, "X-Time"), expected);
    });
  }

  test("the counter only grows, when the clock stands still or goes back too", async () => {
    let time = now;
    const built = signerWith({ headers: [{ name: "N", value: "{{.Counter}}" }] }, undefined, () => time);
    const values: string[] = [];
    for (const step of [0, 0, 5, -600_000, 0]) {
      time += step;
      const exchange = fakeExchange();
      await signs(built, exchange);
      values.push(header(exchange, "N"));
    }
    assert.deepEqual(values, [
      "1700000000000",
      "1700000000001",
      "1700000000005",
      "1700000000006",
      "1700000000007",
    ]);
  });

  test("a request has one nonce and one counter, however often they are named", async () => {
    const built = signerWith({
      signature: { message: "{{.Counter}}{{.Nonce}}" },
      headers: [{ name: "N", value: "{{.Message}}/{{.Counter}}{{.Nonce}}" }],
      query: [{ name: "n", value: "{{.Counter}}{{.Nonce}}" }],
    });
    const exchange = fakeExchange();
    await signs(built, exchange);
    const [message, again] = header(exchange, "N").split("/");
    assert.equal(message, again);
    assert.equal(exchange.request.query, `n=${message}`);
  });
});

describe("explain", () => {
  const explained = (config: Record<string, unknown>, request: FakeRequest) => {
    const built = signerWith(config);
    const lines = built.transform.explain?.(fakeExchange(request));
    assert.deepEqual(built.asked, {});
    return lines;
  };

  test("says what would be set, without asking a source", () => {
    const query = [{ name: "sig", value: "{{.Signature}}" }];
    assert.deepEqual(explained({ query }, {}), [
      "hmac_sign: rules match; would be signed with HMAC-SHA256; would set header X-Signature, query sig",
    ]);
  });

  test("says why a request is left alone or refused", () => {
    assert.match(
      explained({ rules: [{ host: "other.example" }] }, {})?.[0] ?? "",
      /^hmac_sign: rules do not match/,
    );
    const body = streamedBody("a");
    assert.deepEqual(explained({}, { body }), [
      "hmac_sign: rules match; would be refused (chunked_body_not_allowed)",
    ]);
    assert.deepEqual(explained({}, { body: "aaa", maxRequestBody: 2 }), [
      "hmac_sign: rules match; would be refused (body_truncated)",
    ]);
    const exchange = fakeExchange();
    exchange.claim("x-signature");
    assert.deepEqual(signerWith({}).transform.explain?.(exchange), [
      "hmac_sign: rules match; would skip: an earlier transform has put its credential there",
    ]);
  });
});

test("a request waits for nothing when every credential is cached", async () => {
  const built = signerWith(falconx, falconxSources);
  assert.deepEqual(await signs(built, fakeExchange(quote)), { waited: false });
});

// Every file of examples/signing/, run, and its signatures checked by hand-written implementations of what the venues
// publish, and by the values they publish.
import assert from "node:assert/strict";
import { createHash, createHmac, generateKeyPairSync, verify } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { jwtVerify } from "jose";
import type { Transform } from "../../../src/pipeline/types.ts";
import { buildTransforms } from "../../../src/proxy/build-transforms.ts";
import { SourceRegistry } from "../../../src/sources/registry.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { makeHmacSign } from "../../../src/transforms/hmac-sign/index.ts";
import { transformKinds } from "../../../src/transforms/registry.ts";
import { runCheck } from "../../helpers/cli.ts";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import { header, nonce, now, signerWith } from "./support.ts";

const folder = new URL("../../../examples/signing/", import.meta.url);
const form: [string, string] = ["Content-Type", "application/x-www-form-urlencoded"];
const tried = new Set<string>();

/** The `hmac_sign` of an example file. */
function load(name: string, env: NodeJS.ProcessEnv, time = now, edit = (text: string) => text): Transform {
  tried.add(name);
  const text = edit(readFileSync(new URL(name, folder), "utf8"));
  const { draft, locate, issues } = loadConfig({ file: name, text, env });
  assert.ok(draft !== undefined, JSON.stringify(issues));
  const own = makeHmacSign({ now: () => time, nonce: () => nonce });
  const kinds = transformKinds.map((kind) => (kind.name === own.name ? own : kind));
  const sources = new SourceRegistry({ env, onWarning: (_, message) => assert.fail(message) });
  after(() => sources.close());
  const built = buildTransforms(draft, { kinds, sources, locate, file: name });
  assert.deepEqual(built.issues, []);
  const transform = built.transforms.find(({ name }) => name === "hmac_sign");
  assert.ok(transform !== undefined);
  return transform;
}

async function signed(transform: Transform, request: FakeRequest): Promise<FakeExchange> {
  const exchange = fakeExchange(request);
  assert.equal(await transform.onRequest?.(exchange), undefined);
  assert.ok(exchange.annotations["injected"], "no rule of the example matches");
  return exchange;
}

describe("Kraken", () => {
  // https://docs.kraken.com/api/docs/guides/spot-rest-auth
  const key = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
  const env = { KRAKEN_PRIVATE_KEY: key, KRAKEN_API_KEY: "kraken-key" };
  const post = (body: string, path = "AddOrder"): FakeRequest => ({
    method: "POST",
    url: `https://api.kraken.com/0/private/${path}`,
    headers: [form, ["API-Key", "made-up"], ["API-Sign", "bWFkZS11cA=="]],
    body,
  });

  test("signs the published order with the published signature", async () => {
    const body = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
    const exchange = await signed(load("kraken.yaml", env), post(body));
    assert.equal(
      header(exchange, "API-Sign"),
      "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
    );
    assert.equal(header(exchange, "API-Key"), "kraken-key");
  });

  const krakenSign = (path: string, nonce: string, body: string) => {
    const inner = createHash("sha256").update(`${nonce}${body}`).digest();
    const message = Buffer.concat([Buffer.from(path), inner]);
    return createHmac("sha512", Buffer.from(key, "base64")).update(message).digest("base64");
  };

  test("signs many nonces, whose digests have all kinds of bytes", async () => {
    const transform = load("kraken.yaml", env);
    for (let number = 0; number < 50; number++) {
      const body = `pair=X%2BY&nonce=${number}`;
      const exchange = await signed(transform, post(body, "Balance"));
      assert.equal(header(exchange, "API-Sign"), krakenSign("/0/private/Balance", String(number), body));
    }
  });

  test("signs JSON with the message that the example gives for it", async () => {
    const json = '{{.RawPath}}{{sha256 (jsonField "nonce" .Body) .Body}}';
    const edit = (text: string) => {
      assert.ok(text.includes(`# For clients that send JSON: ${json}\n`));
      return text.replace(/message: .*/, `message: '${json}'`);
    };
    const body = '{"nonce": 1616492376594123456789, "pair": "XBTUSD"}';
    const exchange = await signed(load("kraken.yaml", env, now, edit), { ...post(body), headers: [] });
    assert.equal(
      header(exchange, "API-Sign"),
      krakenSign("/0/private/AddOrder", "1616492376594123456789", body),
    );
  });
});

describe("Coinbase Exchange", () => {
  const secret = Buffer.from("coinbase exchange secret").toString("base64");
  const env = { COINBASE_SECRET: secret, COINBASE_KEY: "cb-key", COINBASE_PASSPHRASE: "cb-pass" };
  for (const [method, path, body] of [
    ["GET", "/orders?status=open&product_id=BTC-USD", undefined],
    ["POST", "/orders", '{"size":"1.0","price":"1.0","side":"buy"}'],
    ["DELETE", "/orders/a%2Fb", undefined],
  ] as const) {
    test(`${method} ${path} is signed over timestamp, method, path and body`, async () => {
      const exchange = await signed(load("coinbase-exchange.yaml", env), {
        method,
        url: `https://api.exchange.coinbase.com${path}`,
        headers: [["cb-access-sign", "made-up"]],
        ...(body === undefined ? {} : { body }),
      });
      const expected = createHmac("sha256", Buffer.from(secret, "base64"))
        .update(`1700000000${method}${path}${body ?? ""}`)
        .digest("base64");
      assert.deepEqual(Object.fromEntries(exchange.request.headers), {
        "CB-ACCESS-KEY": "cb-key",
        "CB-ACCESS-SIGN": expected,
        "CB-ACCESS-TIMESTAMP": "1700000000",
        "CB-ACCESS-PASSPHRASE": "cb-pass",
      });
    });
  }
});

describe("Coinbase tokens", () => {
  const currentDate = new Date(now);
  const bearer = (exchange: FakeExchange) => header(exchange, "Authorization").replace(/^Bearer /, "");

  test("Developer Platform: an EdDSA token with the claims of Coinbase's own SDK", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const { d = "", x = "" } = privateKey.export({ format: "jwk" });
    const both = Buffer.concat([Buffer.from(d, "base64url"), Buffer.from(x, "base64url")]);
    const id = "11111111-2222-3333-4444-555555555555";
    const env = { CDP_API_KEY_ID: id, CDP_API_KEY_SECRET: both.toString("base64") };
    const exchange = await signed(load("coinbase-cdp.yaml", env), {
      method: "POST",
      url: "https://api.cdp.coinbase.com/platform/v1/wallets?limit=1",
      headers: [["authorization", "Bearer made-up"]],
    });
    const { payload, protectedHeader } = await jwtVerify(bearer(exchange), publicKey, { currentDate });
    assert.deepEqual(protectedHeader, { alg: "EdDSA", typ: "JWT", kid: id, nonce });
    assert.deepEqual(payload, {
      sub: id,
      iss: "cdp",
      aud: ["cdp_service"],
      uris: ["POST api.cdp.coinbase.com/platform/v1/wallets"],
      iat: 1_700_000_000,
      nbf: 1_700_000_000,
      exp: 1_700_000_120,
    });
  });

  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = pair.privateKey.export({ type: "sec1", format: "pem" });
  const id = "organizations/1/apiKeys/2";
  for (const [what, secret] of [
    ["with line breaks", pem],
    ["on one line", pem.replaceAll("\n", "\\n")],
  ] as const) {
    test(`Advanced Trade: an ES256 token, from a key ${what}`, async () => {
      const env = { COINBASE_API_KEY: id, COINBASE_API_SECRET: secret };
      const exchange = await signed(load("coinbase-advanced-trade.yaml", env), {
        url: "https://api.coinbase.com/api/v3/brokerage/accounts",
      });
      const { payload, protectedHeader } = await jwtVerify(bearer(exchange), pair.publicKey, { currentDate });
      assert.deepEqual(protectedHeader, { alg: "ES256", typ: "JWT", kid: id, nonce });
      assert.deepEqual(payload, {
        sub: id,
        iss: "cdp",
        uri: "GET api.coinbase.com/api/v3/brokerage/accounts",
        nbf: 1_700_000_000,
        exp: 1_700_000_120,
      });
    });
  }

  test("a path with quotation marks adds no claims", async () => {
    const env = { COINBASE_API_KEY: id, COINBASE_API_SECRET: pem };
    const path = '/api/v3/brokerage/x","sub":"someone-else';
    const exchange = await signed(load("coinbase-advanced-trade.yaml", env), {
      url: `https://api.coinbase.com${path}`,
    });
    const { payload } = await jwtVerify(bearer(exchange), pair.publicKey, { currentDate });
    assert.deepEqual([payload.sub, payload["uri"]], [id, `GET api.coinbase.com${path}`]);
  });
});

describe("Binance", () => {
  // https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security
  const secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
  const api = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
  const env = { BINANCE_SECRET_KEY: secret, BINANCE_API_KEY: api };
  const time = 1_499_827_319_559;
  const order = (symbol: string) =>
    `symbol=${symbol}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000`;
  const published: [symbol: string, signature: string][] = [
    ["LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"],
    [
      "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96",
      "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ],
  ];
  for (const [symbol, signature] of published) {
    test(`signs the published order for ${symbol} with the published signature`, async () => {
      const exchange = await signed(load("binance.yaml", env, time), {
        method: "POST",
        url: `https://api.binance.com/api/v3/order?${order(symbol)}&timestamp=1&signature=${"0".repeat(64)}`,
        headers: [["x-mbx-apikey", "made-up"]],
      });
      assert.equal(exchange.request.query, `${order(symbol)}&timestamp=${time}&signature=${signature}`);
      assert.deepEqual([...exchange.request.headers], [["X-MBX-APIKEY", api]]);
    });
  }

  test("signs what a client posts as a form, signature and timestamp in the query", async () => {
    const exchange = await signed(load("binance.yaml", env, time), {
      method: "POST",
      url: "https://api.binance.com/api/v3/order",
      headers: [form],
      body: `timestamp=1&${order("LTCBTC")}&signature=made-up`,
    });
    const payload = `timestamp=${time}${order("LTCBTC")}`;
    const signature = createHmac("sha256", secret).update(payload).digest("hex");
    assert.equal(exchange.request.query, `timestamp=${time}&signature=${signature}`);
    assert.equal(exchange.request.body.bytes?.toString(), order("LTCBTC"));
  });

  test("signs the published request with parameters in the query and in the body", async () => {
    const built = signerWith(
      {
        signature: { output_encoding: "hex", message: "{{.Query}}{{.Body}}" },
        headers: [],
        query: [{ name: "signature", value: "{{.Signature}}" }],
      },
      { key: secret },
    );
    const query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC";
    const exchange = await signed(built.transform, {
      method: "POST",
      url: `https://api.binance.com/api/v3/order?${query}`,
      headers: [form],
      body: "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
    });
    assert.equal(
      exchange.request.query,
      `${query}&signature=0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77`,
    );
  });

  test("signs with an Ed25519 key from a file, escaped in the query", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const directory = mkdtempSync(join(tmpdir(), "sallyport-binance-"));
    after(() => rmSync(directory, { recursive: true }));
    const file = join(directory, "key.pem");
    writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    const edit = (text: string) => text.replace("binance-ed25519.pem", file);
    const exchange = await signed(load("binance-ed25519.yaml", { BINANCE_API_KEY: api }, time, edit), {
      url: "https://api.binance.com/api/v3/account?omitZeroBalances=true",
    });
    const match = /^(.*)&signature=([A-Za-z0-9%]+)$/.exec(exchange.request.query ?? "");
    const [, payload = "", signature = ""] = match ?? [];
    assert.equal(payload, `omitZeroBalances=true&timestamp=${time}`);
    assert.ok(
      verify(null, Buffer.from(payload), publicKey, Buffer.from(decodeURIComponent(signature), "base64")),
    );
  });
});

test("GitHub webhooks: the published payload has the published signature", async () => {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
  const env = { GITHUB_WEBHOOK_SECRET: "It's a Secret to Everybody" };
  const exchange = await signed(load("github-webhook.yaml", env), {
    method: "POST",
    url: "https://hooks.example.com/github",
    body: "Hello, World!",
  });
  assert.equal(
    header(exchange, "X-Hub-Signature-256"),
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
  );
});

describe("Twilio webhooks", () => {
  // https://www.twilio.com/docs/usage/security#validating-requests
  const url = "https://mycompany.com/myapp.php?foo=1&bar=2";
  const env = { TWILIO_AUTH_TOKEN: "12345" };

  test("the published form has the published signature, in whatever order it is sent", async () => {
    const parameters = [
      ["To", "+18005551212"],
      ["CallSid", "CA1234567890ABCDE"],
      ["Digits", "1234"],
      ["From", "+12349013030"],
      ["Caller", "+12349013030"],
    ];
    const transform = load("twilio-webhook.yaml", env);
    for (const order of [parameters, parameters.toReversed()]) {
      const body = new URLSearchParams(order).toString();
      const exchange = await signed(transform, { method: "POST", url, headers: [form], body });
      assert.equal(header(exchange, "X-Twilio-Signature"), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }
  });

  test("repeated, empty and non-ASCII parameters are signed as Twilio's libraries do it", async () => {
    const parameters: [string, string][] = [
      ["b", "zwei & 2"],
      ["B", "ü"],
      ["b", "eins"],
      ["b", "eins"],
      ["empty", ""],
    ];
    const body = new URLSearchParams(parameters).toString();
    const exchange = await signed(load("twilio-webhook.yaml", env), {
      method: "POST",
      url,
      headers: [form],
      body,
    });
    const expected = createHmac("sha1", "12345")
      .update([url, "Bü", "beins", "bzwei & 2", "empty"].join(""))
      .digest("base64");
    assert.equal(header(exchange, "X-Twilio-Signature"), expected);
  });
});

describe("examples/signing/", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".yaml"));

  test("every file was tried here, and is listed in the README", () => {
    assert.deepEqual([...tried].toSorted(), files.toSorted());
    const readme = readFileSync(new URL("README.md", folder), "utf8");
    for (const name of files) assert.ok(readme.includes(`[${name}](${name})`), name);
  });

  for (const name of files) {
    test(`${name} is a configuration without fault`, async () => {
      assert.deepEqual((await runCheck(readFileSync(new URL(name, folder), "utf8"))).issues, []);
    });
  }
});

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { type FakeExchange, fakeExchange, type FakeRequest } from "../../helpers/exchange.ts";
import type { FakeSource } from "../../helpers/build-transform.ts";
import { credentials, refused, signerWith, signs } from "./support.ts";

/** I14: no answer, no annotation and no error holds a value of a source, or the body. */
async function refusedQuietly(
  config: Record<string, unknown>,
  sources: Record<string, FakeSource>,
  request: FakeRequest = {},
): Promise<{ status: number; reason: string; annotations: Record<string, unknown> }> {
  const exchange: FakeExchange = fakeExchange(request);
  const rejection = await refused(signerWith(config, sources), exchange);
  const said = inspect([rejection, exchange.annotations], { depth: 9 });
  for (const value of [...Object.values(sources), request.body]) {
    if (typeof value !== "string") continue;
    for (const line of value.split(/[\r\n]+/)) if (line.length > 3) assert.ok(!said.includes(line), said);
  }
  const { status, reason } = rejection;
  return { status, reason, annotations: exchange.annotations };
}

describe("H-11 I4: a credential that cannot be had closes the request", () => {
  const two = { credentials: credentials("id"), headers: [{ name: "Id", value: "{{.Credentials.id}}" }] };
  const fails = () => {
    throw new Error("canary-of-a-failing-source");
  };
  const failsLater = () => Promise.reject(new Error("canary-of-a-failing-source"));
  const cases: [what: string, sources: Record<string, FakeSource>, credential: string, error: RegExp][] = [
    ["is not there", { key: "k" }, "id", /could not be read/],
    ["fails", { key: "k", id: fails }, "id", /could not be read/],
    ["fails later", { key: "k", id: failsLater }, "id", /could not be read/],
    ["and the key's source fail", { key: fails, id: failsLater }, "secret", /could not be read/],
    ["gives nothing", { key: "k", id: "" }, "id", /is empty/],
    ["gives nothing for the key", { key: "", id: "i" }, "secret", /is empty/],
    ["gives far too much", { key: "k", id: "canary".repeat(3000) }, "id", /longer than 16384/],
    ["gives a line break", { key: "k", id: "canary\n" }, "id", /line break/],
    ["gives a carriage return", { key: "k", id: "canary\rX-Injected: 1" }, "id", /line break/],
    ["gives a NUL", { key: "k", id: "canary\0" }, "id", /control character/],
  ];
  for (const [what, sources, credential, error] of cases) {
    test(`502 when a source ${what}`, async () => {
      const { status, reason, annotations } = await refusedQuietly(two, sources);
      assert.deepEqual(
        [status, reason, annotations["credential"]],
        [502, "credential_unavailable", credential],
      );
      assert.match(annotations["error"] as string, error);
      assert.ok(!inspect(annotations).includes("canary"));
    });
  }

  test("one source that fails beside one that fails later ends no process", async () => {
    const later = () => new Promise<string>((_, reject) => setImmediate(reject, new Error("late")));
    const rejection = await refusedQuietly(two, { key: later, id: fails });
    assert.equal(rejection.reason, "credential_unavailable");
    await new Promise((resolve) => setImmediate(resolve));
  });

  test("signs with the new value as soon as a source gives one", async () => {
    let value = "one";
    const built = signerWith(two, { key: "k", id: () => value });
    for (const next of ["one", "two"]) {
      value = next;
      const exchange = fakeExchange();
      await signs(built, exchange);
      assert.equal(exchange.request.headers.get("Id"), next);
    }
  });

  test("a source that is slow holds up only its own request, and is not asked twice by it", async () => {
    const later = () => new Promise<string>((resolve) => setImmediate(resolve, "slow"));
    const built = signerWith(two, { key: "k", id: later });
    const exchange = fakeExchange();
    assert.deepEqual(await signs(built, exchange), { waited: true });
    assert.deepEqual(built.asked, { key: 1, id: 1 });
  });
});

describe("H-12 H-15: a key that cannot be decoded", () => {
  const pem = (type: "ed25519" | "x25519") =>
    generateKeyPairSync(type as "ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve }).privateKey;
  const seed = Buffer.alloc(32, 7);
  const cases: [what: string, signature: Record<string, string>, key: string, error: RegExp][] = [
    ["base64 without padding", { key_encoding: "base64" }, "Y2FuYXJ5LWtleQ", /padded base64/],
    ["URL-safe base64", { key_encoding: "base64" }, "_-_-Y2FuYXJ5", /padded base64/],
    ["base64 with a space", { key_encoding: "base64" }, "Y2Fu YXJ5", /padded base64/],
    ["base64 of nothing", { key_encoding: "base64" }, "\r\n", /padded base64/],
    ["an odd number of hexadecimal digits", { key_encoding: "hex" }, "0a0b0c0d0", /hexadecimal digits/],
    ["letters that are no digits", { key_encoding: "hex" }, "canary00", /hexadecimal digits/],
    ["hexadecimal digits and a line break", { key_encoding: "hex" }, "0a0b0c0d\n", /hexadecimal digits/],
    ["no PEM", { algorithm: "ed25519" }, "canary-canary", /padded base64/],
    [
      "a broken PEM",
      { algorithm: "ed25519" },
      "-----BEGIN PRIVATE KEY-----\ncanary\n-----END",
      /not an Ed25519 key \(PEM/,
    ],
    [
      "a seed that is too short",
      { algorithm: "ed25519" },
      seed.subarray(1).toString("base64"),
      /not an Ed25519 key/,
    ],
    [
      "a seed and a foreign public key",
      { algorithm: "ed25519" },
      Buffer.concat([seed, seed]).toString("base64"),
      /halves/,
    ],
    ["a key for agreement", { algorithm: "ed25519" }, pem("x25519"), /not an Ed25519 key/],
    [
      "an Ed25519 key for ECDSA",
      { algorithm: "ecdsa_p256_sha256" },
      pem("ed25519"),
      /not an ECDSA key on the curve P-256/,
    ],
    [
      "another curve",
      { algorithm: "ecdsa_p256_sha256" },
      ec("secp256k1").export({ type: "sec1", format: "pem" }),
      /curve P-256/,
    ],
    ["an Ed25519 key for RSA", { algorithm: "rsa_sha256" }, pem("ed25519"), /not an RSA key/],
    [
      "an encrypted PEM",
      { algorithm: "ecdsa_p256_sha256" },
      ec("P-256").export({ type: "pkcs8", format: "pem", cipher: "aes-128-cbc", passphrase: "p" }),
      /without a passphrase/,
    ],
    [
      "a public key",
      { algorithm: "ed25519" },
      generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }),
      /not an Ed25519 key/,
    ],
  ];
  for (const [what, signature, key, error] of cases) {
    test(`500 for ${what}`, async () => {
      const { status, reason, annotations } = await refusedQuietly(
        { signature: { message: "{{.Method}}", ...signature } },
        { key },
      );
      assert.deepEqual([status, reason], [500, "key_decode_failed"]);
      assert.match(annotations["error"] as string, error);
    });
  }
});

describe("a template that fails on a request", () => {
  const cases: [what: string, message: string, request: FakeRequest, error: RegExp][] = [
    ["a missing parameter", '{{param "nonce" .Body}}', { method: "POST", body: "canary=1" }, /no parameter/],
    [
      "a repeated parameter",
      '{{param "nonce" .Body}}',
      { method: "POST", body: "nonce=1&nonc%65=canary" },
      /more than once/,
    ],
    ["no JSON", '{{jsonField "nonce" .Body}}', { method: "POST", body: '{"canary' }, /JSON object/],
    [
      "no JSON object",
      '{{jsonField "length" .Body}}',
      { method: "POST", body: '["canary"]' },
      /no string or number/,
    ],
    [
      "no such field",
      '{{jsonField "constructor" .Body}}',
      { method: "POST", body: '{"canary":1}' },
      /no string or number/,
    ],
    [
      "a field that is an object",
      '{{jsonField "n" .Body}}',
      { method: "POST", body: '{"n":{"canary":1}}' },
      /no string/,
    ],
    ["no number", '{{add .Body "1"}}', { method: "POST", body: "canary" }, /decimal numbers/],
  ];
  for (const [what, message, request, error] of cases) {
    test(`500 for ${what}`, async () => {
      const { status, reason, annotations } = await refusedQuietly(
        { signature: { message } },
        { key: "k" },
        request,
      );
      assert.deepEqual([status, reason], [500, "message_template_failed"]);
      assert.match(annotations["error"] as string, error);
    });
  }

  test("500 for a header that would break the head apart (attack 33)", async () => {
    const headers = [{ name: "X-Echo", value: "{{.Path}}" }];
    const { status, reason, annotations } = await refusedQuietly(
      { headers },
      { key: "k" },
      { url: "https://api.example.com/a%09canary" },
    );
    assert.deepEqual([status, reason, annotations["header"]], [500, "header_template_failed", "X-Echo"]);
  });

  test("500 for a header that is too long", async () => {
    const headers = [{ name: "X-Echo", value: "{{.Body}}" }];
    const body = "canary".repeat(20_000);
    const { reason } = await refusedQuietly({ headers }, { key: "k" }, { method: "POST", body });
    assert.equal(reason, "header_template_failed");
  });

  test("500 for a query parameter that cannot be made, naming it", async () => {
    const query = [{ name: "n", value: '{{param "nonce" .Body}}{{.Signature}}' }];
    const { status, reason, annotations } = await refusedQuietly({ headers: [], query }, { key: "k" });
    assert.deepEqual([status, reason, annotations["query"]], [500, "query_template_failed", "n"]);
  });
});

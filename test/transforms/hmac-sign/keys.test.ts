import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from "node:crypto";
import { describe, test } from "node:test";
import { fakeExchange } from "../../helpers/exchange.ts";
import { header, signerWith, signs } from "./support.ts";

const message = "{{.Method}} {{.RawPath}} ü {{sha256 .Body}}";

async function signatureOf(
  signature: Record<string, string>,
  key: string,
): Promise<{ signature: Buffer; data: Buffer }> {
  const exchange = fakeExchange({ method: "POST", url: "https://api.example.com/a%2Fb", body: "x" });
  const headers = [
    { name: "S", value: "{{.Signature}}" },
    { name: "M", value: "{{.Message | hex}}" },
  ];
  await signs(signerWith({ signature: { message, ...signature }, headers }, { key }), exchange);
  return {
    signature: Buffer.from(header(exchange, "S"), "base64"),
    data: Buffer.from(header(exchange, "M"), "hex"),
  };
}

const pkcs8 = (key: KeyObject) => key.export({ type: "pkcs8", format: "pem" });
const der = (key: KeyObject, type: "pkcs8" | "sec1" | "pkcs1") =>
  (key.export({ type: type as "pkcs8", format: "der" }) as Buffer).toString("base64");

describe("Ed25519", () => {
  // RFC 8032 section 7.1, test 3.
  const seed = Buffer.from("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "hex");
  const publicKey = Buffer.from("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "hex");

  test("signs as RFC 8032 section 7.1 does, with a seed in base64", async () => {
    const exchange = fakeExchange();
    const signature = { algorithm: "ed25519", output_encoding: "hex", message: '{{"\\xaf\\x82"}}' };
    await signs(signerWith({ signature }, { key: seed.toString("base64") }), exchange);
    assert.equal(
      header(exchange, "X-Signature"),
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    );
  });

  const key = createPublicKey({
    key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), publicKey]),
    format: "der",
    type: "spki",
  });
  const spellings: [what: string, encoding: string, text: string][] = [
    ["a seed in base64", "raw", seed.toString("base64")],
    ["a seed in base64 that a file ended with a line break", "base64", `${seed.toString("base64")}\n`],
    ["a seed in hexadecimal digits", "hex", seed.toString("hex")],
    [
      "a seed and its public key, as Coinbase hands it out",
      "base64",
      Buffer.concat([seed, publicKey]).toString("base64"),
    ],
  ];
  for (const [what, key_encoding, text] of spellings) {
    test(`takes ${what}`, async () => {
      const { signature, data } = await signatureOf({ algorithm: "ed25519", key_encoding }, text);
      assert.ok(verify(null, data, key, signature));
    });
  }

  const pair = generateKeyPairSync("ed25519");
  for (const [what, text] of [
    ["PEM", pkcs8(pair.privateKey)],
    ["PEM on one line", pkcs8(pair.privateKey).trim().replaceAll("\n", "\\n")],
    ["PEM with CRLF", pkcs8(pair.privateKey).replaceAll("\n", "\r\n")],
    ["PKCS #8 in base64", der(pair.privateKey, "pkcs8")],
  ] as const) {
    test(`takes ${what}`, async () => {
      const { signature, data } = await signatureOf({ algorithm: "ed25519" }, text);
      assert.ok(verify(null, data, pair.publicKey, signature));
    });
  }
});

describe("ECDSA P-256", () => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const sec1 = pair.privateKey.export({ type: "sec1", format: "pem" });
  for (const [what, text] of [
    ["PEM (SEC 1), as Coinbase hands it out", sec1],
    ["PEM (PKCS #8)", pkcs8(pair.privateKey)],
    ["PKCS #8 in base64", der(pair.privateKey, "pkcs8")],
    ["SEC 1 in base64", der(pair.privateKey, "sec1")],
  ] as const) {
    for (const [format, dsaEncoding] of [
      [undefined, "ieee-p1363"],
      ["raw", "ieee-p1363"],
      ["der", "der"],
    ] as const) {
      test(`takes ${what} and writes ${format ?? "raw unless told otherwise"}`, async () => {
        const settings = { algorithm: "ecdsa_p256_sha256", ...(format && { ecdsa_format: format }) };
        const { signature, data } = await signatureOf(settings, text);
        assert.ok(verify("sha256", data, { key: pair.publicKey, dsaEncoding }, signature));
        if (dsaEncoding === "ieee-p1363") assert.equal(signature.length, 64);
      });
    }
  }
});

describe("RSA", () => {
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  for (const [what, text] of [
    ["PEM (PKCS #8)", pkcs8(pair.privateKey)],
    ["PEM (PKCS #1)", pair.privateKey.export({ type: "pkcs1", format: "pem" })],
    ["PKCS #1 in base64", der(pair.privateKey, "pkcs1")],
  ] as const) {
    test(`takes ${what} and signs with PKCS #1 v1.5 and SHA-256`, async () => {
      const { signature, data } = await signatureOf({ algorithm: "rsa_sha256" }, text);
      assert.ok(verify("sha256", data, pair.publicKey, signature));
    });
  }

  test("signs beside the other requests, not in their way", async () => {
    const built = signerWith(
      { signature: { algorithm: "rsa_sha256", message: "x" } },
      { key: pkcs8(pair.privateKey) },
    );
    assert.deepEqual(await signs(built, fakeExchange()), { waited: true });
  });
});

test("a raw key is used with every byte it has, a line break at its end included", async () => {
  const signatures = await Promise.all(["k", "k\n"].map((key) => signatureOf({}, key)));
  assert.notDeepEqual(signatures[0]?.signature, signatures[1]?.signature);
});

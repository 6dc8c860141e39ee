import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hmacSign } from "../../../src/transforms/hmac-sign/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { runCheck } from "../../helpers/cli.ts";
import { credentials } from "./support.ts";

const good = {
  signature: { message: "{{.Body}}" },
  credentials: credentials("id"),
  headers: [{ name: "X-Signature", value: "{{.Signature}}" }],
  rules: [{ host: "*" }],
};

function built(config: Record<string, unknown>) {
  return buildTransform(hmacSign, { ...good, ...config }, { key: "k", id: "i" });
}

const word = (key: string, value: string) => {
  const [section = "", name = ""] = key.split(".");
  return { [section]: { ...(section === "signature" ? good.signature : {}), [name]: value } };
};

const errors: [config: Record<string, unknown>, error: string][] = [
  [
    word("timestamp.format", "nanos"),
    'timestamp.format: hmac_sign: unknown timestamp.format "nanos" (want unix_seconds|unix_millis|unix_nanos|rfc3339|rfc3339_millis)',
  ],
  [
    word("signature.algorithm", "md5"),
    'signature.algorithm: hmac_sign: unknown signature.algorithm "md5" (want sha256|sha512|sha1|ed25519|ecdsa_p256_sha256|rsa_sha256)',
  ],
  [
    word("signature.key_encoding", "rot13"),
    'signature.key_encoding: hmac_sign: unknown signature.key_encoding "rot13" (want raw|base64|hex)',
  ],
  [
    word("signature.output_encoding", "morse"),
    'signature.output_encoding: hmac_sign: unknown signature.output_encoding "morse" (want base64|hex|base64url)',
  ],
  [
    { signature: { ...good.signature, algorithm: "ecdsa_p256_sha256", ecdsa_format: "asn1" } },
    'signature.ecdsa_format: hmac_sign: unknown signature.ecdsa_format "asn1" (want raw|der)',
  ],
  [
    word("signature.ecdsa_format", "der"),
    "signature.ecdsa_format: hmac_sign: signature.ecdsa_format is for ECDSA, not for sha256",
  ],
  [{ signature: {} }, "signature.message: hmac_sign: signature.message is required"],
  [
    word("signature.message", "{{.Foo}}"),
    "signature.message: hmac_sign: parsing signature.message: unknown field .Foo; there are: .Timestamp, .Nonce, " +
      ".Counter, .Method, .Host, .URL, .Path, .RawPath, .Query, .PathWithQuery, .RawPathWithQuery, .Body, .Credentials " +
      "(at character 3)",
  ],
  [
    word("signature.message", "{{.Signature}}"),
    "signature.message: hmac_sign: parsing signature.message: unknown field .Signature; there are: .Timestamp, .Nonce, " +
      ".Counter, .Method, .Host, .URL, .Path, .RawPath, .Query, .PathWithQuery, .RawPathWithQuery, .Body, .Credentials " +
      "(at character 3)",
  ],
  [{ headers: [] }, 'headers: hmac_sign: at least one entry in "headers" is required (or in "query")'],
  [{ headers: [{ value: "x" }] }, "headers.0: hmac_sign: headers[0].name is required"],
  [{ headers: [{ name: "X", value: "" }] }, "headers.0: hmac_sign: headers[0].value is required"],
  [
    { headers: [{ name: "X", value: "{{" }] },
    "headers.0.value: hmac_sign: parsing headers[0].value: action is not closed with }} (at character 1)",
  ],
  [{ headers: [{ name: "X Y", value: "x" }] }, 'headers.0.name: hmac_sign: "X Y" is not a header name'],
  [
    { headers: [{ name: "content-length", value: "x" }] },
    "headers.0.name: hmac_sign: content-length belongs to the connection; it cannot be set",
  ],
  [{ query: [{ value: "x" }] }, "query.0: hmac_sign: query[0].name is required"],
  [{ query: [{ name: "a" }] }, "query.0: hmac_sign: query[0].value is required"],
  [
    {
      query: [
        { name: "a", value: "x" },
        { name: "a", value: "y" },
      ],
    },
    'query.1.name: hmac_sign: "a" is set twice',
  ],
  [{ credentials: {} }, 'credentials: hmac_sign: "credentials" must include at least "secret"'],
  [
    { credentials: { id: { type: "test", name: "id" } } },
    'credentials: hmac_sign: "credentials" must include "secret" (the HMAC key)',
  ],
  [{ rules: [] }, 'rules: hmac_sign: at least one entry in "rules" is required'],
];

describe("H-13: mistakes that are found at load", () => {
  for (const [config, error] of errors) {
    test(error, () => {
      const { transform, errors } = built(config);
      assert.deepEqual(errors, [error]);
      assert.doesNotThrow(() => transform.explain);
    });
  }

  test("all of them at once", () => {
    const config = {
      timestamp: { format: "nanos" },
      signature: { algorithm: "md5" },
      headers: [{}],
    };
    const { errors } = buildTransform(hmacSign, config);
    assert.equal(errors.length, 7, errors.join("\n"));
  });
});

describe("I14: the key cannot be named in a template", () => {
  const templates = [
    "{{.Credentials.secret}}",
    '{{index .Credentials "secret"}}',
    "{{$.Credentials.secret}}",
    "{{with .Credentials}}{{.secret}}{{end}}",
    "{{.Credentials.secret | sha256 | hex}}{{.Signature}}",
  ];
  const places: [place: string, of: (value: string) => Record<string, unknown>][] = [
    ["headers[0].value", (value) => ({ headers: [{ name: "X", value }] })],
    ["query[0].value", (value) => ({ query: [{ name: "x", value }] })],
    ["signature.message", (message) => ({ signature: { message } })],
  ];
  for (const template of templates) {
    for (const [place, of] of places) {
      if (place === "signature.message" && template.includes("Signature")) continue;
      test(`${template} in ${place}`, () => {
        const [error = "", ...others] = built(of(template)).errors;
        assert.match(error, /secret is the signing key, which no template may name/);
        assert.ok(error.includes(`parsing ${place}: `), error);
        assert.deepEqual(others, []);
      });
    }
  }

  for (const template of ["{{.Credentials}}", "{{print .Credentials}}", "{{.}}", "{{json .Credentials}}"]) {
    test(`nor can ${template} print them all`, () => {
      assert.equal(built({ headers: [{ name: "X", value: template }] }).errors.length, 1);
    });
  }
});

test("a header that is set twice is warned about, and the last one counts", () => {
  const headers = [
    { name: "X-Sig", value: "1" },
    { name: "x-sig", value: "2" },
  ];
  const { errors, warnings } = built({ headers, rules: [{ host: "api.example.com" }] });
  assert.deepEqual(
    [errors, warnings],
    [[], ["headers.1.name: hmac_sign: x-sig is set twice; the last one counts"]],
  );
});

test("every source is handed out for the start-up check, and the rules for the implicit allowlist", () => {
  const { transform } = built({});
  assert.deepEqual(
    transform.secrets?.map(({ name }) => name),
    ["key", "id"],
  );
  assert.equal(transform.credentialRules?.length, 1);
});

describe("in a file", () => {
  const file = (lines: string) => `tls: {ca_cert: a, ca_key: b}
transforms:
  - name: hmac_sign
    config:
      credentials: {secret: {type: env, var: KEY}}
      rules: [{host: api.example.com}]
${lines}`;

  test("an unknown key is found with its place and the nearest known one", async () => {
    const { issues } = await runCheck(
      file(`      signature: {message: x, algoritm: sha1}
      headers: [{name: X, valeu: x}]
`),
    );
    const found = issues.filter((issue) => issue.includes("unknown key"));
    assert.equal(found.length, 2, issues.join("\n"));
    assert.match(found[0] ?? "", /^7:31: unknown key "algoritm".*"algorithm"/);
    assert.match(found[1] ?? "", /^8:27: unknown key "valeu".*"value"/);
  });

  test("a word outside its list and a template with a mistake are found with their places", async () => {
    const { issues } = await runCheck(
      file(`      signature: {message: "{{.Bdy}}", algorithm: md5}
      headers: [{name: X, value: x}]
`),
    );
    assert.ok(
      issues.some((issue) => /^7:51: .*unknown signature.algorithm "md5"/.test(issue)),
      issues.join("\n"),
    );
    assert.ok(
      issues.some((issue) => /^7:28: .*unknown field .Bdy/.test(issue)),
      issues.join("\n"),
    );
  });

  test("a mistake in a source is found below its credential", async () => {
    const text = file(`      signature: {message: x}
      headers: [{name: X, value: x}]
`).replace("{type: env, var: KEY}", "{type: env, vra: KEY}");
    const { issues } = await runCheck(text);
    assert.ok(
      issues.some((issue) => issue.startsWith('5:41: unknown key "vra"')),
      issues.join("\n"),
    );
  });
});

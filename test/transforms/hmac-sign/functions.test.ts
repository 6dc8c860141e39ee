import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { signingFunctions } from "../../../src/transforms/hmac-sign/functions.ts";
import { compileTemplate } from "../../../src/transforms/template/index.ts";

function render(text: string, body = ""): string {
  const fields = { Body: "string" } as const;
  const { template, error } = compileTemplate(text, { fields, functions: signingFunctions });
  if (error !== undefined) throw new Error(error.message);
  return template.render({ Body: Buffer.from(body, "utf8").toString("latin1") });
}

const utf8 = (bytes: string) => Buffer.from(bytes, "latin1").toString("utf8");
const digest = (algorithm: string, data: string | Buffer) => createHash(algorithm).update(data);

const renderings: [template: string, body: string, expected: string][] = [
  ["{{sha256 .Body | hex}}", "é", digest("sha256", "é").digest("hex")],
  ["{{sha512 .Body | base64}}", "abc", digest("sha512", "abc").digest("base64")],
  ["{{sha1 .Body | base64url}}", "abc", digest("sha1", "abc").digest("base64url")],
  ["{{md5 .Body | hex}}", "", "d41d8cd98f00b204e9800998ecf8427e"],
  ['{{sha256 "a" .Body "c" | hex}}', "b", digest("sha256", "abc").digest("hex")],
  [
    "{{sha256 (sha256 .Body) | hex}}",
    "abc",
    digest("sha256", digest("sha256", "abc").digest()).digest("hex"),
  ],
  ['{{base64 "ü" .Body}}', "é", Buffer.from("üé").toString("base64")],
  ["{{lower .Body}}|{{upper .Body}}", "Àé Zz", "Àé zz|Àé ZZ"],
  ["{{json .Body}}", 'a"b\\c\nd/é\u0001', '"a\\"b\\\\c\\nd/é\\u0001"'],
  ['{{add "1700000000" "120"}} {{add "-1" "9007199254740993"}}', "", "1700000120 9007199254740992"],
  ['{{param "nonce" .Body}}', "a=1&n%6Fnce=1+2%2B3&b", "1 2+3"],
  ['{{.Body | param "b"}}.', "a=1&b&&c=2", "."],
  ['{{jsonField "nonce" .Body}}', '{"nonce":18446744073709551615,"x":[1]}', "18446744073709551615"],
  ['{{jsonField "nonce" .Body}}', '{"nonce":"é"}', "é"],
  ['{{jsonField "__proto__" .Body}}', '{"__proto__":"own"}', "own"],
  ['{{sortedParams "" "" .Body}}', "b=2&a=1&B=3&a=0&a=1", "B3a0a1b2"],
  ['{{sortedParams "=" "&" .Body}}', "b=%2B&a+a=x%20y", "a a=x y&b=+"],
  ['{{sortedParams "=" "&" .Body}}', "", ""],
];
for (const [template, body, expected] of renderings) {
  test(`${template} of ${JSON.stringify(body)} is ${JSON.stringify(expected)}`, () => {
    assert.equal(utf8(render(template, body)), expected);
  });
}

test("a digest keeps every byte on its way into another one", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom("sha256", "sha512", "sha1", "md5"),
      (data, name) => {
        const call = signingFunctions[name]?.call as (args: string[]) => string;
        const bytes = Buffer.from(data);
        const once = call([bytes.toString("latin1")]);
        assert.equal(Buffer.from(once, "latin1").toString("hex"), digest(name, bytes).digest("hex"));
      },
    ),
  );
});

test("json gives one JSON string for any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const faithful = Buffer.from(text, "utf8").toString("utf8");
      assert.equal(JSON.parse(utf8(render("{{json .Body}}", text))), faithful);
    }),
  );
});

test("jsonField reads a field below nothing but the top", () => {
  assert.throws(() => render('{{jsonField "n" .Body}}', '{"a":{"n":1}}'), /no string or number/);
});

test("add takes time for no numbers beyond reason", () => {
  assert.throws(() => render('{{add .Body "1"}}', "9".repeat(41)), /whole decimal numbers/);
});

for (const [template, message] of [
  ["{{sha256}}", /sha256 takes at least 1 argument/],
  ["{{sha256 1}}", /sha256 takes strings, not a number/],
  ['{{sortedParams "=" .Body}}', /sortedParams takes 3 arguments/],
  ["{{hmac .Body}}", /unknown function "hmac"/],
] as const) {
  test(`refuses ${template} at load`, () => assert.throws(() => render(template), message));
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAwsAuth } from "../../../src/transforms/aws-auth/index.ts";
import { buildTransform } from "../../helpers/build-transform.ts";
import { anyHost, awsAuthWith, staticKeys } from "./support.ts";

const mistakes: readonly [name: string, config: unknown, errors: RegExp[]][] = [
  [
    "no keys",
    anyHost,
    [/^: aws_auth: requires either access_key_id\+secret_access_key or credentials_provider$/],
  ],
  [
    "only the ID",
    { ...anyHost, access_key_id: staticKeys.access_key_id },
    [/aws_auth: secret_access_key is required/],
  ],
  [
    "only the secret",
    { ...anyHost, secret_access_key: staticKeys.secret_access_key },
    [/aws_auth: access_key_id is required/],
  ],
  [
    "keys and a provider",
    { ...anyHost, ...staticKeys, credentials_provider: { type: "workload_identity" } },
    [/set either access_key_id\/secret_access_key or credentials_provider, not both/],
  ],
  [
    "a provider without a type",
    { ...anyHost, credentials_provider: {} },
    [
      /^credentials_provider\.type: aws_auth: building credentials_provider: credentials_provider\.type is required$/,
    ],
  ],
  [
    "a provider of another type",
    { ...anyHost, credentials_provider: { type: "vault" } },
    [/unsupported credentials_provider type "vault"/],
  ],
  ["no rules", staticKeys, [/^rules: aws_auth: at least one entry in "rules" is required$/]],
  [
    "actions that are none, or cannot be told apart",
    { ...anyHost, ...staticKeys, allowed_actions: ["GetItem", "lambda:Invoke", "lambda:*", "s3:Get*"] },
    [
      /^allowed_actions\.0: .*"GetItem" is not service:Operation/,
      /^allowed_actions\.1: .*lambda cannot be told apart/,
    ],
  ],
];
for (const [name, config, errors] of mistakes) {
  test(`A-01: refuses a configuration with ${name}`, () => {
    const built = buildTransform(makeAwsAuth(), config);
    assert.equal(built.errors.length, errors.length, built.errors.join("\n"));
    for (const [index, error] of errors.entries()) assert.match(built.errors[index] as string, error);
  });
}

test("an unknown key is an error", () => {
  assert.throws(() => buildTransform(makeAwsAuth(), { ...staticKeys, ...anyHost, region: "x" }), /region/);
});

test("names its rules and sources for the start-up checks", () => {
  const { transform } = awsAuthWith({ session_token: { type: "test", name: "token" } });
  assert.equal(transform.credentialRules?.length, 1);
  assert.deepEqual(
    transform.secrets?.map(({ name }) => name),
    ["id", "key", "token"],
  );
});

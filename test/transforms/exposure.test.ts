// What each mechanism says goes out with a request, which is what answers are searched for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { secrets } from "../../src/transforms/secrets/index.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { type FakeExchange, fakeExchange } from "../helpers/exchange.ts";
import { awsAuthWith, keys, s3, signedBy } from "./aws-auth/support.ts";
import { credentials, signerWith } from "./hmac-sign/support.ts";

const source = { type: "test", name: "KEY" };
const rules = [{ host: "*" }];

async function secretsExposed(entry: object, value = "secret-value-01"): Promise<FakeExchange> {
  const built = buildTransform(secrets, { secrets: [{ source, rules, ...entry }] }, { KEY: value });
  assert.deepEqual(built.errors, []);
  const exchange = fakeExchange({ headers: [["X-Key", "ph-of-the-key"]] });
  await built.transform.onRequest?.(exchange);
  return exchange;
}

test("secrets: a swapped value becomes its placeholder, an injected one its name, with what a formatter made of it", async () => {
  const swapped = await secretsExposed({ replace: { proxy_value: "ph-of-the-key" } });
  assert.deepEqual(swapped.exposed, [
    { value: "secret-value-01", name: "KEY", replacement: "ph-of-the-key" },
  ]);
  const formatter = 'Basic {{ base64 "me:" .Value }}';
  const injected = await secretsExposed({ inject: { header: "Authorization", formatter } });
  assert.deepEqual(injected.exposed, [
    { value: "secret-value-01", name: "KEY", replacement: "[redacted:KEY]" },
    {
      value: Buffer.from("me:secret-value-01").toString("base64"),
      name: "KEY",
      replacement: "[redacted:KEY]",
      part: "formatted",
    },
  ]);
  const bearer = await secretsExposed({ inject: { header: "X", formatter: "Bearer {{ .Value }}" } });
  assert.equal(bearer.exposed?.length, 1);
});

test("secrets: scrub: off says nothing, pass_unknown_encoding says so", async () => {
  const off = await secretsExposed({ inject: { header: "X" }, scrub: "off" });
  assert.equal(off.exposed, undefined);
  const passing = await secretsExposed({ inject: { header: "X" }, scrub: "pass_unknown_encoding" });
  assert.equal(passing.exposed?.[0]?.passUnknown, true);
});

test("secrets: a value that is its own placeholder is refused, and not shown", async () => {
  const built = buildTransform(
    secrets,
    { secrets: [{ source, rules, replace: { proxy_value: "its-own-placeholder" } }] },
    { KEY: "its-own-placeholder" },
  );
  const verdict = await built.transform.onRequest?.(
    fakeExchange({ headers: [["X", "its-own-placeholder"]] }),
  );
  assert.ok(verdict?.kind === "reject" && verdict.reason === "secret_invalid");
  assert.match(verdict.detail ?? "", /^The value of the secret KEY is its own placeholder/);
  assert.ok(!verdict.detail?.includes("its-own-placeholder"));
});

test("hmac_sign: every credential but the key, and a signature that stands in the query", async () => {
  const query = [{ name: "signature", value: "{{.Signature}}" }];
  const sources = { key: "the-signing-key", api_key: "the-api-key" };
  const headers = [{ name: "X-Api-Key", value: "{{.Credentials.api_key}}" }];
  const built = signerWith({ credentials: credentials("api_key"), headers, query }, sources);
  const exchange = fakeExchange();
  await built.transform.onRequest?.(exchange);
  assert.deepEqual(
    exchange.exposed?.map(({ name, once }) => [name, once]),
    [
      ["api_key", undefined],
      ["hmac_sign", true],
    ],
  );
  assert.ok(!exchange.exposed?.some(({ value }) => value === "the-signing-key"));
});

test("aws_auth: key ID, session token and the signature of a presigned URL; ranges stay, and are signed", async () => {
  const sources = { id: keys.accessKeyId, key: keys.secretAccessKey, token: "the-session-token" };
  const built = awsAuthWith({ session_token: { type: "test", name: "token" } }, sources);
  const signed = signedBy("eu-west-1/s3", {
    url: `${s3}/object`,
    headers: [
      ["X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"],
      ["Range", "bytes=0-9"],
      ["Accept-Encoding", "gzip, compress"],
    ],
  });
  assert.equal(await built.transform.onRequest?.(signed), undefined);
  assert.deepEqual(
    signed.exposed?.map(({ name }) => name),
    ["aws_access_key_id", "aws_session_token"],
  );
  assert.equal(signed.request.headers.get("range"), "bytes=0-9");
  assert.equal(signed.request.headers.get("accept-encoding"), "gzip", "cut before it is signed");
  assert.ok(!signed.exposed?.some(({ value }) => value === keys.secretAccessKey));
  const scope = "AKIAPLACEHOLDER%2F20250101%2Feu-west-1%2Fs3%2Faws4_request";
  const parameters = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${scope}&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60`;
  const presigned = fakeExchange({
    url: `${s3}/object?${parameters}&X-Amz-SignedHeaders=host&X-Amz-Signature=0`,
  });
  assert.equal(await built.transform.onRequest?.(presigned), undefined);
  const signature = presigned.exposed?.find(({ name }) => name === "aws_signature");
  assert.equal(signature?.once, true);
  assert.ok(presigned.request.query?.endsWith(`X-Amz-Signature=${signature?.value}`));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SourceError } from "../../../src/sources/types.ts";
import { sentRequest, verifySigV4 } from "../../helpers/sigv4.ts";
import { awsAuthWith, dynamo, keys, refused, signedBy, signs } from "./support.ts";

const secretText = "s3cr3t-value-that-must-not-get-out";
const badSources: readonly [
  name: string,
  id: string | (() => string),
  key: string | (() => string),
  problem: RegExp,
][] = [
  [
    "cannot be read",
    keys.accessKeyId,
    () => {
      throw new SourceError(`failed with ${secretText}`);
    },
    /^a source of the keys could not be read$/,
  ],
  ["gives nothing", "", secretText, /^access_key_id: the value is empty$/],
  ["gives too much", keys.accessKeyId, secretText.repeat(20), /^secret_access_key: the value is too long$/],
  [
    "gives a line feed",
    keys.accessKeyId,
    `${secretText}\n`,
    /^secret_access_key: the value has a space, a line break/,
  ],
  ["gives a header", `AKIA\r\nX-Evil: ${secretText}`, secretText, /^access_key_id: the value has/],
  ["gives a key ID that ends the field", "AKIA/x,y", secretText, /^access_key_id: the value has/],
];
for (const [name, id, key, problem] of badSources) {
  test(`A-15, I14 attack 33: answers 502 when a source ${name}, and shows nothing of it`, async () => {
    const exchange = signedBy("us-east-1/dynamodb", { url: dynamo });
    const rejection = await refused(awsAuthWith({}, { id, key }), exchange);
    assert.deepEqual([rejection.status, rejection.reason], [502, "credential_unavailable"]);
    assert.equal(exchange.annotations["credential"], "static");
    assert.match(exchange.annotations["error"] as string, problem);
    assert.doesNotMatch(JSON.stringify([rejection, exchange.annotations]), new RegExp(secretText));
  });
}

test("waits for sources that are not cached, and uses a rotated key at once", async () => {
  let key = "first-key-of-two";
  const built = awsAuthWith({}, { id: async () => keys.accessKeyId, key: async () => key });
  const outcome = async (): Promise<readonly string[]> => {
    const exchange = signedBy("us-east-1/dynamodb", { url: dynamo });
    await signs(built, exchange);
    return verifySigV4(await sentRequest(exchange), { ...keys, secretAccessKey: key }).problems;
  };
  assert.deepEqual(await outcome(), []);
  key = "second-key-of-two";
  assert.deepEqual(await outcome(), []);
});

test("answers 502 when a source fails later", async () => {
  const built = awsAuthWith(
    {},
    { id: keys.accessKeyId, key: () => Promise.reject(new SourceError(secretText)) },
  );
  const rejection = await refused(built, signedBy("us-east-1/dynamodb", { url: dynamo }));
  assert.equal(rejection.reason, "credential_unavailable");
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { readSigningKeys, SigningKeyError } from "../../src/callers/keys.ts";
import { newKey } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-keys-"));
after(() => rmSync(folder, { recursive: true }));

function fileWith(text: string): string {
  const path = join(folder, newKey());
  writeFileSync(path, text);
  return path;
}

const [current, previous] = [newKey(), newKey()];

test("reads the keys from variables or from files, without the white space around them", () => {
  const plain = readSigningKeys({ SANDBOX_SIGNING_KEY: current, SANDBOX_SIGNING_KEY_PREVIOUS: previous });
  const fromFiles = readSigningKeys({
    SANDBOX_SIGNING_KEY_FILE: fileWith(`${current}\n`),
    SANDBOX_SIGNING_KEY_PREVIOUS_FILE: fileWith(previous),
  });
  assert.deepEqual(
    [fromFiles?.current.id, fromFiles?.previous?.id],
    [plain?.current.id, plain?.previous?.id],
  );
  assert.notEqual(plain?.current.id, plain?.previous?.id);
  assert.equal(plain?.current.key.export().toString(), current);
});

test("no variable means no key; an empty one counts as none", () => {
  assert.equal(readSigningKeys({}), undefined);
  assert.equal(readSigningKeys({ SANDBOX_SIGNING_KEY: "", SANDBOX_SIGNING_KEY_FILE: "" }), undefined);
});

for (const [what, env, message] of [
  [
    "a short key",
    { SANDBOX_SIGNING_KEY: "short-key-secret" },
    /^SANDBOX_SIGNING_KEY holds fewer than 32 bytes/,
  ],
  [
    "a short previous key",
    { SANDBOX_SIGNING_KEY: current, SANDBOX_SIGNING_KEY_PREVIOUS: "x" },
    /^SANDBOX_SIGNING_KEY_PREVIOUS holds fewer than 32 bytes/,
  ],
  ["spaces", { SANDBOX_SIGNING_KEY: " ".repeat(64) }, /^SANDBOX_SIGNING_KEY holds fewer/],
  [
    "the previous key alone",
    { SANDBOX_SIGNING_KEY_PREVIOUS: previous },
    /^SANDBOX_SIGNING_KEY is not set, and SANDBOX_SIGNING_KEY_PREVIOUS alone/,
  ],
  [
    "a key and a file",
    { SANDBOX_SIGNING_KEY: current, SANDBOX_SIGNING_KEY_FILE: "/dev/null" },
    /^SANDBOX_SIGNING_KEY and SANDBOX_SIGNING_KEY_FILE are both set/,
  ],
  [
    "a file that is not there",
    { SANDBOX_SIGNING_KEY_FILE: join(folder, "none") },
    /^SANDBOX_SIGNING_KEY_FILE names a file that cannot be read \(ENOENT\)$/,
  ],
] as const) {
  test(`refuses ${what}, naming the variable and showing no key`, () => {
    assert.throws(
      () => readSigningKeys(env),
      (error: unknown) => {
        assert.ok(error instanceof SigningKeyError);
        assert.match(error.message, message);
        for (const value of Object.values(env)) {
          if (value.length > 8 && !value.startsWith("/")) assert.ok(!error.message.includes(value));
        }
        return true;
      },
    );
  });
}

test("I14: keys show nothing of themselves, however they are printed", () => {
  const keys = readSigningKeys({ SANDBOX_SIGNING_KEY: current, SANDBOX_SIGNING_KEY_PREVIOUS: previous });
  const shown =
    inspect(keys, { depth: 9, showHidden: true }) + JSON.stringify(keys) + inspect(keys?.current.key);
  for (const key of [current, previous]) assert.ok(!shown.includes(key));
});

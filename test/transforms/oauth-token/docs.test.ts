// docs/mechanisms/oauth-token.md against the schema, the grants, the stub and the loader.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { tokenStub } from "../../../src/transforms/minting/stub.ts";
import { grantKeys } from "../../../src/transforms/oauth-token/grants.ts";
import { grants, oauthTokenSchema } from "../../../src/transforms/oauth-token/schema.ts";
import { runCheck } from "../../helpers/cli.ts";

const page = readFileSync(new URL("../../../docs/mechanisms/oauth-token.md", import.meta.url), "utf8");

function section(heading: string): string {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.ok(start >= 0, `no section "${heading}"`);
  const end = page.indexOf("\n## ", start + 4);
  return page.slice(start, end < 0 ? undefined : end);
}

const entryShape = oauthTokenSchema.shape.tokens.unwrap().element.shape;
const names = (cell: string | undefined) => [...(cell ?? "").matchAll(/`([^`]+)`/g)].map(([, name]) => name);

const examples = [...page.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, text]) => text as string);
assert.equal(examples.length, 2);
for (const [index, text] of examples.entries()) {
  test(`example ${index + 1} is a configuration without fault`, async () => {
    assert.deepEqual((await runCheck(text)).issues, []);
  });
}

test("tells of every key, and of no other", () => {
  const rows = [...section("Keys").matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key as string);
  assert.deepEqual(rows.toSorted(), Object.keys(entryShape).toSorted());
});

test("tells what each grant takes", () => {
  const audience = (grant: string) => (grant === "jwt_bearer" ? ["audience"] : []);
  for (const grant of grants) {
    const row = section("Grants")
      .split("\n")
      .find((line) => line.startsWith(`| \`${grant}\` |`));
    const [required, optional] = (row ?? "").split("|").slice(2);
    const { required: needed, optional: taken, settings } = grantKeys[grant];
    assert.deepEqual(names(required), [...needed.map(([field]) => field), ...audience(grant)]);
    const others = [...taken, ...settings].filter((key) => !audience(grant).includes(key));
    assert.deepEqual(names(optional), others);
  }
});

test("shows the stub as it is", () => assert.ok(page.includes(`\n\n${tokenStub.response.body}\n`)));

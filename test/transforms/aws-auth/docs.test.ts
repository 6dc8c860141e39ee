// docs/mechanisms/aws-auth.md against the schema, the reasons and the loader.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { reasons } from "../../../src/reasons.ts";
import { awsAuthSchema } from "../../../src/transforms/aws-auth/schema.ts";
import { runCheck } from "../../helpers/cli.ts";

const page = readFileSync(new URL("../../../docs/mechanisms/aws-auth.md", import.meta.url), "utf8");

function section(heading: string): string {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.ok(start >= 0, `no section "${heading}"`);
  const end = page.indexOf("\n## ", start + 4);
  return page.slice(start, end < 0 ? undefined : end);
}

/** First cells of the rows of a section's table. */
function firstCells(heading: string): string[] {
  return [...section(heading).matchAll(/^\| `([^`]+)` \|/gm)].map(([, cell]) => cell as string);
}

const examples = [...page.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, text]) => text as string);
assert.ok(examples.length > 0);
for (const [index, text] of examples.entries()) {
  test(`example ${index + 1} is a configuration without fault`, async () => {
    assert.deepEqual((await runCheck(text)).issues, []);
  });
}

test("tells of every key, and of no other", () => {
  assert.deepEqual(firstCells("Keys").toSorted(), Object.keys(awsAuthSchema.shape).toSorted());
});

test("the reasons it tells of are those of the code", () => {
  const source = ["check", "resign", "inbound", "payload"]
    .map((name) =>
      readFileSync(new URL(`../../../src/transforms/aws-auth/${name}.ts`, import.meta.url), "utf8"),
    )
    .join("\n");
  const used = reasons.filter((reason) => source.includes(`"${reason}"`));
  assert.deepEqual(firstCells("Refusals").toSorted(), [...used, "plaintext_upstream"].toSorted());
});

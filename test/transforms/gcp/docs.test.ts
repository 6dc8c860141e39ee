// docs/mechanisms/gcp.md against the schemas, the reasons and the loader.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { credentialOperations } from "../../../src/transforms/gcp/operations.ts";
import { gcpAuthSchema, gcpIdTokenSchema } from "../../../src/transforms/gcp/schema.ts";
import { reasons } from "../../../src/reasons.ts";
import { runCheck } from "../../helpers/cli.ts";

const page = readFileSync(new URL("../../../docs/mechanisms/gcp.md", import.meta.url), "utf8");

/** First cells of the rows of a section's table, each code in them by itself. */
function firstCells(heading: string): string[] {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.ok(start >= 0, `no section "${heading}"`);
  const end = page.indexOf("\n## ", start + 4);
  const section = page.slice(start, end < 0 ? undefined : end);
  const cells = [...section.matchAll(/^\| (`[^|]+) \|/gm)].map(([, cell]) => cell as string);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string));
}

const examples = [...page.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, text]) => text as string);
assert.ok(examples.length > 0);
for (const [index, text] of examples.entries()) {
  test(`example ${index + 1} is a configuration without fault`, async () => {
    assert.deepEqual((await runCheck(text)).issues, []);
  });
}

test("tells of every key, and of no other", () => {
  assert.deepEqual(firstCells("Keys of gcp_auth").toSorted(), Object.keys(gcpAuthSchema.shape).toSorted());
  assert.deepEqual(
    firstCells("Keys of gcp_id_token").toSorted(),
    Object.keys(gcpIdTokenSchema.shape).toSorted(),
  );
});

test("tells of every operation that hands out credentials, and of no other", () => {
  assert.deepEqual(firstCells("Operations that hand out credentials"), [...credentialOperations]);
});

test("the reasons it tells of are those of the code", () => {
  const source = ["attach", "gcp-auth", "gcp-id-token", "metadata-stub"]
    .map((name) => readFileSync(new URL(`../../../src/transforms/gcp/${name}.ts`, import.meta.url), "utf8"))
    .join("\n");
  const used = reasons.filter((reason) => source.includes(`reason: "${reason}"`));
  assert.deepEqual(
    firstCells("Refusals").toSorted(),
    [...used, "body_too_large", "plaintext_upstream"].toSorted(),
  );
});

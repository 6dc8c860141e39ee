// docs/mechanisms/hmac-sign.md against the schema, the fields, the functions, the reasons and the loader.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "yaml";
import type { z } from "zod";
import { reasons } from "../../../src/reasons.ts";
import { timestampFormats } from "../../../src/transforms/hmac-sign/clock.ts";
import { requestFields, signatureFields } from "../../../src/transforms/hmac-sign/fields.ts";
import { signingFunctions } from "../../../src/transforms/hmac-sign/functions.ts";
import { algorithms } from "../../../src/transforms/hmac-sign/keys.ts";
import { hmacSignSchema } from "../../../src/transforms/hmac-sign/schema.ts";
import { runCheck } from "../../helpers/cli.ts";
import { fakeExchange } from "../../helpers/exchange.ts";
import { credentials, signerWith, signs } from "./support.ts";

const page = readFileSync(new URL("../../../docs/mechanisms/hmac-sign.md", import.meta.url), "utf8");

function section(heading: string): string {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.ok(start >= 0, `no section "${heading}"`);
  const end = page.indexOf("\n## ", start + 4);
  return page.slice(start, end < 0 ? undefined : end);
}

/** Words in the first cells of the tables of a section. */
function firstCells(heading: string): string[] {
  const cells = [...section(heading).matchAll(/^\| (`[^|]+`) \|/gm)].map(([, cell]) => cell as string);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string));
}

const blocks = [...page.matchAll(/^```yaml\n([^]*?)^```/gm)].map(([, text]) => text as string);
const fragments = blocks.filter((text) => text.startsWith("# fragment\n"));
assert.deepEqual([blocks.length, fragments.length], [3, 2]);

for (const text of blocks.filter((block) => !fragments.includes(block))) {
  test("the example is a configuration without fault", async () => {
    assert.deepEqual((await runCheck(text)).issues, []);
  });
}

for (const [index, text] of fragments.entries()) {
  test(`fragment ${index + 1} is part of a scheme that signs`, async () => {
    const config = { credentials: credentials("key_id"), ...(parse(text) as Record<string, unknown>) };
    const seed = Buffer.alloc(32, 1).toString("base64");
    await signs(signerWith(config, { key: seed, key_id: "id" }), fakeExchange());
  });
}

test("tells of every key, and of no other", () => {
  assert.deepEqual(firstCells("Keys").toSorted(), keysOf(hmacSignSchema).toSorted());
});

function keysOf(schema: z.ZodObject): string[] {
  return Object.entries(schema.shape).flatMap(([key, child]) => {
    const inner = (child as z.ZodOptional<z.ZodType>).unwrap();
    return "shape" in inner ? keysOf(inner as z.ZodObject).map((below) => `${key}.${below}`) : [key];
  });
}

test("tells of every algorithm, format, field and function, and of no other", () => {
  assert.deepEqual(firstCells("Algorithms and keys"), ["algorithm", ...algorithms.keys()]);
  for (const format of timestampFormats.keys()) assert.ok(section("Keys").includes(`\`${format}\``), format);
  const names = Object.keys({ ...requestFields, Credentials: "", ...signatureFields });
  const words = firstCells("Templates");
  assert.deepEqual(
    words.filter((word) => word.startsWith(".")).map((word) => word.split(".")[1]),
    names,
  );
  assert.deepEqual(
    words.filter((word) => !word.startsWith(".")).toSorted(),
    Object.keys(signingFunctions).toSorted(),
  );
});

test("the refusals it tells of are those of the code", () => {
  const folder = new URL("../../../src/transforms/hmac-sign/", import.meta.url);
  const source = readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), "utf8"))
    .join("\n");
  const used = reasons.filter((reason) => source.includes(`"${reason}"`));
  assert.deepEqual(firstCells("Refusals").toSorted(), [...used, "plaintext_upstream"].toSorted());
});

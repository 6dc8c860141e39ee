// The worked example of docs/architecture.md: it compiles, and does what the page says.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { TransformKind } from "../../src/pipeline/types.ts";
import { buildTransform } from "../helpers/build-transform.ts";
import { fakeExchange } from "../helpers/exchange.ts";
import { blocks, read, root } from "./pages.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-example-"));
after(() => rmSync(folder, { recursive: true }));
const example = join(folder, "require-header.ts");
const code = blocks(read("docs/architecture.md")).find(({ language }) => language === "ts")?.text ?? "";
writeFileSync(join(folder, "package.json"), '{"type":"module"}');
symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
writeFileSync(
  example,
  code.replaceAll('from "../', `from "${root}src/`).replaceAll('from "./', `from "${root}src/transforms/`),
);

test("compiles under the project's settings", () => {
  const settings = join(folder, "tsconfig.json");
  const typeRoots = [join(root, "node_modules/@types")];
  const compilerOptions = { rootDir: "/", typeRoots, rewriteRelativeImportExtensions: false };
  const extended = join(root, "tsconfig.json");
  writeFileSync(
    settings,
    JSON.stringify({ extends: extended, compilerOptions, include: [], files: [example] }),
  );
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", settings], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("refuses requests without the header, and notes its value", async () => {
  const { requireHeader } = (await import(pathToFileURL(example).href)) as { requireHeader: TransformKind };
  const { transform, errors, warnings } = buildTransform(requireHeader, {
    rules: [{ host: "api.example.com" }],
  });
  assert.deepEqual([errors, warnings], [[], []]);
  const url = "https://api.example.com/v1";
  const refused = await transform.onRequest?.(fakeExchange({ url }));
  assert.deepEqual(
    [refused?.kind, refused?.kind === "reject" && refused.reason],
    ["reject", "request_not_allowed"],
  );
  const exchange = fakeExchange({ url, headers: [["x-task-id", "T-7"]] });
  assert.equal(await transform.onRequest?.(exchange), undefined);
  assert.deepEqual(exchange.annotations, { task: "T-7" });
  assert.equal(await transform.onRequest?.(fakeExchange({ url: "https://other.example/" })), undefined);
});

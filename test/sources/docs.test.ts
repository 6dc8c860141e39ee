import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parse } from "yaml";
import type { SourceKind } from "../../src/sources/kind.ts";
import { SourceRegistry, sourceKinds } from "../../src/sources/registry.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(join(root, "docs/sources.md"), "utf8");
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, code]) => code as string);

/** The part of the page under a heading, sub-headings included. */
function section(heading: string): string {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.ok(start >= 0, `docs/sources.md has no section "${heading}"`);
  const end = page.indexOf("\n## ", start + 4);
  return page.slice(start, end < 0 ? undefined : end);
}

describe("docs/sources.md", () => {
  test("every source it shows loads without an error", () => {
    const registry = new SourceRegistry({ env: {}, onWarning: () => {} });
    const shown = blocks("yaml").flatMap((text) =>
      Object.values(parse(text) as Record<string, { type: string }>),
    );
    assert.ok(shown.length >= sourceKinds.length);
    for (const source of shown) {
      registry.handle(source, (path, message) => assert.fail(`${source.type} ${path.join(".")}: ${message}`));
    }
  });

  for (const kind of sourceKinds) {
    test(`shows ${kind.name} and tells of each of its keys`, () => {
      const text = section(kind.name);
      assert.ok(text.includes(`type: ${kind.name}\n`), "no example");
      const common = section("Keys that most kinds have");
      for (const key of Object.keys(kind.schema.shape)) {
        const told = key === "type" || text.includes(`\`${key}\``) || common.includes(`| \`${key}\` |`);
        assert.ok(told, `${kind.name}.${key}`);
      }
    });
  }

  test("every error it explains is one that can occur", () => {
    const folder = join(root, "src/sources");
    const code = readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), "utf8"))
      .join("\n");
    const rows = [...page.matchAll(/^\| `([^`]+)` \| (?!required|`)/gm)].map(([, error]) => error as string);
    const errors = rows.filter((text) => text.includes(" "));
    assert.ok(errors.length > 50, `only ${errors.length} errors found`);
    for (const error of errors) {
      // Three dots stand for a name or a number; what follows a colon is often put together elsewhere.
      for (const piece of error.split(/…|: /)) {
        const words = piece.trim().replace(/^"|"$/g, "");
        assert.ok(code.includes(words), `"${words}" of "${error}" is not in the code`);
      }
    }
  });
});

describe("the worked example of adding a source", () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-example-"));
  after(() => rmSync(folder, { recursive: true }));
  const example = join(folder, "vault.ts");
  const [code = ""] = blocks("ts");
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  writeFileSync(example, code.replaceAll('from "./', `from "${root}src/sources/`));

  test("is short", () => assert.ok(code.split("\n").length <= 36));

  test("compiles under the project's settings", () => {
    const settings = join(folder, "tsconfig.json");
    const typeRoots = [join(root, "node_modules/@types")];
    const compilerOptions = { rootDir: "/", typeRoots, rewriteRelativeImportExtensions: false };
    writeFileSync(
      settings,
      JSON.stringify({
        extends: join(root, "tsconfig.json"),
        compilerOptions,
        include: [],
        files: [example],
      }),
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", settings], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });

  test("reads a secret, with everything a kind gets for nothing", async () => {
    const { vaultSource } = (await import(pathToFileURL(example).href)) as { vaultSource: SourceKind };
    let requests = 0;
    const server = createServer((request, response) => {
      requests++;
      const found = request.url === "/v1/secret/data/openai" && request.headers["x-vault-token"] === "t";
      response.statusCode = found ? 200 : 403;
      response.end('{"data":{"data":{"key":"sk-1","org":"o-1"},"metadata":{"version":1}}}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const env = {
        VAULT_ADDR: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        VAULT_TOKEN: "t",
      };
      const kinds = [...sourceKinds, vaultSource];
      const registry = new SourceRegistry({ env, kinds, onWarning: () => {} });
      const handle = (path: string, json_key: string) =>
        registry.handle({ type: "vault", path, json_key, ttl: "5m" }, () => assert.fail());
      const fields = ["key", "org"].map((name) => handle("secret/data/openai", name));
      const values = await Promise.all(fields.map(async (field) => (await field.get()).reveal()));
      assert.deepEqual(values, ["sk-1", "o-1"]);
      assert.equal(requests, 1);
      await assert.rejects(
        async () => handle("secret/data/no", "key").get(),
        /Vault answered with status 403$/,
      );
      const errors: string[] = [];
      registry.handle({ type: "vault", pth: "x" }, (_, message) => errors.push(message));
      assert.deepEqual(errors, [
        'unknown key "pth" in vault source; did you mean "path"?',
        'vault source requires "path" field',
      ]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

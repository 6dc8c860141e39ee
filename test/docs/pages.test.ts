// What holds for every page: links lead somewhere, files and keys exist, configurations are without fault.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { configKeys } from "../../src/config/schema.ts";
import { transformKinds } from "../../src/transforms/registry.ts";
import { runCheck } from "../helpers/cli.ts";
import { blocks, codes, pages, read, root } from "./pages.ts";

/** Pages whose other examples are tried here; the others have tests of their own. */
const ours = pages.filter((path) =>
  /^[A-Z]|architecture|dns|iron|limits|protocols|refusals|routing|transparent|upstream-tls/.test(path),
);

for (const path of pages) {
  test(`${path}: links lead somewhere`, () => {
    for (const [, target = ""] of prose(read(path)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const linked = file === "" ? path : normalize(join(dirname(path), file));
      assert.ok(existsSync(`${root}${linked}`), `${target}: there is no ${linked}`);
      if (anchor !== undefined)
        assert.ok(anchors(read(linked)).includes(anchor), `${target}: no such heading`);
    }
  });
}

for (const path of ours) {
  const page = read(path);
  test(`${path}: files, scripts and keys exist`, () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    for (const [, script = ""] of page.matchAll(/npm run ([a-z:]+)/g)) assert.ok(script in scripts, script);
    const keys = new Set(configKeys().map((key) => key.path.join(".")));
    for (const code of codes(prose(page))) {
      if (/^(?:src|test|bench|\.ci|bin)\/[\w./-]*$/.test(code)) assert.ok(existsSync(`${root}${code}`), code);
      const key = /^(?:proxy|tls|dns|log|sources)\.[a-z_.]+(?=$|:)/.exec(code)?.[0];
      if (key !== undefined && !/\.(?:md|ts|log|yaml)$/.test(key)) assert.ok(keys.has(key), key);
    }
  });

  for (const { language, text, line } of blocks(page)) {
    if (language !== "yaml") continue;
    test(`${path}:${line}: the configuration is without fault`, async () => {
      const { issues } = await runCheck(text);
      assert.deepEqual(issues, []);
    });
  }
}

test("every kind of transform is on the page for those who come from iron-proxy", () => {
  const named = new Set(codes(prose(read("docs/from-iron-proxy.md"))));
  for (const { name } of transformKinds) assert.ok(named.has(name), name);
});

test("all fourteen invariants are there, in order", () => {
  const found = [...read("docs/architecture.md").matchAll(/^- \*\*I(\d+) /gm)].map(([, number]) =>
    Number(number),
  );
  assert.deepEqual(
    found,
    Array.from({ length: 14 }, (_, index) => index + 1),
  );
});

/** Without fenced blocks. */
function prose(page: string): string {
  return page.replaceAll(/^ *```[^]*?^ *```$/gm, "");
}

/** What a heading is called in links. */
function anchors(page: string): string[] {
  return [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

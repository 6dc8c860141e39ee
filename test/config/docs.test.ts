// docs/configuration.md against the schema, in both directions, and every example in it against the loader.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { z } from "zod";
import { variablesOf } from "../../src/config/environment.ts";
import { configJsonSchema } from "../../src/config/json-schema.ts";
import { configKeys, type Key } from "../../src/config/schema.ts";
import { sourceKinds } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";
import { runCheck } from "../helpers/cli.ts";

const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");

/** Fenced blocks of one language. */
function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, "gm"))].map(
    ([, text]) => text ?? "",
  );
}

/** Rows of tables in some text, as their cells. */
function rows(text: string): string[][] {
  return [...text.matchAll(/^\| `(.*) \|$/gm)].map(([, row]) =>
    `\`${row}`.split(" | ").map((cell) => cell.trim()),
  );
}

function bare(cell: string | undefined): string {
  return (cell ?? "").replaceAll("`", "");
}

const keyRows = new Map(
  rows(page)
    .filter((cells) => cells.length === 5)
    .map((cells) => [bare(cells[0]), cells]),
);
/** Transforms have sections instead of a row. */
const leaves = configKeys().filter(({ path, type }) => type !== "section" && path[0] !== "transforms");

for (const [index, text] of blocks("yaml").entries()) {
  test(`example ${index + 1} is a configuration without fault`, async () => {
    const { issues } = await runCheck(text);
    assert.deepEqual(
      issues.filter((issue) => !issue.includes("is started yet")),
      [],
      text,
    );
  });
}

test("the file with slips is answered as shown", async () => {
  const [wrong = ""] = blocks("yml");
  const { issues } = await runCheck(wrong);
  const [transcript = ""] = blocks("console");
  const shown = transcript
    .split("\n")
    .filter((line) => line.startsWith("proxy.yaml:") && !line.startsWith("proxy.yaml: "));
  assert.deepEqual(
    issues.map((issue) => `proxy.yaml:${issue}`),
    shown,
  );
});

for (const key of leaves) {
  const name = key.path.join(".");
  test(`${name} is on the page, with its default and its variable`, () => {
    if (key.type === "any") return assert.ok(page.includes(`\`${name}\``));
    const cells = keyRows.get(name);
    assert.ok(cells !== undefined, `a row for ${name}`);
    const [, , standard, variables, meaning] = cells;
    const expected = defaultOf(key);
    if (expected !== undefined) assert.equal(bare(standard), String(expected));
    assert.equal(bare(variables), shownVariables(key).join(", "));
    assert.ok((meaning ?? "").length > 10);
  });
}

test("no key on the page is unknown", () => {
  const known = new Set(configKeys().map(({ path }) => path.join(".")));
  for (const name of keyRows.keys()) assert.ok(known.has(name), name);
  for (const [, name] of page.matchAll(
    /`((?:dns|proxy|tls|log|audit|sources|metrics|management)\.(?!yaml)[a-z_.]+)[:`]/g,
  )) {
    assert.ok(known.has(name as string), String(name));
  }
});

test("no variable on the page is unknown", () => {
  const known = new Set(configKeys().flatMap(variablesOf));
  for (const [, name] of page.matchAll(/`((?:SALLYPORT|IRON)_\w+)`/g)) {
    if (["SALLYPORT_", "IRON_", "IRON_MANAGEMENT_API_KEY"].includes(name ?? "")) continue;
    assert.ok(known.has(name as string), String(name));
  }
});

const mechanisms = new URL("../../docs/mechanisms/", import.meta.url);
const pages = globSync("*.md", { cwd: mechanisms })
  .toSorted()
  .map((name) => readFileSync(new URL(name, mechanisms), "utf8"));

/** The table of a transform on this page; mechanisms may have pages of their own instead. */
function sectionOf(kind: string): string | undefined {
  return new RegExp(`^### ${kind}\n([^]*?)(?=^##)`, "m").exec(page)?.[1];
}

for (const kind of transformKinds) {
  const keys = keysOf(kind.schema);
  const section = sectionOf(kind.name);
  if (section !== undefined) {
    test(`transform ${kind.name} has a section with its keys and no others`, () => {
      assert.deepEqual(
        rows(section).map(([name]) => bare(name)),
        keys,
      );
    });
  } else {
    test(`transform ${kind.name} has a page in docs/mechanisms/ with every key, or a section here`, () => {
      const own = pages.find((text) => text.includes(`name: ${kind.name}`));
      assert.ok(
        own !== undefined,
        `neither a page nor a section "### ${kind.name}" in docs/configuration.md`,
      );
      for (const key of keys) {
        const last = key.split(".").at(-1)?.replaceAll("[]", "") ?? "";
        assert.match(own, new RegExp(`\\b${last}\\b`), `${kind.name} ${key}`);
      }
    });
  }
}

/** `IRON_` names stand for their `SALLYPORT_` twins, upper case for both cases. */
function shownVariables(key: Key): string[] {
  const variables = variablesOf(key);
  const own = variables.find((name) => name.startsWith("IRON_")) ?? variables[0];
  const shared = variables.filter((name) => /^(?:HTTPS?|NO)_PROXY$/.test(name));
  return own === undefined ? [] : [own, ...shared];
}

interface Node {
  readonly default?: string | number | boolean;
  readonly properties?: Readonly<Record<string, Node>>;
}

function defaultOf({ path }: Key): Node["default"] {
  const schema = configJsonSchema(transformKinds, sourceKinds) as Node;
  return path.reduce<Node | undefined>((node, step) => node?.properties?.[step], schema)?.default;
}

interface Definition {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  /** What a loose object, such as a source, takes besides. */
  readonly catchall?: { readonly _zod: { readonly def: { readonly type: string } } };
}

/** Keys as the page writes them: `secrets[].inject.header`. Rules and sources have sections of their own. */
function keysOf(schema: z.ZodType, path = ""): string[] {
  const def = schema._zod.def as unknown as Definition;
  const inner = def.innerType ?? def.in;
  if (inner !== undefined) return keysOf(inner, path);
  if (def.element !== undefined) return keysOf(def.element, `${path}[]`);
  if (path.endsWith("rules[]") || def.catchall?._zod.def.type === "unknown") return [];
  return Object.entries(def.shape ?? {}).flatMap(([key, child]) => {
    const below = path === "" ? key : `${path}.${key}`;
    return [below, ...keysOf(child, below)];
  });
}

// Every key there is, misspelt in turn: a typo must never be read as "not configured".
import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import type { z } from "zod";
import { formatIssue } from "../../src/config/issues.ts";
import { loadConfig } from "../../src/config/load.ts";
import { configSchema } from "../../src/config/schema.ts";
import { buildTransforms } from "../../src/proxy/build-transforms.ts";
import { SourceRegistry, sourceKinds } from "../../src/sources/registry.ts";
import { transformKinds } from "../../src/transforms/registry.ts";

type Path = readonly (string | number)[];

interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
}

/** Every key of a schema, in the first entry of each list, and what else is known beside it. */
function keysOf(schema: z.ZodType, path: Path = []): { path: Path; siblings: string[] }[] {
  const def = schema._zod.def as unknown as Definition;
  const inner = def.innerType ?? def.in;
  if (inner !== undefined) return keysOf(inner, path);
  if (def.element !== undefined) return keysOf(def.element, [...path, 0]);
  const { shape } = def;
  if (shape === undefined) return [];
  return Object.entries(shape).flatMap(([key, child]) => [
    { path: [...path, key], siblings: Object.keys(shape) },
    ...keysOf(child, [...path, key]),
  ]);
}

/** Two neighbouring letters swapped: the commonest slip. */
function misspell(key: string, siblings: readonly string[]): string {
  for (let at = Math.floor(key.length / 2); at > 0; at--) {
    const slip = `${key.slice(0, at - 1)}${key[at]}${key[at - 1]}${key.slice(at + 1)}`;
    if (slip !== key && !siblings.includes(slip)) return slip;
  }
  return `${key}x`;
}

function nest(path: Path, value: unknown): unknown {
  return path.reduceRight((below, step) => (typeof step === "number" ? [below] : { [step]: below }), value);
}

/** Line and column of the only place where a word stands as a key. */
function placeOf(text: string, key: string): string {
  const lines = text.split("\n");
  const found = lines.flatMap((line, index) => {
    const column = line.search(new RegExp(`(?<![\\w"])${key}:`));
    return column < 0 ? [] : [`${index + 1}:${column + 1}`];
  });
  assert.equal(found.length, 1, `${key} stands once in\n${text}`);
  return found[0] as string;
}

function check(text: string): string[] {
  const { draft, issues, locate } = loadConfig({ file: "p.yaml", text, env: {} });
  assert.ok(draft !== undefined);
  const sources = new SourceRegistry({ env: {}, onWarning: () => {} });
  const built = buildTransforms(draft, { kinds: transformKinds, sources, locate, file: "p.yaml" });
  sources.close();
  return [...issues, ...built.issues].map(formatIssue);
}

function expectSuggestion(data: unknown, slip: string, key: string): void {
  const text = stringify(data);
  const issues = check(text);
  const mine = issues.filter((issue) => issue.includes(`unknown key "${slip}"`));
  assert.equal(mine.length, 1, `in\n${text}\n${issues.join("\n")}`);
  assert.ok(mine[0]?.startsWith(`p.yaml:${placeOf(text, slip)}: unknown key "${slip}" `), mine.join());
  assert.ok(mine[0]?.endsWith(`; did you mean "${key}"?`), mine.join());
}

for (const { path, siblings } of keysOf(configSchema)) {
  const key = path.at(-1) as string;
  if (key === "type" && path.includes("client_certificates")) continue; // of a source; those are below
  const slip = misspell(key, siblings);
  test(`${path.join(".")} misspelt as ${slip}`, () => {
    expectSuggestion(nest([...path.slice(0, -1), slip], "x"), slip, key);
  });
}

test("transforms[0].config misspelt", () => {
  expectSuggestion({ transforms: [{ name: "allowlist", cofnig: {} }] }, "cofnig", "config");
});

for (const kind of transformKinds) {
  for (const { path, siblings } of keysOf(kind.schema)) {
    const key = path.at(-1) as string;
    if (key === "type") continue; // of a source; those are below
    const slip = misspell(key, siblings);
    test(`${kind.name}: ${path.join(".")} misspelt as ${slip}`, () => {
      const config = nest([...path.slice(0, -1), slip], "x");
      expectSuggestion({ transforms: [{ name: kind.name, config }] }, slip, key);
    });
  }
}

for (const kind of sourceKinds) {
  for (const { path, siblings } of keysOf(kind.schema)) {
    const key = path.at(-1) as string;
    if (key === "type") continue;
    const slip = misspell(key, siblings);
    test(`source ${kind.name}: ${key} misspelt as ${slip}`, () => {
      const source = { type: kind.name, [slip]: "x" };
      const config = { secrets: [{ source, inject: { header: "X" }, rules: [{ host: "a.example" }] }] };
      expectSuggestion({ transforms: [{ name: "secrets", config }] }, slip, key);
    });
  }
}

test("every kind that there is was tried", () => {
  for (const kind of [...transformKinds, ...sourceKinds])
    assert.ok(keysOf(kind.schema).length > 0, kind.name);
  assert.ok(keysOf(configSchema).length > 55);
});

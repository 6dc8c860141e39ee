import assert from "node:assert/strict";
import { test } from "node:test";
import { readDocument } from "../../src/config/document.ts";
import { formatIssue, type Path } from "../../src/config/issues.ts";

function read(text: string): { data: unknown; issues: string[] } {
  const { data, issues } = readDocument(text, "p.yaml");
  return { data, issues: issues.map(formatIssue) };
}

/** As ordinary objects, for comparison. */
function plain(data: unknown): unknown {
  return JSON.parse(JSON.stringify(data));
}

const broken: readonly [what: string, text: string, ...issues: string[]][] = [
  [
    "an empty file",
    "",
    "p.yaml:1:1: the file is empty; an iron-proxy or Sallyport configuration begins with a key such as proxy:",
  ],
  [
    "a file of comments",
    "# nothing\n",
    "p.yaml:1:1: the file is empty; an iron-proxy or Sallyport configuration begins with a key such as proxy:",
  ],
  [
    "three braces",
    "{{{",
    "p.yaml:1:4: not valid YAML: Flow map in block collection must be sufficiently indented and end with a }",
  ],
  [
    "several documents",
    "a: 1\n---\nb: 2\n",
    "p.yaml:2:1: not valid YAML: several documents in one file; keep one and remove the lines that are only ---",
  ],
  ["a tab as indentation", "a:\n\tb: 1\n", "p.yaml:2:1: not valid YAML: Tabs are not allowed as indentation"],
  [
    "two colons in a line",
    "a: b: c\n",
    "p.yaml:1:4: not valid YAML: Nested mappings are not allowed in compact mappings",
  ],
  [
    "a tag",
    "a: !env X\n",
    "p.yaml:1:4: not valid YAML: unknown tag; a configuration needs no tags (words that begin with !)",
  ],
  [
    "a duplicate key",
    "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n",
    'p.yaml:4:3: duplicate key "c"; it stands in line 3 already',
    'p.yaml:5:1: duplicate key "a"; it stands in line 1 already',
  ],
  ["an alias of nothing", "a: *gone\n", "p.yaml:1:4: this alias names no anchor above it"],
  [
    "a value that holds itself",
    "a: &a {b: *a}\n",
    "p.yaml:1:11: this alias stands inside the value it repeats",
  ],
  ["a key that is a list", "? [a]\n: b\n", "p.yaml:1:3: a key must be a plain word"],
  ["a merge of a text", "a: 1\n<<: b\n", "p.yaml:2:1: only a mapping can be merged with <<"],
];

for (const [what, text, ...issues] of broken) {
  test(`names the line of ${what}`, () => assert.deepEqual(read(text).issues, issues));
}

test("I12: a bomb of aliases ends at a number of values, quickly", () => {
  const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
  for (let level = 1; level < 30; level++) {
    lines.push(
      `a${level}: &a${level} [${Array(10)
        .fill(`*a${level - 1}`)
        .join(",")}]`,
    );
  }
  const started = performance.now();
  const { issues } = read(lines.join("\n"));
  assert.equal(issues.length, 1);
  assert.match(issues[0] ?? "", /more than 100000 values/);
  assert.ok(performance.now() - started < 5000);
});

for (const [what, text] of [
  ["lists", "[".repeat(3000) + "]".repeat(3000)],
  ["mappings", `${"{a: ".repeat(150)}${"}".repeat(150)}`],
  ["unclosed lists", "[".repeat(20_000)],
] as const) {
  test(`I12: refuses ${what} nested without end`, () => {
    const { issues } = read(text);
    assert.equal(issues.length, 1);
    assert.match(issues[0] ?? "", /nested more than 100 levels deep/);
  });
}

test("I14: no complaint about YAML quotes the file", () => {
  for (const text of [
    'key: "hunter2\\q"',
    "key: 'hunter2",
    "key: hunter2 : x",
    "%hunter2\n---\na: 1",
    "a: !hunter2 x",
    "a: [hunter2}\n",
    "- hunter2\nhunter2\n",
    "a: @hunter2\n",
    "a: &hunter2 *hunter2\n",
  ]) {
    const { issues } = read(text);
    assert.ok(issues.length > 0, text);
    for (const issue of issues) assert.doesNotMatch(issue, /hunter2/);
  }
});

test("follows anchors and merge keys, what is written out winning", () => {
  const text = "base: &b {x: 1, y: 2}\nfirst:\n  <<: *b\n  y: 3\nsecond:\n  y: 4\n  <<: [*b, {x: 9, z: 5}]\n";
  const { data, issues } = read(text);
  assert.deepEqual(issues, []);
  assert.deepEqual(plain(data), {
    base: { x: 1, y: 2 },
    first: { x: 1, y: 3 },
    second: { y: 4, x: 1, z: 5 },
  });
});

test("keys of a file never reach a prototype", () => {
  const { data } = read("__proto__: {polluted: true}\nconstructor: 1\n");
  assert.deepEqual(Object.keys(data as object), ["__proto__", "constructor"]);
  assert.equal(Object.getPrototypeOf(data), null);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

test("an alias gives a copy, so that mending one place leaves the other alone", () => {
  const { data } = read("a: &a {x: 1}\nb: *a\n");
  const { a, b } = data as { a: object; b: object };
  assert.notEqual(a, b);
  assert.deepEqual(a, b);
});

const text = `# comment
proxy:
  http_listen: ":80"
  limits: &limits
    max_connections: 5
transforms:
  - name: secrets
    config:
      secrets: [{proxy_value: 0123, inject: {header: x}}]
other: *limits
merged:
  <<: *limits
`;
const places: readonly [path: Path, value: [number, number], key: [number, number]][] = [
  [[], [2, 1], [2, 1]],
  [["proxy"], [2, 1], [2, 1]],
  [
    ["proxy", "http_listen"],
    [3, 16],
    [3, 3],
  ],
  [
    ["proxy", "https_listen"],
    [2, 1],
    [2, 1],
  ],
  [
    ["proxy", "limits"],
    [4, 3],
    [4, 3],
  ],
  [
    ["proxy", "limits", "max_connections"],
    [5, 22],
    [5, 5],
  ],
  [
    ["proxy", "limits", "max_connections", "deeper"],
    [5, 5],
    [5, 5],
  ],
  [
    ["transforms", 0],
    [7, 5],
    [7, 5],
  ],
  [
    ["transforms", 0, "config", "secrets", 0, "proxy_value"],
    [9, 31],
    [9, 18],
  ],
  [
    ["transforms", 0, "config", "secrets", 0, "inject", "header"],
    [9, 54],
    [9, 46],
  ],
  [
    ["transforms", 0, "config", "secrets", 7, "inject"],
    [9, 7],
    [9, 7],
  ],
  [
    ["other", "max_connections"],
    [5, 22],
    [5, 5],
  ],
  [
    ["merged", "max_connections"],
    [5, 22],
    [5, 5],
  ],
  [["nowhere"], [2, 1], [2, 1]],
];

for (const [path, value, key] of places) {
  test(`points at ${path.join(".") || "the root"}`, () => {
    const { locate } = readDocument(text, "p.yaml");
    const at = (part: "value" | "key") => [locate(path, part).line, locate(path, part).column];
    assert.deepEqual([at("value"), at("key")], [value, key]);
  });
}

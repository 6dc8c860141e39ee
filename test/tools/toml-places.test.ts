import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parse } from "smol-toml";
import type { Path } from "../../src/config/issues.ts";
import { readToml } from "../../src/tools/toml.ts";
import { locateToml } from "../../src/tools/toml-places.ts";

const text = `# a comment with = and [
title = "x" # another
"quoted key" = 'single'
a.b.c = 1
[tool.centaur]
module = """
secrets = [ "not here" ]
quotes at the end """"
secrets = [
  # a comment ]
  { name = "ONE", fields = { "client\\u005fid" = "X", deep = [[1], [2, 3]] } },
  "TWO", # "THREE"
]
[[list]]
x = 1
[[list]]
y = 2024-01-01T00:00:00Z
[list.sub]
z = '''
[no.header]
'''
`;

for (const [path, key, value] of [
  [["title"], "2:1", "2:9"],
  [["quoted key"], "3:1", "3:16"],
  [["a", "b", "c"], "4:5", "4:9"],
  [["tool"], "5:1", "5:1"],
  [["tool", "centaur", "module"], "6:1", "6:10"],
  [["tool", "centaur", "secrets"], "9:1", "9:11"],
  [["tool", "centaur", "secrets", 0], "11:3", "11:3"],
  [["tool", "centaur", "secrets", 0, "name"], "11:5", "11:12"],
  [["tool", "centaur", "secrets", 0, "fields", "client_id"], "11:30", "11:49"],
  [["tool", "centaur", "secrets", 0, "fields", "deep", 1, 1], "11:71", "11:71"],
  [["tool", "centaur", "secrets", 1], "12:3", "12:3"],
  [["list", 0, "x"], "15:1", "15:5"],
  [["list", 1, "y"], "17:1", "17:5"],
  [["list", 1, "sub", "z"], "19:1", "19:5"],
] as const satisfies readonly (readonly [Path, string, string])[]) {
  test(`finds ${path.join(".")}`, () => {
    const locate = locateToml(text);
    const at = (part: "key" | "value") => Object.values(locate(path, part)).join(":");
    assert.deepEqual([at("key"), at("value")], [key, value]);
  });
}

test("points at the nearest thing around what is missing", () => {
  const locate = locateToml(text);
  assert.deepEqual(locate(["tool", "centaur", "secrets", 0, "hosts"]), { line: 11, column: 3 });
  assert.deepEqual(locate(["nothing", "here"]), { line: 1, column: 1 });
});

test("takes CRLF for one line end", () => {
  assert.deepEqual(locateToml("a = 1\r\n\r\nb = 2\r\n")(["b"]), { line: 3, column: 5 });
});

const scalar = fc.oneof(
  fc.integer().map(String),
  fc.boolean().map(String),
  fc.string().map((one) => JSON.stringify(one.replaceAll(/[\u0000-\u001f\u007f]/g, ""))),
  fc.stringMatching(/^[ -&(-~]{0,9}$/).map((one) => `'${one}'`),
  fc.constantFrom('"""a\n"b""\\""""', "'''\n'x' [a]\n''''", "[]", "{}", "1979-05-27"),
);
const value = fc.letrec<{ value: string; list: string; table: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, scalar, tie("list"), tie("table")),
  list: fc.array(tie("value"), { maxLength: 3 }).map((all) => `[ # [ "\n ${all.join(" ,\n")} ]`),
  table: fc
    .array(tie("value"), { maxLength: 3 })
    .map((all) => `{${all.map((one, at) => `k${at} = ${one}`).join(", ")}}`),
})).value;

test("finds a key behind any value", () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), (values) => {
      const lines = values.map((one, index) => `before${index} = ${one}\n`).join("");
      const document = `${lines}[tool.x]\nlast = "here"\n`;
      parse(document); // the walker is for texts that the parser accepts
      const line = document.split("\n").length - 1;
      assert.deepEqual(locateToml(document)(["tool", "x", "last"]), { line, column: 8 });
    }),
    { numRuns: 200 },
  );
});

test("tells the place of a syntax error, and quotes nothing (I14)", () => {
  const fault = readToml('a = 1\ntoken = "sk-live-123\n');
  assert.ok("message" in fault);
  assert.equal(fault.line, 2);
  assert.doesNotMatch(fault.message, /sk-live/);
});

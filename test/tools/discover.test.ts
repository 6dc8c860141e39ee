// Row C4: directories of tools, categories, shadowing, and bad tools among good ones.
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { discoverTools, toolDirectories } from "../../src/tools/index.ts";
import { directoryOf, simple } from "./support.ts";

function names(directories: readonly string[]): string[] {
  return discoverTools(directories).tools.map(
    ({ name, secrets }) => `${name}: ${secrets.map((one) => one.name).join()}`,
  );
}

test("finds tools and, one level down, those in categories; by name", () => {
  const root = directoryOf({
    "search/pyproject.toml": simple("SEARCH_KEY"),
    "crm/warehouse/pyproject.toml": simple("WAREHOUSE_KEY"),
    "crm/deeper/still/pyproject.toml": simple("DEEP_KEY"),
    "alchemy/pyproject.toml": simple("ALCHEMY_KEY"),
    ".git/pyproject.toml": simple("GIT_KEY"),
    "_shared/pyproject.toml": simple("SHARED_KEY"),
    "crm/_old/pyproject.toml": simple("OLD_KEY"),
    "docs/readme.txt": "no tool",
    "linted/pyproject.toml": "[tool.ruff]\n",
  });
  assert.deepEqual(names([root]), ["alchemy: ALCHEMY_KEY", "search: SEARCH_KEY", "warehouse: WAREHOUSE_KEY"]);
  assert.deepEqual(discoverTools([root]).problems, []);
});

test("a category may have a pyproject.toml of its own that declares nothing", () => {
  const root = directoryOf({ "crm/pyproject.toml": "[project]\n", "crm/x/pyproject.toml": simple("X_KEY") });
  assert.deepEqual(names([root]), ["x: X_KEY"]);
});

test("T16: a bad tool is left out whole and the others load", () => {
  const root = directoryOf({
    "bad/pyproject.toml": `[tool.centaur]\nsecrets = [\n  { name = "GOOD", match_path = true, hosts = ["h"] },\n  { name = "BAD", hosts = ["h"] },\n]\n`,
    "broken/pyproject.toml": '[tool.centaur]\nsecrets = = "A"\n',
    "good/pyproject.toml": simple("GOOD_KEY"),
  });
  const { tools, problems } = discoverTools([root]);
  assert.deepEqual(
    tools.map(({ name }) => name),
    ["good"],
  );
  assert.deepEqual(
    problems.map(({ severity, file, line, tool, entry }) => [severity, file, line, tool, entry]),
    [
      ["error", join(root, "bad/pyproject.toml"), 4, "bad", "BAD"],
      ["error", join(root, "broken/pyproject.toml"), 2, "broken", undefined],
    ],
  );
  assert.match(problems[1]?.message ?? "", /^not valid TOML: /);
});

test("T17: a tool of a later directory takes the place of an earlier one, its secrets included", () => {
  const base = directoryOf({ "x/pyproject.toml": simple("BASE_KEY"), "y/pyproject.toml": simple("Y_KEY") });
  const overlay = directoryOf({ "x/pyproject.toml": simple("OVERLAY_KEY") });
  assert.deepEqual(names([base, overlay]), ["x: OVERLAY_KEY", "y: Y_KEY"]);
  const { problems } = discoverTools([base, overlay]);
  assert.deepEqual(
    problems.map(({ severity, message }) => [severity, message]),
    [["note", `takes the place of ${join(base, "x/pyproject.toml")}`]],
  );
  assert.deepEqual(names([base, base]), ["x: BASE_KEY", "y: Y_KEY"]);
});

test("a bad tool does not bring back the one that it shadows", () => {
  const base = directoryOf({ "x/pyproject.toml": simple("BASE_KEY") });
  const overlay = directoryOf({ "x/pyproject.toml": '[tool.centaur]\nsecrets = [{ name = "X" }]' });
  assert.deepEqual(names([base, overlay]), []);
});

test("two tools of one name in one directory are worth a warning", () => {
  const root = directoryOf({ "a/x/pyproject.toml": simple("A_KEY"), "b/x/pyproject.toml": simple("B_KEY") });
  assert.deepEqual(
    discoverTools([root]).problems.map(({ severity }) => severity),
    ["warning"],
  );
});

test("follows links, of which a mounted ConfigMap is made", () => {
  const root = directoryOf({ "..data/x/pyproject.toml": simple("X_KEY") });
  symlinkSync("..data/x", join(root, "x"));
  symlinkSync("nowhere", join(root, "dangling"));
  assert.deepEqual(names([root]), ["x: X_KEY"]);
});

test("says which directory cannot be read, and why", () => {
  const root = directoryOf({ file: "" });
  const said = (path: string) => discoverTools([path]).problems.map(({ file, message }) => [file, message]);
  const missing = join(root, "missing");
  assert.deepEqual(said(missing), [[missing, "cannot read this directory of tools: it does not exist"]]);
  const file = join(root, "file");
  assert.deepEqual(said(file), [[file, "cannot read this directory of tools: it is no directory"]]);
});

test("says so when a directory is a tool itself", () => {
  const root = directoryOf({ "x/pyproject.toml": simple("X_KEY") });
  const { tools, problems } = discoverTools([join(root, "x")]);
  assert.deepEqual(
    [tools.length, problems[0]?.message],
    [0, "this is a tool itself; name the directory that it is in"],
  );
});

test("I12: a file that is no declaration by its size, kind or bytes is refused, not read", () => {
  const root = directoryOf({ "large/pyproject.toml": "", "a b/pyproject.toml": simple("X_KEY") });
  truncateSync(join(root, "large/pyproject.toml"), 256 * 1024 + 1);
  mkdirSync(join(root, "folder/pyproject.toml"), { recursive: true });
  mkdirSync(join(root, "binary"));
  writeFileSync(join(root, "binary/pyproject.toml"), Buffer.from([0x23, 0xff, 0xfe]));
  const { tools, problems } = discoverTools([root]);
  assert.deepEqual(tools, []);
  assert.deepEqual(
    problems.map(({ tool, message }) => `${tool}: ${message}`),
    [
      "a b: the directory's name has a comma or white space in it; rename it",
      "binary: is not UTF-8 text",
      "folder: is no regular file",
      "large: is larger than 262144 bytes",
    ],
  );
});

test("directories come from the command line or else from TOOL_DIRS", () => {
  assert.deepEqual(toolDirectories([], { TOOL_DIRS: "/a::/b:" }), ["/a", "/b"]);
  assert.deepEqual(toolDirectories(["/c"], { TOOL_DIRS: "/a" }), ["/c"]);
  assert.deepEqual(toolDirectories([], {}), []);
});

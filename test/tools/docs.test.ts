// docs/tools.md against the code: its declarations, its tables, its configuration and its transcript.
import assert from "node:assert/strict";
import { test } from "node:test";
import { entryKinds } from "../../src/tools/entries.ts";
import { harnessNames, harnessTools } from "../../src/tools/index.ts";
import { blocks, codes, read, rows } from "../docs/pages.ts";
import { run, runCheck } from "../helpers/cli.ts";
import { declare, directoryOf, pageBlock, shown } from "./support.ts";

const page = read("docs/tools.md");
const root = directoryOf({ "warehouse/pyproject.toml": pageBlock });

function block(language: string): string {
  const found = blocks(page).find((one) => one.language === language);
  assert.ok(found, `no block of ${language}`);
  return found.text;
}

for (const { language, text, line } of blocks(page)) {
  if (language !== "toml") continue;
  test(`docs/tools.md:${line}: the declaration is in order`, () => {
    const { tool, problems } = declare(text);
    assert.deepEqual(problems.map(shown), []);
    assert.ok(tool !== undefined && tool.secrets.length > 0);
  });
}

test("C1: the page begins with the block of the page about 1Password", () => {
  assert.equal(block("toml"), pageBlock);
});

/** The section under a heading, to the next one. */
function section(heading: string): string {
  const text = page.split(/^#+ /m).find((one) => one.startsWith(`${heading}\n`));
  assert.ok(text !== undefined, heading);
  return text;
}

for (const [type, { keys }] of Object.entries(entryKinds)) {
  if (type === "brokered_token" || type === "pg_dsn") continue;
  test(`the keys of ${type} are on the page, and no others`, () => {
    const named = rows(section(type)).flatMap(([cell = ""]) => codes(cell));
    const grants = ["refresh_token", "client_credentials", "password", "jwt_bearer"];
    assert.deepEqual(named.filter((name) => !grants.includes(name)).sort(), [...keys].sort());
  });
}

test("the harnesses are on the page, with their hosts and headers", () => {
  const named = rows(section("Harnesses")).map((cells) => cells.map(codes));
  const agents = named.flatMap(([, names]) => names ?? []);
  const credentials = named.flatMap(([name]) => name ?? []);
  assert.deepEqual([...agents, ...credentials].sort(), [...harnessNames].sort());
  for (const [[name = ""] = [], agentNames = [], hosts, header] of named) {
    for (const enabled of [name, ...agentNames]) {
      const [entry] = harnessTools([enabled], undefined).tools.flatMap(({ secrets }) => secrets);
      assert.ok(entry?.type === "http" && entry.mode === "replace", enabled);
      assert.deepEqual([entry.name, entry.hosts, entry.matchHeaders], [name, hosts, header]);
    }
  }
});

test("the configuration is without fault", async () => {
  const { issues } = await runCheck(block("yaml").replace("[tools]", `["${root}"]`));
  assert.deepEqual(issues, []);
});

test("the command answers as shown", async () => {
  const [command = "", ...lines] = block("console").trimEnd().split("\n");
  const args = command.replace(/^\$ sallyport /, "").split(" ");
  const { stdout, stderr, code } = await run([...args.slice(0, -1), root]);
  assert.deepEqual((stdout + stderr).trimEnd().split("\n"), lines);
  assert.equal(code, 0);
});

test("the options are those that the commands have", async () => {
  const { stdout } = await run(["tools", "render", "--help"]);
  const { stdout: list } = await run(["tools", "list", "--help"]);
  for (const option of new Set(page.match(/(?<=`)--[a-z-]+/g))) {
    assert.ok(`${stdout}${list}`.includes(option), option);
  }
});

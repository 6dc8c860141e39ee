// docs/onepassword.md run as it stands, against a stand-in for the Connect server, and docs/verify.md against the command.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Cause, CheckKind } from "../../src/cli/verify/check.ts";
import { fakeConnect } from "../fakes/connect.ts";
import { linkSallyport, runWithWarehouse } from "../helpers/checkout.ts";
import { run } from "../helpers/cli.ts";
import { startWarehouse } from "../helpers/warehouse.ts";
import { pageBlock } from "../tools/support.ts";
import { blocks, codes, read, rows } from "./pages.ts";

const page = read("docs/onepassword.md");
const verifyPage = read("docs/verify.md");
const missing = ["bash", "curl"].filter((name) => spawnSync("which", [name]).status !== 0);

function section(text: string, heading: string): string {
  const found = text.split(/^## /m).find((one) => one.startsWith(`${heading}\n`));
  assert.ok(found !== undefined, heading);
  return found;
}

test("C1: the declaration is the one of the page", () => {
  const [block] = blocks(page).filter(({ language }) => language === "toml");
  assert.equal(block?.text, pageBlock);
});

test("I7: the page's commands to verify are those of kubernetes.md", () => {
  const [commands] = blocks(section(page, "Verify"));
  assert.ok(blocks(read("docs/kubernetes.md")).some(({ text }) => text === commands?.text));
});

test("the commands on one machine work as written, and the upstream gets the real value", {
  skip: missing.length > 0 ? `this machine has no ${missing.join(", ")}` : false,
}, async () => {
  const value = "sk-canary-of-the-page";
  const fields = [{ id: "credential", label: "credential", value }];
  const item = { id: "itemitemitemitemitemitem01", title: "WAREHOUSE_API_KEY", fields };
  const connect = await fakeConnect([{ id: "vaultvaultvaultvaultvault1", name: "agents", items: [item] }]);
  const warehouse = await startWarehouse();
  const folder = mkdtempSync(join(tmpdir(), "sallyport-page-"));
  try {
    mkdirSync(join(folder, "tools/warehouse"), { recursive: true });
    writeFileSync(join(folder, "tools/warehouse/pyproject.toml"), pageBlock);
    writeFileSync(join(folder, "connect-token"), `${connect.token}\n`);
    const commands = blocks(section(page, "On one machine")).map(({ text }) =>
      text.replace("http://127.0.0.1:8090", connect.url),
    );
    const place = { home: folder, bin: linkSallyport(folder), cwd: folder, warehouse };
    const output = await runWithWarehouse(commands, place);
    assert.match(
      output,
      /^ok {4}WAREHOUSE_API_KEY .*can be read$|^ok {4}WAREHOUSE_API_KEY .*can be read from op:/m,
    );
    assert.match(output, /^42 rows$/m);
    assert.deepEqual(warehouse.seen, [`GET warehouse.internal.example.com/v1/query Bearer ${value}`]);
    assert.ok(
      !output.includes("canary") && !output.includes(connect.token),
      "L1: nothing of value is printed",
    );
  } finally {
    warehouse.close();
    await connect.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Long options of a command's help. */
async function optionsOf(command: string): Promise<readonly string[]> {
  const { stdout } = await run([command, "--help"]);
  return [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option]) => option as string);
}

function optionsIn(text: string): readonly string[] {
  return rows(text).flatMap(([first = ""]) => codes(first).filter((code) => code.startsWith("--")));
}

test("every option of verify is on its page, and those of bootstrap here exist", async () => {
  const wanted = (await optionsOf("verify")).filter((option) => option !== "--help");
  assert.deepEqual(optionsIn(verifyPage).toSorted(), wanted.toSorted());
  const bootstrap = await optionsOf("bootstrap");
  for (const option of optionsIn(page)) assert.ok(bootstrap.includes(option), option);
});

test("every kind of check and every cause is on the page", () => {
  const kinds: Record<CheckKind, true> = {
    configuration: true,
    declaration: true,
    mode: true,
    vault: true,
    variable: true,
    ca: true,
    connect: true,
    credential: true,
    request: true,
  };
  const causes: Record<Cause, true> = {
    hosts: true,
    match: true,
    item: true,
    vault: true,
    field: true,
    value: true,
    variable: true,
    token: true,
    server: true,
    rate_limit: true,
    policy: true,
    header_allowlist: true,
  };
  const first = (heading: string) => rows(section(verifyPage, heading)).flatMap(([cell = ""]) => codes(cell));
  assert.deepEqual(first("What is checked").toSorted(), Object.keys(kinds).toSorted());
  assert.deepEqual(first("Causes").toSorted(), Object.keys(causes).toSorted());
});

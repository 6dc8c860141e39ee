// examples/tools: its README run from top to bottom, with a warehouse that is one.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { runWithWarehouse } from "../helpers/checkout.ts";
import { startWarehouse } from "../helpers/warehouse.ts";
import { read } from "../docs/pages.ts";
import { commandsOf, copyOf, programs } from "./readme.ts";

const missing = ["bash", "python3"].filter((name) => spawnSync("which", [name]).status !== 0);
const skip = missing.length > 0 ? `this machine has no ${missing.join(", ")}` : false;

test("C1: the declaration is the one of the page", () => {
  assert.ok(
    read("examples/tools/tools/warehouse/pyproject.toml").includes(`[tool.centaur]
secrets = [
    {type = "http", name = "WAREHOUSE_API_KEY", match_headers = ["Authorization"], hosts = ["warehouse.internal.example.com"]},
]
`),
  );
});

test("E1, D4: the tool sends a placeholder, the warehouse gets the key", { skip }, async () => {
  const { folder, example } = copyOf("tools");
  const warehouse = await startWarehouse();
  try {
    const place = { home: folder, bin: programs(folder), cwd: example, warehouse };
    const output = await runWithWarehouse(commandsOf("tools"), place);
    assert.match(output, /^the tool has: WAREHOUSE_API_KEY$/m);
    assert.match(output, /^42 rows$/m);
    assert.match(output, /warehouse\.internal\.example\.com/);
    assert.deepEqual(warehouse.seen, ["POST warehouse.internal.example.com/v1/query Bearer the-real-key"]);
    assert.ok(!output.includes("the-real-key"), "L1: no output has the credential");
  } finally {
    warehouse.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

// examples/tools: its README run from top to bottom, with a warehouse that is one.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort, startWarehouse } from "../helpers/warehouse.ts";
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
    writeFileSync(join(folder, "roots.pem"), warehouse.rootPem);
    const port = await freePort();
    const commands = commandsOf("tools").map((text) =>
      text.replaceAll(/^(.*sallyport start .*)&$/gm, (line) => `${line}\n${awaiting(port)}`),
    );
    const script = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", ...commands].join("\n");
    const child = spawn("bash", ["-c", script], {
      cwd: example,
      env: {
        PATH: `${programs(folder)}:${process.env["PATH"]}`,
        HOME: folder,
        SALLYPORT_PROXY_TUNNEL_LISTEN: `127.0.0.1:${port}`,
        SALLYPORT_TLS_UPSTREAM_CA: join(folder, "roots.pem"),
        SALLYPORT_PROXY_UPSTREAM_PROXY_HTTPS_PROXY: warehouse.network,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, 0, output);
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

function awaiting(port: number): string {
  return `for _ in $(seq 200); do (: < /dev/tcp/127.0.0.1/${port}) 2>/dev/null && break; sleep 0.1; done`;
}

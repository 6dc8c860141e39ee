// Prometheus' own tools read our metrics: promtool checks them, and a Prometheus scrapes them.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pause, within } from "../e2e/harness/wait.ts";
import { openWorld } from "../e2e/harness/world.ts";
import { freePort } from "../helpers/free-port.ts";

const world = await openWorld({ config: () => ({ metrics: { listen: "127.0.0.1:0" } }) });
const address = String(world.proxy.log.find(({ msg }) => msg === "metrics server starting")?.["addr"]);

/** Why a test that needs a program is skipped; `false` where it is there. */
function without(program: string): string | false {
  return spawnSync(program, ["--version"]).error === undefined ? false : `${program} is not on PATH`;
}

async function traffic(): Promise<void> {
  const allowed = await world.connect();
  assert.equal((await allowed.request("GET", "/")).status, 200);
  allowed.close();
  const refused = await world.absolute("elsewhere.test");
  assert.equal((await refused.request("GET", "/")).status, 403);
  refused.close();
}

test("promtool finds nothing wrong with the metrics", { skip: without("promtool") }, async () => {
  await traffic();
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text });
  const said = `${stdout}${stderr}`
    .split("\n")
    // The two that prom-client names so for everyone who uses it.
    .filter((line) => line !== "" && !/^nodejs_(?:active_\w+_total|\w*_total) /.test(line));
  assert.deepEqual(said, []);
  assert.ok(status === 0 || status === 3, `exit code ${status}`);
});

test("a Prometheus scrapes them and answers a query", { skip: without("prometheus") }, async (t) => {
  await traffic();
  const folder = mkdtempSync(join(tmpdir(), "sallyport-prometheus-"));
  const config = join(folder, "prometheus.yml");
  const scrape = { job_name: "sallyport", scrape_interval: "1s", static_configs: [{ targets: [address] }] };
  writeFileSync(config, JSON.stringify({ scrape_configs: [scrape] }));
  const port = await freePort();
  const child = spawn(
    "prometheus",
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: "ignore" },
  );
  const exited = new Promise((resolve) => child.once("close", resolve));
  t.after(async () => {
    child.kill("SIGTERM");
    await within("prometheus stops", exited);
    rmSync(folder, { recursive: true, force: true });
  });
  const query = encodeURIComponent('sallyport_requests_total{host="other",reason="host_not_allowed"}');
  const url = `http://127.0.0.1:${port}/api/v1/query?query=${query}`;
  let value: string | undefined;
  for (let attempt = 0; attempt < 40 && value === undefined; attempt++) {
    await pause(500);
    const answer = await fetch(url).catch(() => undefined);
    const body = (await answer?.json()) as { data?: { result?: { value: [number, string] }[] } } | undefined;
    value = body?.data?.result?.[0]?.value[1];
  }
  assert.ok(Number(value) >= 1, `the series is ${value}`);
});

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { watchConfiguration } from "../../src/admin/watch.ts";
import { eventually, pause } from "../e2e/harness/wait.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-watch-"));
after(() => rmSync(root, { recursive: true, force: true }));

function folder(name: string): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Watches, and counts the changes it tells of. */
function watching(t: TestContext, file: string, folders: readonly string[] = []): () => number {
  let changes = 0;
  const stop = watchConfiguration({
    file,
    folders: () => folders,
    onChange: () => Promise.resolve(changes++),
    onTrouble: (path, code) => assert.fail(`${path}: ${code}`),
  });
  t.after(stop);
  return () => changes;
}

test("many writes in a row are one change, told when they are over", async (t) => {
  const file = join(folder("rewritten"), "proxy.yaml");
  writeFileSync(file, "one");
  const changes = watching(t, file);
  for (let at = 0; at < 5; at++) {
    writeFileSync(file, `part ${at}`);
    await pause(20);
  }
  await eventually("the change", () => changes() > 0);
  assert.equal(changes(), 1);
});

test("a file that an editor puts in the place of the old one is a change, and so is the next", async (t) => {
  const path = folder("replaced");
  const file = join(path, "proxy.yaml");
  writeFileSync(file, "one");
  const changes = watching(t, file);
  for (const expected of [1, 2]) {
    writeFileSync(join(path, ".proxy.yaml.swp"), "more");
    renameSync(join(path, ".proxy.yaml.swp"), file);
    await eventually(`change ${expected}`, () => changes() >= expected);
  }
});

test("the swap of a ConfigMap's links is a change", async (t) => {
  const path = folder("configmap");
  for (const version of ["..v1", "..v2"]) {
    mkdirSync(join(path, version));
    writeFileSync(join(path, version, "proxy.yaml"), version);
  }
  symlinkSync("..v1", join(path, "..data"));
  symlinkSync("..data/proxy.yaml", join(path, "proxy.yaml"));
  const changes = watching(t, join(path, "proxy.yaml"));
  // As the kubelet does it: a new link, renamed over the old one.
  symlinkSync("..v2", join(path, "..data_tmp"));
  renameSync(join(path, "..data_tmp"), join(path, "..data"));
  await eventually("the change", () => changes() > 0);
});

test("a declaration deep in a folder of tools is a change", async (t) => {
  const file = join(folder("with-tools"), "proxy.yaml");
  writeFileSync(file, "one");
  const tools = folder("tools");
  mkdirSync(join(tools, "productivity/linear"), { recursive: true });
  const changes = watching(t, file, [tools]);
  writeFileSync(join(tools, "productivity/linear/pyproject.toml"), "[tool.centaur]");
  await eventually("the change", () => changes() > 0);
});

test("nothing is told after it was stopped", async () => {
  const file = join(folder("stopped"), "proxy.yaml");
  writeFileSync(file, "one");
  let changes = 0;
  const onChange = () => Promise.resolve(changes++);
  const stop = watchConfiguration({ file, folders: () => [], onChange, onTrouble: () => {} });
  writeFileSync(file, "two");
  stop();
  await pause(500);
  assert.equal(changes, 0);
});

test("a folder that is not there is said once, and nothing else fails", async () => {
  const troubles: string[] = [];
  const file = join(folder("untroubled"), "proxy.yaml");
  writeFileSync(file, "one");
  const stop = watchConfiguration({
    file,
    folders: () => [join(root, "gone")],
    onChange: () => Promise.resolve(),
    onTrouble: (path, code) => troubles.push(`${path.slice(root.length)} ${code}`),
  });
  writeFileSync(file, "two");
  await pause(600);
  stop();
  assert.deepEqual(troubles, ["/gone ENOENT"]);
});

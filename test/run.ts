// `npm test [-- NAME...]`: every test file, or those whose path has one of the names in it.

import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Folders whose files have a process each: they start programs and wait for them, or look at a process's memory, so that
 * tests beside them would disturb them. Elsewhere the files of a folder share a process, for loading the sources takes
 * most of them longer than their tests do.
 */
const apart = ["attacks", "cli", "docs", "e2e", "e2e/mechanisms", "examples", "fuzz", "process", "scrub"];

const root = fileURLToPath(new URL("..", import.meta.url));
const wanted = process.argv.slice(2);
const files = globSync("test/**/*.test.ts", { cwd: root })
  .filter((file) => !file.startsWith("test/peers/"))
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .toSorted();
if (files.length === 0) {
  console.error(`no test file has ${wanted.join(" or ")} in its path`);
  process.exit(1);
}
// The environment of a developer (proxies, tokens) is no part of any test.
const env: NodeJS.ProcessEnv = { ...process.env };
for (const name of Object.keys(env)) {
  if (/^(https?|no|all)_proxy$/i.test(name) || /^(SALLYPORT|IRON|OP)_/.test(name)) delete env[name];
}
// Without one cache for all each process, and each proxy that it starts, would strip the types of the same sources again.
env["XDG_CACHE_HOME"] = join(root, "node_modules/.cache");
env["NODE_COMPILE_CACHE"] = join(env["XDG_CACHE_HOME"], "sallyport");

const temporary = mkdtempSync(join(tmpdir(), "sallyport-tests-"));
try {
  const { status } = spawnSync(
    process.execPath,
    [
      "--test",
      "--test-timeout=120000",
      `--test-concurrency=${availableParallelism() + 1}`,
      ...processes(files, temporary),
    ],
    { cwd: root, stdio: "inherit", env },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

/** One file for each process, those that run longest first: test files as they are, and files made in `folder` that load others. */
function processes(all: readonly string[], folder: string): string[] {
  const folders = Object.entries(Object.groupBy(all, (file) => dirname(file).slice("test/".length)));
  const alone: string[] = [];
  const shared: string[] = [];
  for (const [name, group = []] of folders) {
    if (apart.includes(name) || group.length === 1) {
      alone.push(...group);
      continue;
    }
    const file = join(folder, `${name.replaceAll("/", "-")}.test.mjs`);
    writeFileSync(file, `import { suite } from "node:test";\n${group.map(loading).join("")}`);
    shared.push(file);
  }
  return [...alone, ...shared];
}

/** A file's tests are a suite of its name, which has its hooks to itself, and fails alone where the file does not load. */
function loading(file: string): string {
  const url = new URL(file, new URL("../", import.meta.url)).href;
  return `suite(${JSON.stringify(file)}, () => import(${JSON.stringify(url)}));\n`;
}

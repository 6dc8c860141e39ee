// `npm test [-- NAME...]`: every test file, or those whose path has one of the names in it.

import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

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
// Every file is a process of its own; without the cache each would strip the types of the same sources again.
env["NODE_COMPILE_CACHE"] ??= `${root}node_modules/.cache/sallyport-tests`;
const { status } = spawnSync(
  process.execPath,
  ["--test", "--test-timeout=120000", `--test-concurrency=${availableParallelism()}`, ...files],
  {
    cwd: root,
    stdio: "inherit",
    env,
  },
);
process.exit(status ?? 1);

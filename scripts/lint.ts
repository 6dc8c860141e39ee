// `npm run lint`: types, lint with the import rule, format and file sizes, all of them even when one fails.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name: string) => `${root}node_modules/.bin/${name}`;

const steps: readonly [name: string, command: string, args: readonly string[]][] = [
  ["types", bin("tsc"), ["-p", "."]],
  ["lint", bin("oxlint"), ["--type-aware", "--deny-warnings", "src", "test", "bench", "scripts"]],
  ["format", bin("biome"), ["format", "src", "test", "bench", "scripts"]],
  ["file sizes", process.execPath, ["scripts/file-sizes.ts"]],
];

const failed: string[] = [];
for (const [name, command, args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name}`);
  if (status !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`lint failed: ${failed.join(", ")}`);
  process.exit(1);
}

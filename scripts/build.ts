// `npm run build`: compiles src/ into dist/ and writes the manifest that is published from there.
// The checkout's own package.json brings a Node of its own and the tools of development; neither is for users.

import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

rmSync("dist", { recursive: true, force: true });
const { status } = spawnSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
if (status !== 0) process.exit(1);

type Manifest = Record<string, unknown>;
const own = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;
const { name, version, description, license, type, keywords, engines, dependencies } = own;
const published: Manifest = {
  name,
  version,
  description,
  license,
  type,
  keywords,
  engines,
  bin: { sallyport: "./main.js" },
  exports: { ".": { types: "./index.d.ts", default: "./index.js" }, "./package.json": "./package.json" },
  types: "./index.d.ts",
  files: ["**/*.js", "**/*.d.ts", "README.md", "LICENSE", "CHANGELOG.md"],
  dependencies,
};
writeFileSync("dist/package.json", `${JSON.stringify(published, undefined, 2)}\n`);
for (const file of ["README.md", "LICENSE", "CHANGELOG.md"]) copyFileSync(file, `dist/${file}`);
chmodSync("dist/main.js", 0o755);
console.log(`dist/ holds ${String(name)} ${String(version)}; publish it with: npm publish ./dist`);

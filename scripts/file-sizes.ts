// A file over about 400 lines holds more than one concept; see CONTRIBUTING.

import { readdirSync, readFileSync } from "node:fs";

const limit = 420;
let bad = 0;
for (const folder of ["src", "test", "bench", "scripts"]) {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const lines = readFileSync(`${folder}/${name}`, "utf8").split("\n").length;
    if (lines <= limit) continue;
    console.error(`${folder}/${name}: ${lines} lines, more than ${limit}: split it by concept`);
    bad++;
  }
}
process.exit(bad > 0 ? 1 : 0);

// `npm run threats`: makes the tables of docs/threats.md from the attack suite.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { attacks } from "../test/attacks/rows/index.ts";
import { withTables } from "../test/attacks/table.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const page = `${root}docs/threats.md`;
writeFileSync(page, withTables(readFileSync(page, "utf8"), attacks, root));

// docs/threats.md says which test tries which attack; here that is held against the tests.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(`${root}docs/threats.md`, "utf8");
const rows = [...page.matchAll(/^\| (\d+) \| (.+) \| (.+) \| (.+) \|$/gm)].map(([, number, , , tests]) => ({
  number: Number(number),
  tests: tests as string,
}));

/** Numbers of the attacks that names of tests in a file carry: `attack 20`, `attack 20 21`, `attacks 4 and 5`. */
function attacksIn(file: string): Set<number> {
  const lines = readFileSync(`${root}${file}`, "utf8").split("\n");
  const code = lines.filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line)).join("\n");
  const lists = [...code.matchAll(/\battacks? (\d+(?:(?:,| and)? \d+)*)/g)].map(([, list]) => list as string);
  return new Set(lists.flatMap((list) => (list.match(/\d+/g) ?? []).map(Number)));
}

test("every attack from 1 to 61 has one row, in order", () => {
  assert.deepEqual(
    rows.map(({ number }) => number),
    Array.from({ length: 61 }, (_, index) => index + 1),
  );
});

for (const { number, tests } of rows) {
  test(`row ${number}: the tests it names try it, or it says why there are none`, () => {
    const files = [...tests.matchAll(/`([^`]+)`/g)].map(([, file]) => file as string);
    if (files.length === 0) {
      assert.ok(["not there yet", "not ours", "no defence"].includes(tests), tests);
      return;
    }
    for (const file of files) {
      assert.ok(existsSync(`${root}${file}`), `there is no ${file}`);
      assert.ok(attacksIn(file).has(number), `no test in ${file} has "attack ${number}" in its name`);
    }
  });
}

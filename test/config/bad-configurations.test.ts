// One file for each way to get it wrong. Its first lines say what `check` answers, all of it, in any order.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { runCheck } from "../helpers/cli.ts";

const folder = new URL("fixtures/bad/", import.meta.url);

for (const name of readdirSync(folder)) {
  test(name.replace(".yaml", "").replaceAll("-", " "), async () => {
    const text = readFileSync(new URL(name, folder), "utf8");
    const expected = [...text.matchAll(/^# expect (.*)$/gm)].map(([, issue]) => issue ?? "");
    assert.ok(expected.length > 0);
    const { issues } = await runCheck(text);
    assert.deepEqual(issues.toSorted(), expected.toSorted());
  });
}

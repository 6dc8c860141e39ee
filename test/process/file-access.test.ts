import assert from "node:assert/strict";
import { test } from "node:test";
import { isOpenToOthers, modeText } from "../../src/process/file-access.ts";

const own = process.geteuid?.() ?? 0;
const skip = process.platform === "win32" ? "these are permissions of Unix" : false;

for (const [what, uid, mode, open] of [
  ["one for its owner alone", own, 0o100600, false],
  ["one that nobody may write", own, 0o100400, false],
  ["one that its group may read", own, 0o100640, true],
  ["one that everyone may read", own, 0o100644, true],
  ["one that everyone may write", own, 0o100602, true],
  ["one of root's that we may read as a group, as Kubernetes mounts Secrets", own + 1, 0o100440, false],
  ["one of root's that everyone may read", own + 1, 0o100644, true],
] as const) {
  test(`attack 53: ${what} is ${open ? "" : "not "}open to others`, { skip }, () => {
    assert.equal(isOpenToOthers({ uid, mode }), open);
  });
}

test("permissions are written as chmod takes them", () => {
  assert.deepEqual([modeText(0o100600), modeText(0o100044)], ["0600", "0044"]);
});

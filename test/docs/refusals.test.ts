// docs/refusals.md against the reasons there are.
import assert from "node:assert/strict";
import { test } from "node:test";
import { refusal } from "../../src/pipeline/refusal.ts";
import { reasons } from "../../src/reasons.ts";
import { blocks, codes, read, rows } from "./pages.ts";

const page = read("docs/refusals.md");
const table = rows(page);

test("every reason has a row, in the order of the code, and no row is for another", () => {
  assert.deepEqual(
    table.map(([reason = ""]) => codes(reason)[0]),
    [...reasons],
  );
});

for (const [reason = "", status = "", meaning = "", advice = ""] of table) {
  test(`${codes(reason)[0]} says its status, its meaning and who does what`, () => {
    assert.match(status, /^(?:-|[45]\d\d)(?: or (?:-|[45]\d\d))?$/);
    assert.ok(meaning.length > 15, meaning);
    assert.ok(advice !== "" || meaning.includes("no such case"), "who does what");
  });
}

test("the example is what the proxy answers", () => {
  const [example] = blocks(page);
  const facts = { requestId: "8c8bacee2c-3", host: "example.com" };
  const { headers, body } = refusal({ status: 403, reason: "host_not_allowed", ...facts });
  const fields = Array.from(
    { length: headers.size },
    (_, index) => `${headers.nameAt(index)}: ${headers.valueAt(index)}`,
  );
  assert.equal(example?.text, ["HTTP/1.1 403 Forbidden", ...fields, "", body.toString()].join("\n"));
});

// docs/threats.md says what is tried and where; here that is held against the attacks and the tests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { read, root } from "../docs/pages.ts";
import { attacks } from "./rows/index.ts";
import { withTables } from "./table.ts";

test("every attack from 1 to 61 has one row", () => {
  assert.deepEqual(
    attacks.map(({ number }) => number),
    Array.from({ length: 61 }, (_, index) => index + 1),
  );
});

test("every row is tried, or says why not", () => {
  for (const { number, attempts, notApplicable } of attacks) {
    assert.equal(attempts.length > 0, notApplicable === undefined, `row ${number}`);
  }
});

test("the tables of docs/threats.md are those that npm run threats makes", () => {
  const page = read("docs/threats.md");
  assert.equal(page, withTables(page, attacks, root), "run npm run threats");
});

import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { test } from "node:test";
import { paintFor, plain, printable } from "../../src/log/terminal.ts";

test("colours are off without a terminal, on when forced, and NO_COLOR beats both", () => {
  const file = openSync("/dev/null", "w");
  assert.equal(paintFor(file, {}), plain);
  assert.notEqual(paintFor(file, { FORCE_COLOR: "1" }), plain);
  assert.equal(paintFor(file, { FORCE_COLOR: "0" }), plain);
  assert.equal(paintFor(file, { NO_COLOR: "1", FORCE_COLOR: "1" }), plain);
});

test("printable leaves text alone and escapes what a terminal obeys", () => {
  assert.equal(printable("grüße 日本 🙂"), "grüße 日本 🙂");
  assert.equal(printable("a\u001b]0;x\u0007\u009b\u202eb"), "a\\u001b]0;x\\u0007\\u009b\\u202eb");
});

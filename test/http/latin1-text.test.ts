import assert from "node:assert/strict";
import { test } from "node:test";
import { Latin1Text } from "../../src/http/latin1-text.ts";

test("texts of any length stand behind each other as bytes, and the memory is used again", () => {
  const text = new Latin1Text();
  const parts = ["", "short", "ä\xff", "x".repeat(300), "y".repeat(20_000), "z".repeat(40_000)];
  for (let round = 0; round < 2; round++) {
    text.clear();
    for (const part of parts) text.add(part, 0x0a);
    const whole = Buffer.from(parts.map((part) => `${part}\n`).join(""), "latin1");
    assert.equal(text.length, whole.length);
    assert.ok(text.bytes.subarray(0, text.length).equals(whole));
  }
});

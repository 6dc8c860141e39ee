// A body of more than 2 GiB: positions that no longer fit 31 bits, and memory that stays where it was.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Automaton } from "../../src/scrub/automaton.ts";
import { Rewriter } from "../../src/scrub/rewriter.ts";
import { exposed } from "./support.ts";

const value = "a-secret-value-9f+Zz";
const piece = Buffer.alloc(8 << 20, "nothing of it in this line of text. ");
const pieces = 257;

test("I12: a body of 2 GiB streams, and a value behind its end is found", { timeout: 100_000 }, () => {
  const automaton = new Automaton([exposed(value)]);
  let length = 0;
  let last = "";
  let found = 0;
  const rewriter = new Rewriter({
    automaton: () => automaton,
    emit(bytes) {
      length += bytes.length;
      if (bytes.length < 1000) last += Buffer.from(bytes).toString("latin1");
    },
    found: () => void found++,
  });
  const before = process.memoryUsage().rss;
  for (let count = 0; count < pieces; count++) rewriter.write(piece);
  const grown = process.memoryUsage().rss - before;
  last = "";
  rewriter.write(Buffer.from(`: ${value.slice(0, 9)}`));
  rewriter.write(Buffer.from(`${value.slice(9)}!`));
  rewriter.end();
  assert.ok(last.endsWith(": PLACEHOLDER!"), last);
  assert.equal(found, 1);
  assert.equal(length, piece.length * pieces + ": PLACEHOLDER!".length);
  assert.ok(grown < 64 << 20, `${grown} bytes more`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { scanAll, StreamScanner } from "../../src/findings/scan.ts";
import { Automaton } from "../../src/scrub/automaton.ts";

const exposed = (value: string) => ({ value, name: value, replacement: "" });
/** One that begins another, and one that repeats its own beginning. */
const values = ["secret-0123", "secret-0123-and-more", "aaaaaaab"];
const automaton = new Automaton(values.map(exposed));

function inOnePiece(text: string): string[] {
  const found: string[] = [];
  const bytes = Buffer.from(text, "latin1");
  scanAll(automaton, bytes, bytes.length, ({ value }) => found.push(value));
  return found;
}

function inPieces(text: string, cuts: readonly number[]): string[] {
  const found: string[] = [];
  const scanner = new StreamScanner(automaton, ({ value }) => found.push(value));
  let from = 0;
  for (const cut of [...new Set([...cuts, text.length])].sort((one, other) => one - other)) {
    const piece = Buffer.from(text.slice(from, cut), "latin1");
    scanner.write(piece);
    // Whoever reads a connection uses its memory again.
    piece.fill(0);
    from = cut;
  }
  scanner.end();
  return found;
}

test("finds each form once, the longest of those that begin at one place", () => {
  assert.deepEqual(inOnePiece("x secret-0123-and-mor secret-0123-and-more aaaaaaaaab"), [
    "secret-0123",
    "secret-0123-and-more",
    "aaaaaaab",
  ]);
});

test("any cut of any text finds the same as the whole", () => {
  const encoded = values.flatMap((value) => [
    value,
    value.slice(0, -1),
    Buffer.from(`a${value}`).toString("base64"),
    Buffer.from(value).toString("hex"),
    encodeURIComponent(value).replaceAll("-", "%2d"),
  ]);
  const piece = fc.oneof(
    fc.constantFrom(...encoded, "%", "\\u00", "sec", "aaa"),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 20 }),
      (parts, cuts) => {
        const text = Buffer.from(parts.join(""), "utf8").toString("latin1");
        const within = cuts.filter((cut) => cut > 0 && cut < text.length);
        assert.deepEqual(inPieces(text, within), inOnePiece(text));
      },
    ),
    { numRuns: 300 },
  );
  const whole = encoded.join(" ");
  assert.deepEqual(inPieces(whole, Array.from(whole, (_, at) => at).slice(1)), inOnePiece(whole));
});

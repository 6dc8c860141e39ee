// The scrubber: however a body is cut the output is the same; it holds no form of a value; without a form it is the input.
import assert from "node:assert/strict";
import { encoders, forbidden } from "../../scrub/encoders.ts";
import { exposed, rewrite } from "../../scrub/support.ts";
import type { Random } from "../random.ts";

export const name = "scrub";

/** Letters of values; those of replacements and of what stands around are others, so that together they spell no value. */
const letters = "abcdefgh01234567+/=_-%&\\\"<' .";
const around = [
  "\n",
  "\r\n",
  "%",
  "\\",
  "&",
  "&amp;",
  "%25",
  "\\u00",
  "&#",
  "QRST",
  "{",
  ": ",
  "\\n",
  "=",
  "\0",
  "\u00ff",
  "~",
];

export function run(random: Random): void {
  const values = Array.from({ length: random.between(1, 4) }, () => anyValue(random));
  if (random.once(3)) values.push(`${values[0] as string}${letters[random.below(8)] as string}`);
  const planted = random.once(4) ? [] : values;
  const body = anyBody(random, values, planted);
  const keepLength = random.once(4);
  random.keep(Buffer.from(JSON.stringify({ values, body }), "latin1"));
  const secrets = values.map((value, index) => exposed(value, `PLACEHOLDER-NUMBER-${index}`));
  const whole = rewrite([body], secrets, { keepLength });
  const events = random.once(6);
  const pieces = cut(random, body);
  if (events) {
    const scrubbed = rewrite(pieces, secrets, { events, keepLength });
    for (const value of values)
      for (const form of forbidden(value)) assert.ok(form.includes("\n") || !scrubbed.includes(form));
  } else assert.equal(rewrite(pieces, secrets, { keepLength }), whole);
  for (const value of values)
    for (const form of forbidden(value)) assert.ok(!whole.includes(form), `${form} in the output`);
  if (keepLength) assert.equal(whole.length, body.length);
  if (planted.length === 0 && !values.some((value) => mayBeIn(body, value))) assert.equal(whole, body);
}

function anyValue(random: Random): string {
  return Array.from({ length: random.between(8, 24) }, () => letters[random.below(letters.length)]).join("");
}

/** Pieces of nothing, of near misses and of forms. */
function anyBody(random: Random, values: readonly string[], planted: readonly string[]): string {
  let body = "";
  for (let count = random.below(12); count > 0; count--) {
    const value = random.pick(values);
    const encoder = random.pick(encoders);
    if (planted.length > 0 && random.once(2)) body += `~${encoder.encode(value)}~`;
    else if (random.once(2)) body += encoder.encode(value).slice(0, random.below(4));
    else body += random.pick(around);
  }
  return body;
}

function cut(random: Random, body: string): string[] {
  if (random.once(3)) return Array.from(body);
  const pieces: string[] = [];
  for (let at = 0; at < body.length; ) {
    const next = at + random.between(1, random.pick([2, 8, 60]));
    pieces.push(body.slice(at, next));
    at = next;
  }
  return pieces;
}

/** Whether some beginning of half a value or more stands there, in a form that the tests know. */
function mayBeIn(body: string, value: string): boolean {
  return forbidden(value).some((form) => body.includes(form.slice(0, 4)));
}

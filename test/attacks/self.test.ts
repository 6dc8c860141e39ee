// A suite that finds nothing may be blind. Here every protection that a configuration can switch off is off, and the
// attacks have to work.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { encoders } from "../scrub/encoders.ts";
import { type Arena, openArena } from "./arena.ts";
import { Hunt, spellings } from "./hunt.ts";
import { attacks } from "./rows/index.ts";
import { isMet, runAttacks } from "./suite.ts";

/** What is off, the rows that it opens, and the attempts that can succeed on one machine. */
const holes: readonly (readonly [row: number, protection: string, attempts?: RegExp])[] = [
  [5, "proxy.upstream_deny_cidrs", /denied-address/],
  [6, "allowlist"],
  [12, "proxy.upstream_deny_cidrs", /literal (?:127|\[::ffff:127)/],
  [15, "rule ports and TLS"],
  [35, "rules with methods"],
  [37, "scrub"],
  [40, "scrub", /fields$|cuts$|gzip|WebSocket|later/],
  [42, "on_misuse"],
  [43, "match_headers"],
  [45, "scrub"],
  [47, "regions, services and hosts of aws_auth"],
  [48, "allowed_actions"],
  [54, "proxy.require_caller"],
];

let arena: Arena;
before(async () => {
  arena = await openArena("off");
});
// It would say that credentials got out, which is what they were let.
after(() => arena.close().catch(() => {}));

for (const [row, protection, those = /./] of holes) {
  test(`row ${row} is seen to work without ${protection}`, async () => {
    const attack = attacks.find(({ number }) => number === row);
    assert.ok(attack !== undefined);
    const possible = attack.attempts.filter(({ what }) => those.test(what));
    // A few of each kind tell as much as all.
    const attempts = possible.filter((_, index, { length }) => index % Math.ceil(length / 8) === 0);
    const [result] = await runAttacks(arena, [{ ...attack, attempts }]);
    assert.ok(result !== undefined && !isMet(result), "nothing got through");
    assert.ok(result.tried.some(({ outcome }) => outcome === "worked"));
  });
}

test("the hunt knows a value in every form, wherever it is cut", () => {
  const value = `hunted/9f+&%="<x'>Zz0123`;
  for (const { name, encode } of encoders) {
    const text = Buffer.from(`before ${encode(value)} after`, "latin1");
    assert.notDeepEqual(spellings(text, value), [], name);
    const hunt = new Hunt();
    hunt.hunt("value", value);
    const hear = hunt.listen("a stream");
    for (const byte of text) hear(Buffer.of(byte));
    assert.notDeepEqual(hunt.found(), [], `${name}, byte by byte`);
    assert.deepEqual(hunt.found(), [], "what was searched is gone");
  }
  assert.deepEqual(spellings(Buffer.from("hunted/9f and nothing else"), value), []);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { CallerPlaces } from "../../src/findings/caller-places.ts";
import type { Client } from "../../src/pipeline/types.ts";

function client(address: string, name = "agent", expiresAt = 1): Client {
  const caller = { name, tools: undefined, proof: { keyId: "k", expiresAt } };
  return { remoteAddress: `${address}:40000`, sni: undefined, tls: undefined, tunnel: undefined, caller };
}

const a = "10.0.0.1";
const b = "10.0.0.2";

for (const [title, steps, expected] of [
  [
    "one place",
    [
      [0, client(a)],
      [1, client(a)],
      [9, client(a)],
    ],
    [],
  ],
  [
    "a move",
    [
      [0, client(a)],
      [1, client(b)],
      [2, client(b)],
      [100, client(b)],
    ],
    [],
  ],
  [
    "two in turn",
    [
      [0, client(a)],
      [1, client(b)],
      [2, client(a)],
    ],
    [b],
  ],
  [
    "two in turn, told again and again",
    [
      [0, client(a)],
      [1, client(b)],
      [2, client(a)],
      [3, client(b)],
    ],
    [b, a],
  ],
  [
    "one that comes back after a minute",
    [
      [0, client(a)],
      [1, client(b)],
      [62, client(a)],
    ],
    [],
  ],
  [
    "three",
    [
      [0, client(a)],
      [1, client(b)],
      [2, client("10.0.0.3")],
      [3, client(a)],
    ],
    ["10.0.0.3"],
  ],
  [
    "two callers",
    [
      [0, client(a)],
      [1, client(b, "other")],
      [2, client(a)],
    ],
    [],
  ],
  [
    "two tokens of one caller",
    [
      [0, client(a)],
      [1, client(b, "agent", 2)],
      [2, client(a)],
    ],
    [],
  ],
  [
    "both families of one machine",
    [
      [0, client(a)],
      [1, client("[::2]")],
      [2, client(a)],
      [3, client("[::2]")],
    ],
    [],
  ],
] as const) {
  test(`a token in two places: ${title}`, () => {
    let now = 0;
    const places = new CallerPlaces(() => now);
    const found = steps.flatMap(([seconds, one]) => {
      now = seconds * 1000;
      return places.elsewhere(one) ?? [];
    });
    assert.deepEqual(found, expected);
  });
}

test("who has no token is nowhere", () => {
  const places = new CallerPlaces(() => 0);
  for (const address of [a, b, a]) {
    assert.equal(places.elsewhere({ ...client(address), caller: undefined }), undefined);
  }
});

test("I12: a flood of addresses is forgotten", () => {
  const places = new CallerPlaces(() => 0);
  places.elsewhere(client(a));
  for (let number = 0; number < 100; number++) places.elsewhere(client(`10.1.0.${number}`));
  assert.equal(places.elsewhere(client(a)), undefined);
});

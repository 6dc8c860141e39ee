import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret, type SecretHandle, SourceError } from "../../../src/sources/types.ts";
import { credentialSet } from "../../../src/transforms/minting/credential-set.ts";

function handle(get: () => Secret | Promise<Secret>): SecretHandle {
  return { name: "test", variables: [], get };
}

test("gives the same object until a value changes", () => {
  let one = new Secret("1");
  const two = new Secret("2");
  const set = credentialSet(new Map(Object.entries({ one: handle(() => one), two: handle(() => two) })));
  const first = set.get();
  assert.ok(!(first instanceof Promise));
  assert.equal(first.get("one"), one);
  assert.equal(first.get("two"), two);
  assert.equal(first.get("three"), undefined);
  assert.equal(set.get(), first);
  one = new Secret("1b");
  const second = set.get();
  assert.ok(!(second instanceof Promise));
  assert.notEqual(second, first);
  assert.equal(second.get("one"), one);
  assert.equal(second.get("two"), two);
});

test("is the same object of no sources", () => {
  const set = credentialSet(new Map());
  assert.equal(set.get(), set.get());
});

test("waits only for sources that have to be waited for, and asks each once", async () => {
  const secrets = [new Secret("1"), new Secret("2")] as const;
  let isCached = false;
  let asked = 0;
  const set = credentialSet(
    new Map([
      ["one", handle(() => secrets[0])],
      [
        "two",
        handle(() => {
          asked++;
          return isCached ? secrets[1] : Promise.resolve(secrets[1]);
        }),
      ],
    ]),
  );
  const pending = set.get();
  assert.ok(pending instanceof Promise);
  assert.equal(asked, 1);
  isCached = true;
  assert.equal(await pending, set.get());
});

test("tells of one failure and leaves no rejection without a listener", async (t) => {
  const unhandled = t.mock.fn();
  process.on("unhandledRejection", unhandled);
  t.after(() => process.off("unhandledRejection", unhandled));
  const late = handle(() => Promise.reject(new SourceError("late")));
  const atOnce = handle(() => {
    throw new SourceError("at once");
  });
  const mixed = credentialSet(new Map(Object.entries({ late, atOnce })));
  assert.throws(() => mixed.get(), { message: "at once" });
  const both = credentialSet(new Map(Object.entries({ late, other: late })));
  await assert.rejects(async () => both.get(), { message: "late" });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unhandled.mock.callCount(), 0);
});

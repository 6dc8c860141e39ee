import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CachedSource, defaultCacheSettings } from "../../src/sources/cache.ts";
import { SourceError } from "../../src/sources/types.ts";
import { minute, reveal, scene, second } from "./cache-support.ts";
import { fakeClock, settled } from "./fake-clock.ts";

describe("reading again", () => {
  test("V14 the timeline of the cache", async () => {
    const { source, clock, reads, answer, now, ask } = scene({ ttl: 10 * minute });
    const at = (seconds: number) => clock.advance(seconds * second - clock.now());
    const first = assert.rejects(async () => source.get(), { message: "down" });
    await answer(new SourceError("down")); // t = 0
    await first;
    at(30);
    assert.throws(() => source.get(), { message: "down" });
    assert.equal(reads.length, 1, "the failure is remembered to 60 s");
    at(61);
    ask();
    assert.equal(reads.length, 2);
    await answer("v1");
    assert.equal(now(), "v1");
    at(700);
    assert.equal(now(), "v1", "stale, while it is read again");
    assert.equal(reads.length, 3);
    await answer(new SourceError("down"));
    at(900);
    assert.equal(now(), "v1");
    at(999);
    assert.equal(now(), "v1");
    assert.equal(reads.length, 3, "not before 1000 s");
    at(1001);
    assert.equal(now(), "v1");
    assert.equal(reads.length, 4);
    await answer("v2");
    assert.equal(now(), "v2");
  });

  test("starts at about 80 % of the ttl, behind the request that notices", async () => {
    const { clock, reads, answer, now, ask } = scene({ ttl: 10 * minute });
    ask();
    await answer("s1");
    clock.advance(8 * minute - 1);
    assert.equal(now(), "s1");
    assert.equal(reads.length, 1);
    clock.advance(1);
    for (let i = 0; i < 1000; i++) assert.equal(now(), "s1");
    assert.equal(reads.length, 2, "one refresh for all");
    await answer("s2");
    assert.equal(now(), "s2");
  });

  for (const [random, due] of [
    [0, 0.72],
    [1, 0.88],
  ] as const) {
    test(`is spread by a tenth: ${due} of the ttl`, () => {
      const clock = { ...fakeClock(), random: () => random };
      let reads = 0;
      const fetch = () => `s${++reads}`;
      const settings = { ...defaultCacheSettings, ttl: 1000 };
      const source = new CachedSource({ name: "n", identity: "n", fetch }, settings, {
        clock,
        onWarning: () => {},
      });
      void source.get();
      clock.advance(1000 * due - 1);
      void source.get();
      assert.equal(reads, 1);
      clock.advance(2);
      void source.get();
      assert.equal(reads, 2);
    });
  }

  test("a hanging refresh never makes callers wait, and is given up", async () => {
    const { clock, reads, warnings, now, ask } = scene({ ttl: 10 * minute });
    ask();
    reads[0]?.answer("s1");
    await settled();
    clock.advance(9 * minute);
    assert.equal(now(), "s1");
    clock.advance(10 * second);
    assert.ok(reads[1]?.signal.aborted);
    assert.equal(now(), "s1");
    assert.deepEqual(warnings, [
      'vault/key: failed to refresh secret, serving stale value: secret "vault/key": no answer within 10s; next try in 5m',
    ]);
  });

  test("after a long silence one read is awaited, and the old value serves if it fails", async () => {
    const { source, clock, reads, answer, now, ask } = scene({ ttl: 10 * minute });
    ask();
    await answer("s1");
    clock.advance(24 * 60 * minute);
    const waiting = [source.get(), source.get()];
    assert.equal(reads.length, 2);
    await answer(new SourceError("down"));
    for (const caller of waiting) assert.equal(await reveal(caller), "s1");
    clock.advance(5 * minute);
    assert.equal(now(), "s1", "the failed attempt ended the silence");
    assert.equal(reads.length, 3);
    await answer("s2");
    clock.advance(24 * 60 * minute);
    const caller = source.get();
    await answer("s3");
    assert.equal(await reveal(caller), "s3");
    clock.advance(19 * minute);
    assert.equal(now(), "s3", "not silent for twice the ttl");
  });

  test("R-08 S-40 failing refreshes keep the last good value for any time", async () => {
    const { clock, answer, warnings, now, ask } = scene({ ttl: minute });
    ask();
    await answer("s1");
    for (let attempt = 1; attempt <= 100; attempt++) {
      clock.advance(minute);
      assert.equal(now(), "s1");
      await answer(new SourceError("down"));
      assert.equal(warnings.length, attempt);
    }
  });

  test("the pause after a failed refresh is half the ttl, at most 5 minutes", async () => {
    const { clock, answer, warnings, ask } = scene({ ttl: 24 * 60 * minute });
    ask();
    await answer("s1");
    clock.advance(20 * 60 * minute);
    ask();
    await answer(new SourceError("down"));
    assert.match(warnings[0] ?? "", /next try in 5m$/);
  });

  test("an empty answer does not replace a good value", async () => {
    const { clock, answer, warnings, now, ask } = scene({ ttl: minute });
    ask();
    await answer("s1");
    clock.advance(minute);
    ask();
    await answer("");
    assert.equal(now(), "s1");
    assert.match(warnings[0] ?? "", /serving stale value: secret "vault\/key": resolved to empty value/);
  });
});

describe("max_stale", () => {
  test("ends the life of a value that cannot be read again", async () => {
    const { source, clock, reads, answer, now, ask } = scene({ ttl: 10 * minute, maxStale: 2 * minute });
    ask();
    await answer("s1");
    clock.advance(9 * minute);
    ask();
    await answer(new SourceError("down"));
    clock.advance(3 * minute - 1);
    assert.equal(now(), "s1");
    clock.advance(1);
    const caller = assert.rejects(async () => source.get(), { message: "down" });
    assert.equal(reads.length, 3, "the pause does not reach past the end of the value");
    await answer(new SourceError("down"));
    await caller;
    clock.advance(59 * second);
    assert.throws(() => source.get(), { message: "down" });
    clock.advance(second);
    const next = source.get();
    await answer("s2");
    assert.equal(await reveal(next), "s2");
  });

  test("0 serves nothing older than its ttl", async () => {
    const { source, clock, answer, ask } = scene({ ttl: minute, maxStale: 0 });
    ask();
    await answer("s1");
    clock.advance(minute);
    const next = source.get();
    assert.ok(next instanceof Promise);
    await answer("s2");
    assert.equal(await reveal(next), "s2");
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { CachedSource, defaultCacheSettings, valueProblem } from "../../src/sources/cache.ts";
import { Secret, SourceError } from "../../src/sources/types.ts";
import { minute, reveal, scene, second } from "./cache-support.ts";
import { fakeClock } from "./fake-clock.ts";

describe("the first read", () => {
  test("a thousand callers on a cold cache share one read", async () => {
    const { source, reads, answer } = scene();
    const callers = Array.from({ length: 1000 }, async () => source.get());
    assert.equal(reads.length, 1);
    await answer("s1");
    const secrets = await Promise.all(callers);
    assert.equal(new Set(secrets).size, 1);
    assert.equal(secrets[0]?.reveal(), "s1");
  });

  test("a value is served at once and as the same object until it changes", async () => {
    const { source, clock, answer, ask } = scene({ ttl: 10 * minute });
    const first = source.get();
    await answer("s1");
    const secret = source.get();
    assert.ok(secret instanceof Secret);
    assert.equal(secret, await first);
    clock.advance(9 * minute);
    assert.equal(source.get(), secret);
    await answer("s1");
    assert.equal(source.get(), secret, "the same value read again");
    clock.advance(9 * minute);
    ask();
    await answer("s2");
    assert.notEqual(source.get(), secret);
  });

  test("R-08 without a ttl a value is never read again", async () => {
    const { clock, reads, answer, now, ask } = scene();
    ask();
    await answer("s1");
    clock.advance(365 * 24 * 60 * minute);
    assert.equal(now(), "s1");
    assert.equal(reads.length, 1);
  });

  test("a source that needs no I/O gives its value without a promise", () => {
    const clock = fakeClock();
    const source = new CachedSource(
      { name: "n", identity: "n", fetch: () => "s1" },
      { ...defaultCacheSettings, ttl: minute },
      { clock, onWarning: () => {} },
    );
    const secret = source.get();
    assert.ok(secret instanceof Secret);
    assert.equal(clock.timers(), 0);
  });
});

describe("a first read that fails", () => {
  test("R-08 is remembered for failure_ttl, then tried again, and recovers", async () => {
    const { source, clock, reads, answer, warnings, now } = scene({ failureTtl: 5 * second });
    const first = source.get();
    const refused = assert.rejects(async () => first, { name: "SourceError", message: "no such secret" });
    await answer(new SourceError("no such secret"));
    await refused;
    clock.advance(4 * second);
    assert.throws(() => source.get(), { message: "no such secret" });
    assert.equal(reads.length, 1);
    clock.advance(second);
    const again = source.get();
    assert.equal(reads.length, 2);
    await answer("s1");
    assert.equal(await reveal(again), "s1");
    assert.equal(now(), "s1");
    assert.deepEqual(warnings, [
      "vault/key: failed to fetch secret, caching error: no such secret; next try in 5s",
    ]);
  });

  test("waits as long as the service asked for, if that is longer", async () => {
    const { source, clock, reads, answer, warnings, ask } = scene({ failureTtl: 5 * second });
    const first = assert.rejects(async () => source.get());
    await answer(new SourceError("too many requests", { retryAfterMs: 90 * second }));
    await first;
    clock.advance(89 * second);
    assert.throws(() => source.get());
    assert.equal(reads.length, 1);
    assert.match(warnings[0] ?? "", /next try in 1m30s$/);
    clock.advance(second);
    ask();
    assert.equal(reads.length, 2);
  });

  test("a service cannot silence a source for more than an hour", async () => {
    const { source, clock, reads, answer, ask } = scene();
    const first = assert.rejects(async () => source.get());
    await answer(new SourceError("too many requests", { retryAfterMs: Number.MAX_SAFE_INTEGER }));
    await first;
    clock.advance(60 * minute);
    ask();
    assert.equal(reads.length, 2);
  });

  test("an error thrown before any promise is remembered too", () => {
    let reads = 0;
    const fetch = () => {
      reads++;
      throw new SourceError("not set");
    };
    const options = { clock: fakeClock(), onWarning: () => {} };
    const source = new CachedSource({ name: "n", identity: "n", fetch }, defaultCacheSettings, options);
    assert.throws(() => source.get(), { message: "not set" });
    assert.throws(() => source.get(), { message: "not set" });
    assert.equal(reads, 1);
  });
});

describe("what is refused, without a word of the value (I14)", () => {
  const canary = "sk-canary-8d1f";
  const refused: readonly [what: string, value: string, problem: RegExp][] = [
    ["an empty value", "", /resolved to empty value/],
    ["a value over 64 kB", canary.repeat(5000), /larger than 65536 bytes/],
    ["a value whose UTF-8 form is over 64 kB", canary + "é".repeat(40_000), /larger than 65536 bytes/],
    ["a NUL byte", `${canary}\0`, /NUL byte/],
  ];
  for (const [what, value, problem] of refused) {
    test(`refuses ${what}`, async () => {
      const { source, answer, warnings } = scene();
      const caller = Promise.resolve(source.get()).catch((error: unknown) => error);
      await answer(value);
      const error = await caller;
      assert.ok(error instanceof SourceError);
      assert.match(error.message, problem);
      assert.ok(!`${inspect(error, { depth: 9 })}${warnings.join("")}`.includes(canary));
    });
  }

  test("takes exactly 64 kB", () => assert.equal(valueProblem("a".repeat(65_536)), undefined));

  test("an unexpected error's text is not passed on, only its code", async () => {
    for (const [error, message] of [
      [new SyntaxError(`Unexpected token, "${canary}" is not valid JSON`), /\(unexpected error\)$/],
      [Object.assign(new Error(`connect to ${canary}`), { code: "ECONNREFUSED" }), /\(ECONNREFUSED\)$/],
      [Object.assign(new Error("x"), { code: canary }), /\(unexpected error\)$/],
    ] as const) {
      const { source, answer, warnings } = scene();
      const caller = Promise.resolve(source.get()).catch((reason: unknown) => reason);
      await answer(error);
      const reason = await caller;
      assert.ok(reason instanceof SourceError);
      assert.match(reason.message, message);
      assert.ok(!`${inspect(reason, { depth: 9 })}${warnings.join("")}`.includes(canary));
    }
  });

  test("the cache itself prints nothing of the value", async () => {
    const { source, answer, ask } = scene();
    ask();
    await answer(canary);
    assert.ok(!inspect(source, { depth: 9, showHidden: true }).includes(canary));
    assert.ok(!JSON.stringify(source).includes(canary));
  });
});

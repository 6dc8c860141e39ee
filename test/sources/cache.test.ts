import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import {
  CachedSource,
  defaultCacheSettings,
  valueProblem,
  type CacheSettings,
} from "../../src/sources/cache.ts";
import { Secret, SourceError } from "../../src/sources/types.ts";
import { fakeClock, settled } from "./fake-clock.ts";

const second = 1000;
const minute = 60_000;

type Answer = string | Error;

/** A source behind the cache whose answers the test decides, one by one. */
function scene(settings: Partial<CacheSettings> = {}) {
  const clock = fakeClock();
  const warnings: string[] = [];
  const reads: { answer: (answer: Answer) => void; signal: AbortSignal }[] = [];
  const source = new CachedSource(
    {
      name: "vault/key",
      identity: "vault/key",
      fetch: (signal) =>
        new Promise((resolve, reject) => {
          const answer = (given: Answer) => (typeof given === "string" ? resolve(given) : reject(given));
          reads.push({ answer, signal });
        }),
    },
    { ...defaultCacheSettings, ...settings },
    { clock, onWarning: (name, message) => warnings.push(`${name}: ${message}`) },
  );
  return {
    source,
    clock,
    warnings,
    reads,
    /** Answers the read that is under way, and lets the cache take it in. */
    answer: async (answer: Answer) => {
      const read = reads.at(-1);
      assert.ok(read !== undefined, "no read was started");
      read.answer(answer);
      await settled();
    },
    /** Asks for the value without waiting for it. */
    ask: () => void Promise.resolve(source.get()).catch(() => {}),
    /** The value that is served without waiting. */
    now: (): string => {
      const secret = source.get();
      assert.ok(secret instanceof Secret, "the cache made the caller wait");
      return secret.reveal();
    },
  };
}

const reveal = async (secret: Secret | Promise<Secret>) => (await secret).reveal();

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

describe("time limit and cancellation", () => {
  test("a source that ignores its signal is given up, and what it says later is not used", async () => {
    const { source, clock, reads, now } = scene({ timeout: 3 * second, failureTtl: second });
    const caller = assert.rejects(async () => source.get(), {
      message: 'secret "vault/key": no answer within 3s',
    });
    clock.advance(3 * second);
    await caller;
    assert.ok(reads[0]?.signal.aborted);
    clock.advance(second);
    const next = source.get();
    reads[1]?.answer("new");
    await settled();
    reads[0]?.answer("old");
    await settled();
    assert.equal(await reveal(next), "new");
    assert.equal(now(), "new");
  });

  test("R-09 a caller that leaves neither cancels the read nor spoils the cache", async () => {
    const { source, reads, answer, now } = scene();
    const left = Promise.race([source.get(), Promise.resolve("left")]);
    assert.equal(await left, "left");
    assert.equal(reads[0]?.signal.aborted, false);
    await answer("s1");
    assert.equal(now(), "s1");
  });

  test("a refresh that nobody waits for and that fails past max_stale is no unhandled rejection", async () => {
    const { clock, answer, ask, now, warnings } = scene({ ttl: minute, maxStale: second, timeout: minute });
    ask();
    await answer("s1");
    clock.advance(55 * second);
    assert.equal(now(), "s1");
    clock.advance(30 * second);
    await answer(new SourceError("down")); // the test runner fails on an unhandled rejection
    assert.match(warnings[0] ?? "", /failed to fetch secret/);
  });

  test("closing ends a refresh that nobody waits for, silently, and leaves no timer", async () => {
    const { source, clock, reads, warnings, answer, ask, now } = scene({ ttl: minute });
    ask();
    await answer("s1");
    clock.advance(55 * second);
    assert.equal(now(), "s1");
    source.close();
    await settled();
    assert.ok(reads[1]?.signal.aborted);
    assert.equal(clock.timers(), 0);
    assert.deepEqual(warnings, []);
  });

  test("after closing a request that is still under way gets what it needs", async () => {
    const { source, reads, answer, now, clock } = scene({ ttl: minute });
    const waiting = source.get();
    source.close();
    assert.equal(reads[0]?.signal.aborted, false);
    await answer("s1");
    assert.equal(await reveal(waiting), "s1");
    clock.advance(90 * minute);
    assert.equal(now(), "s1");
    assert.equal(reads.length, 1, "nothing is read ahead any more");
  });

  test("after closing a source that was never read is read when a request needs it", async () => {
    const { source, answer } = scene();
    source.close();
    const waiting = source.get();
    await answer("s1");
    assert.equal(await reveal(waiting), "s1");
  });

  test("no timer is left after an answer", async () => {
    const { clock, answer, ask } = scene();
    ask();
    assert.equal(clock.timers(), 1);
    await answer("s1");
    assert.equal(clock.timers(), 0);
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

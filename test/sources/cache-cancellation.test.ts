import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SourceError } from "../../src/sources/types.ts";
import { minute, reveal, scene, second } from "./cache-support.ts";
import { settled } from "./fake-clock.ts";

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

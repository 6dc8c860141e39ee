// What a source takes over when a configuration is replaced, and what it says of itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CacheSettings } from "../../src/sources/cache.ts";
import { SourceRegistry } from "../../src/sources/registry.ts";
import { minute, reveal, scene } from "./cache-support.ts";

/** A source that has been read once. */
async function sceneWith(value: string, settings: Partial<CacheSettings> = {}) {
  const read = scene(settings);
  read.ask();
  await read.answer(value);
  return read;
}

test("after a reload a value is read anew, and the request that needs it waits for that", async () => {
  const old = await sceneWith("one");
  const next = scene();
  next.source.adopt(old.source);
  const value = next.source.get();
  await next.answer("two");
  assert.equal(await reveal(value), "two");
  assert.equal(next.now(), "two");
});

test("I4: a value that cannot be read anew keeps serving, and the failure is told", async () => {
  const old = await sceneWith("one");
  const next = scene();
  next.source.adopt(old.source);
  const value = next.source.get();
  await next.answer(new Error("down"));
  assert.equal(await reveal(value), "one");
  assert.match(next.warnings.join(), /serving stale value/);
  assert.equal(next.now(), "one", "the pause after the failure");
  next.clock.advance(2000);
  next.ask();
  await next.answer("two");
  assert.equal(next.now(), "two");
});

test("a value does not outlive its max_stale through reloads", async () => {
  const settings = { ttl: minute, maxStale: minute };
  const old = await sceneWith("one", settings);
  const next = scene(settings);
  next.clock.advance(2 * minute);
  next.source.adopt(old.source);
  const value = next.source.get();
  if (value instanceof Promise) value.catch(() => {});
  await next.answer(new Error("down"));
  await assert.rejects(Promise.resolve(value));
});

test("a value that was read before the takeover is not replaced by an older one", async () => {
  const old = await sceneWith("one");
  const next = scene();
  next.ask();
  await next.answer("two");
  next.source.adopt(old.source);
  assert.equal(next.now(), "two");
});

test("counters go on over a reload", async () => {
  const old = await sceneWith("one");
  const next = scene();
  next.source.adopt(old.source);
  next.ask();
  await next.answer(new Error("down"));
  const { reads, failures } = next.source.status;
  assert.deepEqual([reads, failures], [2, 1]);
});

test("a source says how it is, and never its value", async () => {
  const { source, ask, answer, clock } = scene({ ttl: minute });
  const state = () => source.status.state;
  assert.deepEqual([state(), source.status.ageMs], ["unread", undefined]);
  ask();
  await answer("sk-live-canary");
  clock.advance(5000);
  assert.deepEqual([state(), source.status.ageMs], ["ok", 5000]);
  clock.advance(2 * minute);
  ask();
  await answer(new Error("down"));
  assert.equal(state(), "failing");
  assert.match(source.status.error ?? "", /vault\/key/);
  assert.doesNotMatch(JSON.stringify(source.status), /sk-live/);
});

test("a registry takes over what both configurations have, and nothing else", async () => {
  const registry = (env: NodeJS.ProcessEnv) => new SourceRegistry({ env, onWarning: () => {} });
  const handle = (of: SourceRegistry, name: string) =>
    of.handle({ type: "env", var: name }, (_, message) => assert.fail(message));
  const old = registry({ KEPT: "one", GONE: "x" });
  for (const name of ["KEPT", "GONE"]) await handle(old, name).get();
  const next = registry({});
  const kept = handle(next, "KEPT");
  const fresh = handle(next, "FRESH");
  next.adopt(old);
  assert.equal((await kept.get()).reveal(), "one");
  assert.throws(() => fresh.get(), /FRESH/);
  assert.deepEqual(
    next.status().map(({ name, reads }) => [name, reads]),
    [
      ["KEPT", 2],
      ["FRESH", 1],
    ],
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Secret, SourceError } from "../../src/sources/types.ts";
import { MintError } from "../../src/transforms/minting/mint-error.ts";
import { Lease, leaseMs } from "../../src/workers/lease.ts";
import type { Grant } from "../../src/workers/messages.ts";
import { pack, packFailure } from "../../src/workers/packed.ts";
import { fakeClock, settled } from "../sources/fake-clock.ts";

/** A lease whose keeper answers what the test says, and what it was asked. */
function setUp(first: Grant) {
  const clock = fakeClock();
  const state: { answer: Grant | Promise<Grant>; asked: number[] } = { answer: first, asked: [] };
  const lease = new Lease({
    clock,
    ask: async (known) => {
      state.asked.push(known);
      return state.answer;
    },
    make: ({ value }) => value as Secret,
  });
  return { clock, state, lease };
}

const granted = (text: string, version: number): Grant => ({
  kind: "value",
  version,
  value: pack({ value: new Secret(text) }),
});

test("asks once for all who wait, and then answers at once", async () => {
  const { lease, state } = setUp(granted("one", 1));
  const [first, second] = await Promise.all([lease.get(), lease.get()]);
  assert.equal(first, second);
  assert.equal(first.reveal(), "one");
  assert.equal(lease.get(), first, "a plain value, and the same object");
  assert.deepEqual(state.asked, [0]);
});

test("asks behind a request after a second, and keeps the object while the value is the same", async () => {
  const { lease, state, clock } = setUp(granted("one", 7));
  const first = await lease.get();
  clock.advance(leaseMs);
  state.answer = { kind: "same" };
  assert.equal(lease.get(), first);
  assert.equal(lease.get(), first);
  await settled();
  assert.deepEqual(state.asked, [0, 7], "one question for both, which names what is held");
  state.answer = granted("two", 8);
  clock.advance(leaseMs);
  assert.equal(lease.get(), first, "this request does not wait");
  await settled();
  assert.equal((lease.get() as Secret).reveal(), "two");
});

test("waits for the answer after a quiet time: the value may have been replaced long ago", async () => {
  const { lease, state, clock } = setUp(granted("one", 1));
  await lease.get();
  clock.advance(2 * leaseMs);
  state.answer = granted("two", 2);
  const late = lease.get();
  assert.ok(late instanceof Promise);
  assert.equal((await late).reveal(), "two");
});

test("I4: what the keeper refuses is not served any more, with the error it had", async () => {
  const { lease, state, clock } = setUp(granted("one", 1));
  await lease.get();
  clock.advance(leaseMs);
  const failure = packFailure(new SourceError('secret "A": not found', { retryAfterMs: 5, fault: "item" }));
  state.answer = { kind: "refused", failure };
  assert.ok(lease.get() instanceof Secret);
  await settled();
  const expected = { name: "SourceError", message: 'secret "A": not found', retryAfterMs: 5, fault: "item" };
  assert.throws(() => lease.get(), expected);
  clock.advance(leaseMs);
  state.answer = granted("two", 2);
  assert.equal((await lease.get()).reveal(), "two");
  assert.deepEqual(state.asked, [0, 1, 0], "nothing is held after a refusal");
});

test("a failed mint keeps its reason, which the audit tells", async () => {
  const failure = packFailure(new MintError("invalid_grant", "the issuer refused", { retryAfterMs: 9 }));
  const { lease } = setUp({ kind: "refused", failure });
  const expected = { name: "MintError", reason: "invalid_grant", retryAfterMs: 9 };
  await assert.rejects(async () => lease.get(), expected);
});

test("a lease that was closed serves what it has and asks no more", async () => {
  const { lease, state, clock } = setUp(granted("one", 1));
  const first = await lease.get();
  lease.close();
  clock.advance(10 * leaseMs);
  assert.equal(lease.get(), first);
  assert.deepEqual(state.asked, [0]);
});

test("the lease of a new configuration has the old value confirmed, not sent again", async () => {
  const { lease, state } = setUp(granted("one", 3));
  const first = await lease.get();
  const next = new Lease({
    ask: async (known) => {
      state.asked.push(known);
      return { kind: "same" } as const;
    },
    make: (): Secret => assert.fail("nothing is made anew"),
  });
  next.adopt(lease);
  assert.equal(await next.get(), first);
  assert.deepEqual(state.asked, [0, 3]);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MintError } from "../../../src/transforms/minting/mint-error.ts";
import { type Minted, Minter } from "../../../src/transforms/minting/minter.ts";
import { Secret, SourceError } from "../../../src/sources/types.ts";
import { fakeClock, settled } from "../../sources/fake-clock.ts";

const seconds = 1000;
const minutes = 60_000;

/** A minter whose mints end when the test says so. */
function setUp() {
  const clock = fakeClock();
  const mints: {
    credentials: object;
    signal: AbortSignal;
    give(token: string, lifetimeMs?: number): Promise<void>;
    fail(error: unknown): Promise<void>;
  }[] = [];
  const failures: { reason: string; detail: string; retryInMs: number }[] = [];
  let credentials: () => object | Promise<object>;
  const initial = {};
  credentials = () => initial;
  const minter = new Minter<object, Minted>({
    clock,
    credentials: () => credentials(),
    mint(given, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<Minted>();
      mints.push({
        credentials: given,
        signal,
        give(token, lifetimeMs) {
          resolve({ token: new Secret(token), lifetimeMs });
          return settled();
        },
        fail(error) {
          reject(error);
          return settled();
        },
      });
      return promise;
    },
    onFailure: ({ reason, message }, retryInMs) => failures.push({ reason, detail: message, retryInMs }),
  });
  return {
    clock,
    mints,
    failures,
    minter,
    /** The token at once, or a word for why there is none. */
    now(): string {
      try {
        const token = minter.get();
        if (!(token instanceof Promise)) return token.token.reveal();
        token.catch(() => {});
        return "(waits)";
      } catch (error) {
        return `(${(error as MintError).reason})`;
      }
    },
    use(next: () => object | Promise<object>) {
      credentials = next;
    },
  };
}

async function mintedAfterOne(lifetimeMs?: number) {
  const setup = setUp();
  setup.now();
  await setup.mints[0]?.give("one", lifetimeMs);
  return setup;
}

test("O-04: a thousand that meet a cold cache wait for one mint", async () => {
  const { minter, mints } = setUp();
  const waiting = Array.from({ length: 1000 }, () => Promise.resolve(minter.get()));
  await settled();
  assert.equal(mints.length, 1);
  await mints[0]?.give("one", 3600 * seconds);
  const tokens = await Promise.all(waiting);
  assert.equal(new Set(tokens).size, 1);
  assert.equal(minter.get(), tokens[0]); // no promise any more
});

describe("renewal ahead of the end", () => {
  // The fake clock's random number is 0.5, so a renewal comes 5 % earlier than its due time.
  const cases: [title: string, lifetimeMs: number | undefined, refreshAt: number, endsAt: number][] = [
    ["an hour: at 80 %", 60 * minutes, 48 * minutes * 0.95, 60 * minutes - 10 * seconds],
    ["two minutes: a minute before the end", 2 * minutes, minutes * 0.95, 110 * seconds],
    ["a minute: not in the first half", minutes, 30 * seconds * 0.95, 50 * seconds],
    ["unknown: as an hour", undefined, 48 * minutes * 0.95, 60 * minutes - 10 * seconds],
  ];
  for (const [title, lifetimeMs, refreshAt, endsAt] of cases) {
    test(title, async () => {
      const { clock, mints, now } = await mintedAfterOne(lifetimeMs);
      clock.advance(refreshAt - 1);
      assert.equal(now(), "one");
      assert.equal(mints.length, 1);
      clock.advance(1);
      assert.equal(now(), "one"); // served, while the next is minted behind it
      assert.equal(now(), "one");
      assert.equal(mints.length, 2);
      await mints[1]?.give("two", lifetimeMs);
      assert.equal(now(), "two");

      const old = await mintedAfterOne(lifetimeMs);
      old.clock.advance(endsAt - 1);
      assert.equal(old.now(), "one");
      await old.mints[1]?.fail(new MintError("invalid_grant", "no"));
      old.clock.advance(1);
      assert.equal(old.now(), "(invalid_grant)");
    });
  }

  test("after it nothing more is asked while nobody needs a token", async () => {
    const { clock, mints } = await mintedAfterOne(3600 * seconds);
    clock.advance(24 * 60 * minutes);
    assert.equal(mints.length, 1);
    assert.equal(clock.timers(), 0);
  });
});

describe("a token that is of no use", () => {
  for (const lifetimeMs of [10 * seconds, 5 * seconds, 0, -60 * seconds]) {
    test(`lives for ${lifetimeMs / seconds} s: a failure, so that the issuer is not asked for each request`, async () => {
      const { mints, now, failures } = await mintedAfterOne(lifetimeMs);
      assert.equal(failures[0]?.reason, "token_expired");
      assert.equal(now(), "(token_expired)");
      assert.equal(mints.length, 1);
    });
  }

  test("lives for a second more than the margin: used for that second", async () => {
    const { clock, now } = await mintedAfterOne(11 * seconds);
    assert.equal(now(), "one");
    clock.advance(1 * seconds);
    assert.equal(now(), "(waits)");
  });

  test("its lifetime counts from when it was asked for", async () => {
    const { clock, mints, now } = setUp();
    now();
    clock.advance(8 * seconds);
    await mints[0]?.give("one", 20 * seconds);
    clock.advance(2 * seconds);
    assert.equal(now(), "(waits)");
  });
});

describe("failures", () => {
  test("are told at once until the pause is over, and pauses grow from 1 s to 60 s", async () => {
    const { clock, mints, now, failures } = setUp();
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
      assert.equal(now(), "(waits)");
      await mints.at(-1)?.fail(new MintError("token_endpoint_http_500", "no"));
      assert.equal(failures.at(-1)?.retryInMs, pause * seconds);
      const before = mints.length;
      clock.advance(pause * seconds - 1);
      assert.equal(now(), "(token_endpoint_http_500)");
      assert.equal(mints.length, before);
      clock.advance(1);
    }
    now();
    await mints.at(-1)?.give("one", 60 * minutes);
    clock.advance(60 * minutes);
    now();
    await mints.at(-1)?.fail(new MintError("x", "no"));
    assert.equal(failures.at(-1)?.retryInMs, 1 * seconds); // a success starts the count anew
  });

  test("pause for as long as Retry-After says, up to a minute", async () => {
    const { clock, mints, now, failures } = setUp();
    for (const [retryAfterMs, pause] of [
      [30 * seconds, 30 * seconds],
      [3600 * seconds, 60 * seconds],
    ] as const) {
      now();
      await mints.at(-1)?.fail(new MintError("x", "no", { retryAfterMs }));
      assert.equal(failures.at(-1)?.retryInMs, pause);
      clock.advance(pause);
    }
  });

  test("of a renewal leave the old token in use", async () => {
    const { clock, mints, now } = await mintedAfterOne(60 * minutes);
    clock.advance(50 * minutes);
    assert.equal(now(), "one");
    await mints[1]?.fail(new MintError("token_endpoint_error", "no"));
    assert.equal(now(), "one");
    assert.equal(mints.length, 2); // paused
    clock.advance(1 * seconds);
    assert.equal(now(), "one");
    assert.equal(mints.length, 3);
  });

  test("I14: of unknown kind are told by their code alone", async () => {
    const { mints, now, failures } = setUp();
    now();
    await mints[0]?.fail(new Error("client_secret=hunter2"));
    now();
    assert.deepEqual(failures, [{ reason: "mint_failed", detail: "unexpected error", retryInMs: 1000 }]);
  });

  test("that are thrown at once leave nothing behind", async () => {
    const clock = fakeClock();
    let mints = 0;
    const minter = new Minter<object, Minted>({
      clock,
      credentials: () => clock,
      mint() {
        mints++;
        throw new MintError("broken", "no");
      },
      onFailure: () => {},
    });
    await assert.rejects(async () => minter.get(), { reason: "broken" });
    clock.advance(1 * seconds);
    await assert.rejects(async () => minter.get(), { reason: "broken" });
    assert.equal(mints, 2);
    assert.equal(clock.timers(), 0);
  });
});

test("an issuer that never answers is given up after ten seconds, and the request to it is aborted", async () => {
  const { clock, minter, mints, failures } = setUp();
  const waiting = assert.rejects(async () => minter.get(), { reason: "token_endpoint_error" });
  await settled();
  clock.advance(10 * seconds - 1);
  assert.equal(mints[0]?.signal.aborted, false);
  clock.advance(1);
  await waiting;
  assert.equal(mints[0]?.signal.aborted, true);
  assert.equal(failures[0]?.detail, "no answer within 10s");
  await mints[0]?.give("late", 60 * minutes);
  await assert.rejects(async () => minter.get(), { reason: "token_endpoint_error" });
});

describe("credentials that change", () => {
  test("make a new token; the old one serves until it is there", async () => {
    const { clock, mints, now, use } = await mintedAfterOne(60 * minutes);
    const next = {};
    use(() => next);
    assert.equal(now(), "one");
    assert.equal(mints.length, 2);
    assert.equal(mints[1]?.credentials, next);
    clock.advance(5 * seconds);
    await mints[1]?.give("two", 60 * minutes);
    assert.equal(now(), "two");
    assert.equal(mints.length, 2);
  });

  test("do not wait for the pause of the old ones", async () => {
    const { mints, now, use } = setUp();
    now();
    await mints[0]?.fail(new MintError("invalid_client", "no"));
    assert.equal(now(), "(invalid_client)");
    const next = {};
    use(() => next);
    assert.equal(now(), "(waits)");
    assert.equal(mints.length, 2);
  });

  test("while a mint with the old ones is under way: its failure says nothing about the new ones", async () => {
    const { minter, mints, now, use } = setUp();
    now();
    const next = {};
    use(() => next);
    const waiting = Promise.resolve(minter.get());
    await mints[0]?.fail(new MintError("invalid_client", "no"));
    assert.equal(mints[1]?.credentials, next);
    await mints[1]?.give("two", 60 * minutes);
    assert.equal((await waiting).token.reveal(), "two");
  });
});

describe("credentials that cannot be read", () => {
  test("are a failure, reported once", async () => {
    const { now, failures, use, mints } = setUp();
    use(() => {
      throw new SourceError('secret "X": resolved to empty value');
    });
    assert.equal(now(), "(mint_failed)");
    assert.equal(now(), "(mint_failed)");
    assert.deepEqual(failures, [
      { reason: "mint_failed", detail: 'secret "X": resolved to empty value', retryInMs: 0 },
    ]);
    assert.equal(mints.length, 0);
  });

  test("later: a failure too", async () => {
    const { minter, use } = setUp();
    use(() => Promise.reject(new SourceError("no")));
    await assert.rejects(async () => minter.get(), { reason: "mint_failed", message: "no" });
  });

  test("being read: a token that is held is given meanwhile", async () => {
    const { now, use } = await mintedAfterOne(60 * minutes);
    use(() => Promise.reject(new SourceError("no")));
    assert.equal(now(), "one");
  });

  test("being read with no token held: waited for", async () => {
    const { minter, mints, use } = setUp();
    const credentials = {};
    use(() => Promise.resolve(credentials));
    const waiting = Promise.resolve(minter.get());
    await settled();
    await mints[0]?.give("one", 60 * minutes);
    assert.equal((await waiting).token.reveal(), "one");
  });
});

test("a closed minter renews nothing ahead, and still serves requests that outlive a reload", async () => {
  const { clock, minter, mints, now } = await mintedAfterOne(60 * minutes);
  minter.close();
  clock.advance(55 * minutes);
  assert.equal(now(), "one");
  assert.equal(mints.length, 1);
  clock.advance(5 * minutes);
  assert.equal(now(), "(waits)");
  await mints[1]?.give("two", 60 * minutes);
  assert.equal(now(), "two");
});

import assert from "node:assert/strict";
import { CachedSource, defaultCacheSettings, type CacheSettings } from "../../src/sources/cache.ts";
import { Secret } from "../../src/sources/types.ts";
import { fakeClock, settled } from "./fake-clock.ts";

export const second = 1000;
export const minute = 60_000;

type Answer = string | Error;

/** A source behind the cache whose answers the test decides, one by one. */
export function scene(settings: Partial<CacheSettings> = {}) {
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

export const reveal = async (secret: Secret | Promise<Secret>) => (await secret).reveal();

import { formatDuration } from "../config/duration.ts";
import { systemClock, type Clock } from "./clock.ts";
import type { KeptSource } from "./custody.ts";
import { Secret, SourceError, type SourceFault, type SecretSource } from "./types.ts";

/** How long values and failures are kept. All in milliseconds. */
export interface CacheSettings {
  /** Age at which a value is read again; 0 means never. */
  readonly ttl: number;
  /** How long a failure is remembered while there is no value to serve. */
  readonly failureTtl: number;
  /** How long after its ttl a value may still serve while reading it again fails; Infinity for no limit. */
  readonly maxStale: number;
  /** Longest wait for one read. */
  readonly timeout: number;
}

export const defaultCacheSettings: CacheSettings = {
  ttl: 0,
  failureTtl: 60_000,
  maxStale: Number.POSITIVE_INFINITY,
  timeout: 10_000,
};

export interface CacheOptions {
  /** Told of every failed read, once per attempt; nothing in the message is secret (I14). */
  readonly onWarning: (name: string, message: string) => void;
  readonly clock?: Clock;
}

/** How it is with a source. */
export interface SourceStatus {
  readonly name: string;
  /** `failing`: the last read failed, whether or not an older value still serves. */
  readonly state: "ok" | "failing" | "unread";
  /** Milliseconds since the value held was read. */
  readonly ageMs: number | undefined;
  /** Attempts to read it so far. */
  readonly reads: number;
  /** Those that failed. */
  readonly failures: number;
  /** Why the last read failed; safe text (I14). */
  readonly error: string | undefined;
}

/** Largest value a source may give, in bytes; credentials are small, and every byte of this is held (I12). */
export const maxValueBytes = 65_536;

/** A refresh starts at this share of the ttl, give or take {@link jitter}, so that no request waits for it. */
const refreshAhead = 0.8;
/** Share by which refreshes are spread, so that replicas started together do not ask together. */
const jitter = 0.1;
/** Bounds of the pause after a failed refresh, which is half the ttl between them. */
const shortestRetry = 1000;
const longestRetry = 300_000;
/** Longest pause a service can ask for; one wrong Retry-After must not silence a source for good. */
const longestRetryAfter = 3_600_000;

const never = Number.POSITIVE_INFINITY;

/**
 * One source behind the cache that all of its users share.
 *
 * A value goes through these ages: fresh (served), refresh due from about 80 % of the ttl (served, while one
 * read runs behind it), idle when nobody asked for twice the ttl (one read is awaited, so that a request after
 * a quiet night does not go out with a credential that was rotated long ago; the old value serves if that read
 * fails), and too old from `ttl + maxStale` (never served).
 */
export class CachedSource implements KeptSource {
  readonly name: string;
  readonly variables: readonly string[];
  readonly #source: SecretSource;
  readonly #settings: CacheSettings;
  readonly #onWarning: CacheOptions["onWarning"];
  readonly #clock: Clock;
  #value: Secret | undefined;
  #error: SourceError | undefined;
  /** When the value held was read. */
  #readAt = 0;
  /** When the last read ended, well or badly. */
  #askedAt = 0;
  /** Before this moment the value is given without a further thought. */
  #refreshAt = 0;
  /** After a failure: no read before this moment. */
  #retryAt = 0;
  #flight: Promise<Secret> | undefined;
  /** Whether a caller waits for the flight; a refresh runs behind callers that were served. */
  #awaited = false;
  /** Ends the flight without an outcome. */
  #abandon: (() => void) | undefined;
  #closed = false;
  #reads = 0;
  #failures = 0;

  constructor(source: SecretSource, settings: CacheSettings, options: CacheOptions) {
    this.name = source.name;
    this.variables = source.variables ?? [];
    this.#source = source;
    this.#settings = settings;
    this.#onWarning = options.onWarning;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * The current value: the same object until the value changes, at once when there is one to serve. All who
   * wait share one read, and none of them can cancel it.
   * @throws {SourceError} at once or later, when there is no value that may still serve
   */
  get(): Secret | Promise<Secret> {
    if (this.#value !== undefined && (this.#refreshAt === never || this.#clock.now() < this.#refreshAt)) {
      return this.#value;
    }
    return this.#renew(this.#clock.now());
  }

  /** How it is with this source, without its value. */
  get status(): SourceStatus {
    const error = this.#error?.message;
    const now = this.#clock.now();
    return {
      name: this.name,
      state: error !== undefined ? "failing" : this.#value === undefined ? "unread" : "ok",
      ageMs: this.#value === undefined ? undefined : now - this.#readAt,
      reads: this.#reads,
      failures: this.#failures,
      error,
    };
  }

  /**
   * Takes over from the same source of the configuration before this one: its counters, and its value for the case that
   * it cannot be read anew. The next who asks has it read.
   */
  adopt(old: KeptSource): void {
    if (!(old instanceof CachedSource)) return;
    this.#reads += old.#reads;
    this.#failures += old.#failures;
    if (this.#value !== undefined || old.#value === undefined) return;
    this.#value = old.#value;
    this.#readAt = old.#readAt;
    this.#askedAt = Number.NEGATIVE_INFINITY; // so that a request waits for the read
  }

  /**
   * Stops reading ahead, for a configuration that no new request uses. Requests that still use it get what is
   * held, and a read that one of them waits for goes on to its time limit.
   */
  close(): void {
    this.#closed = true;
    if (!this.#awaited) this.#abandon?.();
  }

  #renew(now: number): Secret | Promise<Secret> {
    const old = this.#servable(now);
    if (this.#closed && old !== undefined) return old;
    if (this.#flight === undefined) {
      if (now < this.#retryAt) return old ?? this.#refuse();
      const answer = this.#read(now);
      if (answer instanceof Secret) return answer;
      this.#flight = answer;
      this.#awaited = false;
      answer.catch(() => {}); // a refresh that nobody waits for has been reported by #failed
    }
    if (old !== undefined && now < this.#askedAt + 2 * this.#settings.ttl) return old;
    this.#awaited = true;
    return this.#flight;
  }

  /** The value held, if it may serve at `now`. */
  #servable(now: number): Secret | undefined {
    return now < this.#readAt + this.#settings.ttl + this.#settings.maxStale ? this.#value : undefined;
  }

  #refuse(): never {
    throw this.#error ?? this.#problem("not read yet");
  }

  #problem(text: string, fault?: SourceFault): SourceError {
    return new SourceError(`secret "${this.name}": ${text}`, { fault });
  }

  /** Reads the source once: at once for those that need no I/O, else as a flight with a time limit. */
  #read(now: number): Secret | Promise<Secret> {
    this.#reads++;
    const controller = new AbortController();
    let answer: string | Promise<string>;
    try {
      answer = this.#source.fetch(controller.signal);
      if (typeof answer === "string") return this.#succeeded(answer, now);
    } catch (error) {
      return this.#failed(error, now);
    }
    return this.#limited(answer, controller);
  }

  /** Waits for an answer no longer than the time-out, whether or not the source minds its signal. */
  #limited(answer: Promise<string>, controller: AbortController): Promise<Secret> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: (now: number) => Secret) => {
        if (this.#abandon !== abandon) return; // too late: timed out or closed
        this.#abandon = undefined;
        this.#flight = undefined;
        stopTimer();
        try {
          resolve(outcome(this.#clock.now()));
        } catch (error) {
          reject(error);
        }
      };
      const giveUp = (outcome: (now: number) => Secret) => {
        settle(outcome);
        controller.abort();
      };
      const abandon = () =>
        giveUp(() => {
          throw this.#problem("no longer wanted");
        });
      const { timeout } = this.#settings;
      const stopTimer = this.#clock.after(timeout, () => {
        giveUp((now) =>
          this.#failed(this.#problem(`no answer within ${formatDuration(timeout)}`, "server"), now),
        );
      });
      this.#abandon = abandon;
      answer.then(
        (value) => settle((now) => this.#succeeded(value, now)),
        (error: unknown) => settle((now) => this.#failed(error, now)),
      );
    });
  }

  #succeeded(value: string, now: number): Secret {
    const problem = valueProblem(value);
    if (problem !== undefined) return this.#failed(this.#problem(problem, "value"), now);
    const secret = this.#value?.reveal() === value ? this.#value : new Secret(value);
    this.#value = secret;
    this.#error = undefined;
    this.#readAt = now;
    this.#askedAt = now;
    this.#retryAt = 0;
    const { ttl } = this.#settings;
    const spread = 1 - jitter + 2 * jitter * this.#clock.random();
    this.#refreshAt = ttl === 0 ? never : now + ttl * refreshAhead * spread;
    return secret;
  }

  /** Remembers the failure; gives the old value while one may serve, else throws. */
  #failed(reason: unknown, now: number): Secret {
    const error = reason instanceof SourceError ? reason : this.#problem(unexpected(reason));
    this.#failures++;
    this.#error = error;
    this.#askedAt = now;
    const old = this.#servable(now);
    const pause = old === undefined ? this.#settings.failureTtl : this.#refreshPause(now);
    const asked = Math.min(error.retryAfterMs ?? 0, longestRetryAfter);
    const retryIn = Math.max(pause, asked);
    this.#retryAt = now + retryIn;
    const next = `next try in ${formatDuration(Math.round(retryIn))}`;
    if (old === undefined) {
      this.#onWarning(this.name, `failed to fetch secret, caching error: ${error.message}; ${next}`);
      throw error;
    }
    this.#onWarning(this.name, `failed to refresh secret, serving stale value: ${error.message}; ${next}`);
    return old;
  }

  /** Half the ttl within bounds, and not past the moment from which the old value may no longer serve. */
  #refreshPause(now: number): number {
    const { ttl, maxStale } = this.#settings;
    const usual = Math.min(ttl / 2, longestRetry, this.#readAt + ttl + maxStale - now);
    return Math.max(usual, shortestRetry);
  }
}

/** What is wrong with a value, in words that hold nothing of it (I14). */
export function valueProblem(value: string): string | undefined {
  if (value === "") return "resolved to empty value";
  if (value.length > maxValueBytes || Buffer.byteLength(value) > maxValueBytes) {
    return `the value is larger than ${maxValueBytes} bytes; this is not a credential`;
  }
  if (value.includes("\0")) return "the value has a NUL byte; store it as text";
  return undefined;
}

/**
 * Words for an error that no source made. It comes from a library or a bug, and its text may quote what was
 * read (`Unexpected token ... "sk-live..." is not valid JSON`), so only its code is told (I14).
 */
function unexpected(reason: unknown): string {
  const code = reason instanceof Error ? Reflect.get(reason, "code") : undefined;
  const known = typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code);
  return `reading it failed (${known ? code : "unexpected error"})`;
}

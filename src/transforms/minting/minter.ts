import { formatDuration } from "../../config/duration.ts";
import { systemClock, type Clock } from "../../sources/clock.ts";
import type { Custody, TokenSupply } from "../../sources/custody.ts";
import type { Secret } from "../../sources/types.ts";
import { asMintError, MintError } from "./mint-error.ts";

/** What a minter can keep: anything that lives for a while. */
export interface Perishable {
  /** Milliseconds it lives, counted from when it was asked for; `undefined` when the issuer did not say. */
  readonly lifetimeMs: number | undefined;
}

/** What an issuer gave. A mechanism may add to it. */
export interface Minted extends Perishable {
  readonly token: Secret;
}

export interface MinterOptions<Credentials extends object, Token extends Perishable> {
  /** What tokens are minted with now. The same object until something changes; then a new token is minted. */
  credentials(): Credentials | Promise<Credentials>;
  /** Gets one token. The signal is aborted after {@link mintTimeoutMs}. */
  mint(credentials: Credentials, signal: AbortSignal): Promise<Token>;
  /** Told of every attempt that failed; `retryInMs` is 0 when it is the credentials that cannot be read. */
  onFailure(failure: MintError, retryInMs: number): void;
  /** Told how every attempt ended. */
  readonly onOutcome?: ((ok: boolean) => void) | undefined;
  readonly clock?: Clock;
}

/** Longest wait for one mint, in milliseconds. */
export const mintTimeoutMs = 10_000;
/** A token is not used in its last moments: a request with it may be on its way for a while. */
export const marginMs = 10_000;
/** How long a token serves when its issuer did not say how long it lives. */
export const unknownLifetimeMs = 3_600_000;
/** Pauses after failures: the first, doubled each time up to the last. */
const firstPauseMs = 1000;
const longestPauseMs = 60_000;
/** Share by which refreshes come early at random, so that replicas started together do not ask together. */
const jitter = 0.1;

interface Held<Credentials, Token> {
  readonly token: Token;
  readonly credentials: Credentials;
  /** From this moment on a request has another one minted behind it. */
  readonly refreshAt: number;
  /** From this moment on it is not used. */
  readonly endsAt: number;
}

interface Failure<Credentials> {
  readonly error: MintError;
  readonly credentials: Credentials;
  /** Failures in a row. */
  readonly count: number;
  readonly retryAt: number;
}

/** A {@link Minter}, or what stands for it where another process mints. */
export function mintWith<Credentials extends object, Token extends Perishable>(
  custody: Pick<Custody, "minter"> | undefined,
  options: MinterOptions<Credentials, Token>,
): TokenSupply<Token> {
  const own = new Minter(options);
  return custody?.minter(own) ?? own;
}

/**
 * One kind of token behind a cache: minted when it is first needed, by one mint for all who wait (detached from their
 * requests), renewed ahead of its end behind a request that was served, and left alone for a growing pause after a
 * failure. All times are relative to when a token was asked for, on a monotonic clock: the clocks of this machine and
 * of the issuer may differ.
 */
export class Minter<Credentials extends object, Token extends Perishable> implements TokenSupply<Token> {
  readonly #options: MinterOptions<Credentials, Token>;
  readonly #clock: Clock;
  #held: Held<Credentials, Token> | undefined;
  #failure: Failure<Credentials> | undefined;
  #flight: { readonly credentials: Credentials; readonly token: Promise<Token> } | undefined;
  /** What was last reported about credentials that could not be read. */
  #reported: string | undefined;
  #closed = false;

  constructor(options: MinterOptions<Credentials, Token>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * The current token: the same object until another is minted, at once while one is held.
   * @throws {MintError} at once or later, when there is none
   */
  get(): Token | Promise<Token> {
    const now = this.#clock.now();
    let credentials: Credentials | Promise<Credentials>;
    try {
      credentials = this.#options.credentials();
    } catch (error) {
      throw this.#unreadable(error);
    }
    if (!(credentials instanceof Promise)) return this.#get(credentials, now);
    const held = this.#servable(now);
    if (held === undefined) return this.#getLater(credentials);
    credentials.catch(() => {}); // whoever asks next is told
    return held.token;
  }

  /** Stops renewing ahead. A mint under way goes on: a refresh token that it changes must not be lost. */
  close(): void {
    this.#closed = true;
  }

  async #getLater(pending: Promise<Credentials>): Promise<Token> {
    let credentials: Credentials;
    try {
      credentials = await pending;
    } catch (error) {
      throw this.#unreadable(error);
    }
    return this.#get(credentials, this.#clock.now());
  }

  #get(credentials: Credentials, now: number): Token | Promise<Token> {
    this.#reported = undefined;
    const held = this.#servable(now);
    if (held !== undefined) {
      const isCurrent = held.credentials === credentials && now < held.refreshAt;
      if (!isCurrent && !this.#closed && !this.#mustPause(credentials, now)) {
        this.#flight ??= this.#start(credentials);
      }
      return held.token;
    }
    if (this.#flight === undefined) {
      if (this.#failure !== undefined && this.#mustPause(credentials, now)) throw this.#failure.error;
      this.#flight = this.#start(credentials);
    }
    const flight = this.#flight;
    if (flight.credentials === credentials) return flight.token;
    // A mint with credentials that were replaced meanwhile says nothing about the new ones.
    return flight.token.catch(() => this.#get(credentials, this.#clock.now()));
  }

  #servable(now: number): Held<Credentials, Token> | undefined {
    return this.#held !== undefined && now < this.#held.endsAt ? this.#held : undefined;
  }

  #mustPause(credentials: Credentials, now: number): boolean {
    return this.#failure?.credentials === credentials && now < this.#failure.retryAt;
  }

  #start(credentials: Credentials) {
    const token = this.#mint(credentials).finally(() => {
      this.#flight = undefined;
    });
    token.catch(() => {}); // a renewal that nobody waits for has been reported
    return { credentials, token };
  }

  async #mint(credentials: Credentials): Promise<Token> {
    const askedAt = this.#clock.now();
    const controller = new AbortController();
    const late = Promise.withResolvers<never>();
    const stopTimer = this.#clock.after(mintTimeoutMs, () => {
      const detail = `no answer within ${formatDuration(mintTimeoutMs)}`;
      late.reject(new MintError("token_endpoint_error", detail));
      controller.abort();
    });
    try {
      const token = await Promise.race([this.#options.mint(credentials, controller.signal), late.promise]);
      this.#held = { token, credentials, ...this.#ends(token.lifetimeMs ?? unknownLifetimeMs, askedAt) };
      this.#failure = undefined;
      this.#options.onOutcome?.(true);
      return token;
    } catch (error) {
      throw this.#failed(asMintError(error), credentials);
    } finally {
      stopTimer();
    }
  }

  /**
   * Renewal is due at 80 % of the lifetime or a minute before the end, whichever comes first, but not in the first half.
   * @throws {MintError} for a token that is of no use: minting one for each request would hammer the issuer
   */
  #ends(lifetimeMs: number, askedAt: number): { refreshAt: number; endsAt: number } {
    const endsAt = askedAt + lifetimeMs - marginMs;
    if (this.#clock.now() >= endsAt) {
      throw new MintError(
        "token_expired",
        `the token lives for ${formatDuration(Math.max(0, lifetimeMs))}, which is too short`,
      );
    }
    const due = Math.max(lifetimeMs / 2, Math.min(lifetimeMs * 0.8, lifetimeMs - 60_000));
    return { refreshAt: askedAt + due * (1 - jitter * this.#clock.random()), endsAt };
  }

  #failed(error: MintError, credentials: Credentials): MintError {
    const before = this.#failure?.credentials === credentials ? this.#failure.count : 0;
    const usual = Math.min(firstPauseMs * 2 ** before, longestPauseMs);
    const pause = Math.max(usual, Math.min(error.retryAfterMs ?? 0, longestPauseMs));
    this.#failure = { error, credentials, count: before + 1, retryAt: this.#clock.now() + pause };
    this.#options.onFailure(error, pause);
    this.#options.onOutcome?.(false);
    return error;
  }

  /** Sources have pauses of their own; each problem with them is told once. */
  #unreadable(cause: unknown): MintError {
    const error = asMintError(cause);
    if (error.message !== this.#reported) {
      this.#options.onFailure(error, 0);
      this.#options.onOutcome?.(false);
    }
    this.#reported = error.message;
    return error;
  }
}

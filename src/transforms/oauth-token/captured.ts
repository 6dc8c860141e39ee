import { randomBytes } from "node:crypto";
import type { Tell } from "../../sources/commons.ts";

/** Tokens held for workloads, of one caller and of all; beyond that the oldest goes, and its owner has to log in again. */
const maxOfCaller = 64;
const maxCaptured = 4096;
/** A token whose issuer does not say how long it lives, in seconds: an hour for access, 30 days for what gets new ones. */
const unknownAccessSeconds = 3600;
const unknownRefreshSeconds = 30 * 24 * 3600;

/** A token that an issuer gave to a workload, which has a placeholder instead. */
export interface CapturedToken {
  readonly placeholder: string;
  /** Name of the caller it is for; empty where nobody has to say. */
  readonly caller: string;
  /** `host:port/path` of the token endpoint. */
  readonly endpoint: string;
  /** `undefined` once it has expired: the placeholder is known a while longer, so that nothing else is put in its place. */
  readonly value: string | undefined;
}

/** A token with its end, in milliseconds since 1970. */
export interface Kept extends CapturedToken {
  value: string | undefined;
  readonly expiresAt: number;
}

/** What tokens are kept for after they have expired, in milliseconds. */
const graceMs = 3_600_000;

/** The tokens of all workloads, in memory alone. They outlive a reload, not the process. */
export class CapturedTokens {
  /** Set where other processes have to know. */
  tell: Tell<Kept> | undefined;
  readonly #tokens = new Map<string, Kept>();
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get size(): number {
    return this.#tokens.size;
  }

  /**
   * Keeps a token.
   * @param seconds how long it lives, as its issuer says
   * @returns its placeholder: the same for a token that is kept already
   */
  add(
    token: { readonly caller: string; readonly endpoint: string; readonly value: string },
    kind: "access" | "refresh",
    seconds: number | undefined,
  ): string {
    const unknown = kind === "access" ? unknownAccessSeconds : unknownRefreshSeconds;
    const expiresAt = this.#now() + (seconds ?? unknown) * 1000;
    const known = this.#of(token.caller).find(
      ({ value, endpoint }) => value === token.value && endpoint === token.endpoint,
    );
    const placeholder = known?.placeholder ?? placeholderFor(token.value);
    this.take({ ...token, placeholder, expiresAt });
    return placeholder;
  }

  /** Keeps a token that has its placeholder already. */
  take(kept: Kept): void {
    const key = keyOf(kept);
    this.#tokens.delete(key);
    this.#tokens.set(key, kept);
    this.#bound(kept.caller);
  }

  held(): Iterable<Kept> {
    return this.#tokens.values();
  }

  /**
   * Tells other processes of what was added, so that its placeholders work with them too.
   * @returns `undefined` where there are none; otherwise resolves when they know
   */
  share(placeholders: Iterable<string>, caller: string): Promise<unknown> | undefined {
    const { tell } = this;
    if (tell === undefined) return undefined;
    const told = Array.from(placeholders, (placeholder) => {
      const kept = this.#tokens.get(keyOf({ placeholder, caller }));
      return new Promise<void>((known) => (kept === undefined ? known() : tell(kept, known)));
    });
    return Promise.all(told);
  }

  /** The token that a placeholder stands for, where it is this caller's and of this endpoint. */
  get(placeholder: string, caller: string, endpoint: string): CapturedToken | undefined {
    const key = keyOf({ placeholder, caller });
    const kept = this.#tokens.get(key);
    if (kept === undefined || kept.endpoint !== endpoint) return undefined;
    const now = this.#now();
    if (now >= kept.expiresAt) kept.value = undefined;
    if (now < kept.expiresAt + graceMs) return kept;
    this.#tokens.delete(key);
    return undefined;
  }

  #of(caller: string): Kept[] {
    return [...this.#tokens.values()].filter((kept) => kept.caller === caller);
  }

  #bound(caller: string): void {
    const now = this.#now();
    for (const [key, kept] of this.#tokens) {
      if (now >= kept.expiresAt) kept.value = undefined;
      if (now >= kept.expiresAt + graceMs) this.#tokens.delete(key);
    }
    const own = this.#of(caller);
    for (const kept of own.slice(0, Math.max(0, own.length - maxOfCaller))) this.#tokens.delete(keyOf(kept));
    for (const key of this.#tokens.keys()) {
      if (this.#tokens.size <= maxCaptured) break;
      this.#tokens.delete(key);
    }
  }
}

function keyOf({ placeholder, caller }: { placeholder: string; caller: string }): string {
  return `${placeholder} ${caller}`;
}

/**
 * A text that stands for a token. Clients read what a JWT says (an account, an expiry) without checking its signature, so header and claims stay; without
 * the signature it opens nothing.
 */
function placeholderFor(token: string): string {
  const [header, claims, signature, ...more] = token.split(".");
  const isJwt = more.length === 0 && signature !== undefined && isObject(header) && isObject(claims);
  const random = randomBytes(24).toString("base64url");
  return isJwt ? `${header}.${claims}.sallyport-${random}` : `sallyport-token-${random}`;
}

function isObject(part: string | undefined): boolean {
  if (part === undefined || !/^[\w-]+$/.test(part)) return false;
  try {
    const data: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof data === "object" && data !== null;
  } catch {
    return false;
  }
}

import type { Client } from "../pipeline/types.ts";
import type { Tell } from "../sources/commons.ts";

/** Two addresses that take turns within this time are in use at once. */
const windowMs = 60_000;
/** Tokens remembered (I12), those used last. */
const maxTokens = 4096;
/** Addresses of one token that are told apart within the window. */
const maxAddresses = 16;
/** Other processes are told of a token that takes turns this often at most. */
const tellEveryMs = 1000;

/** Between the clock of this process and one that all processes of the machine share. */
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of a clock that only goes forward, the same in every process of this machine. */
export const sharedNow = (): number => performance.now() + offsetMs;

interface Use {
  address: string;
  at: number;
  /** When each other address was last seen. */
  others: Map<string, number> | undefined;
  /** When other processes were told of an address here, and whether they know the one it is now. */
  toldAt: number;
  isTold: boolean;
}

/** A token was used from an address that was not the one before. */
export interface Sighting {
  readonly token: string;
  readonly address: string;
  /** By {@link sharedNow}. */
  readonly at: number;
}

/**
 * Notices a token that is used from two places: an address that comes back within a minute after another one had the token. One that
 * merely changes, as when a sandbox is moved, never comes back. IPv4 and IPv6 are not compared: many machines have both.
 */
export class CallerPlaces {
  /** Told of an address that a token has come to; set where other processes have to know. */
  tell: Tell<Sighting> | undefined;
  readonly #uses = new Map<string, Use>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number = sharedNow) {
    this.#now = now;
  }

  /** @returns the other address, where the caller's token is in use there too */
  elsewhere({ caller, remoteAddress }: Client): string | undefined {
    if (caller?.proof === undefined) return undefined;
    const { name, proof } = caller;
    const address = remoteAddress.slice(0, remoteAddress.lastIndexOf(":"));
    const family = address.includes(":") ? 6 : 4;
    const token = `${name} ${proof.keyId} ${proof.expiresAt} ${family}`;
    const now = this.#now();
    let use = this.#uses.get(token);
    let other: string | undefined;
    if (use === undefined) use = this.#remember(token, address, now);
    else if (use.address === address) use.at = now;
    else other = this.#move(use, address, now);
    if (!use.isTold && this.tell !== undefined && now - use.toldAt >= tellEveryMs) {
      use.isTold = true;
      use.toldAt = now;
      this.tell({ token, address, at: now });
    }
    return other;
  }

  /** Takes in where another process has seen a token. */
  take({ token, address, at }: Sighting): void {
    const use = this.#uses.get(token);
    if (use === undefined) this.#remember(token, address, at).isTold = true;
    else if (use.address === address) use.at = Math.max(use.at, at);
    else if (at >= use.at) {
      this.#move(use, address, at);
      use.isTold = true;
    } else {
      // It has moved on since, as is known here already.
      use.others ??= new Map();
      use.others.set(address, Math.max(at, use.others.get(address) ?? at));
      this.#forget(use.others, use.at);
    }
  }

  *held(): Iterable<Sighting> {
    for (const [token, { address, at }] of this.#uses) yield { token, address, at };
  }

  /** @returns the address before, where this one was in use a moment ago */
  #move(use: Use, address: string, now: number): string | undefined {
    use.others ??= new Map();
    const before = use.others.get(address);
    const previous = use.address;
    use.others.set(previous, use.at);
    use.others.delete(address);
    this.#forget(use.others, now);
    use.address = address;
    use.at = now;
    use.isTold = false;
    return before !== undefined && now - before <= windowMs ? previous : undefined;
  }

  #remember(token: string, address: string, at: number): Use {
    for (const oldest of this.#uses.keys()) {
      if (this.#uses.size < maxTokens) break;
      this.#uses.delete(oldest);
    }
    const use: Use = { address, at, others: undefined, toldAt: Number.NEGATIVE_INFINITY, isTold: false };
    this.#uses.set(token, use);
    return use;
  }

  #forget(others: Map<string, number>, now: number): void {
    for (const [address, at] of others) {
      if (others.size > maxAddresses || now - at > windowMs) others.delete(address);
    }
  }
}

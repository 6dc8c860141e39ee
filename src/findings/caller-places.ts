import type { Client } from "../pipeline/types.ts";

/** Two addresses that take turns within this time are in use at once. */
const windowMs = 60_000;
/** Tokens remembered (I12), those used last. */
const maxTokens = 4096;
/** Addresses of one token that are told apart within the window. */
const maxAddresses = 16;

interface Use {
  address: string;
  at: number;
  /** When each other address was last seen. */
  others: Map<string, number> | undefined;
}

/**
 * Notices a token that is used from two places: an address that comes back within a minute after another one had the token. One that
 * merely changes, as when a sandbox is moved, never comes back. IPv4 and IPv6 are not compared: many machines have both.
 */
export class CallerPlaces {
  readonly #uses = new Map<string, Use>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns the other address, where the caller's token is in use there too */
  elsewhere({ caller, remoteAddress }: Client): string | undefined {
    if (caller?.proof === undefined) return undefined;
    const { name, proof } = caller;
    const address = remoteAddress.slice(0, remoteAddress.lastIndexOf(":"));
    const family = address.includes(":") ? 6 : 4;
    const key = `${name} ${proof.keyId} ${proof.expiresAt} ${family}`;
    const now = this.#now();
    const use = this.#uses.get(key);
    if (use?.address === address) {
      use.at = now;
      return undefined;
    }
    if (use === undefined) {
      this.#remember(key, { address, at: now, others: undefined });
      return undefined;
    }
    use.others ??= new Map();
    const before = use.others.get(address);
    const previous = use.address;
    use.others.set(previous, use.at);
    use.others.delete(address);
    this.#forget(use.others, now);
    use.address = address;
    use.at = now;
    return before !== undefined && now - before <= windowMs ? previous : undefined;
  }

  #remember(key: string, use: Use): void {
    for (const oldest of this.#uses.keys()) {
      if (this.#uses.size < maxTokens) break;
      this.#uses.delete(oldest);
    }
    this.#uses.set(key, use);
  }

  #forget(others: Map<string, number>, now: number): void {
    for (const [address, at] of others) {
      if (others.size > maxAddresses || now - at > windowMs) others.delete(address);
    }
  }
}

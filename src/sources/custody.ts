import type { SourceStatus } from "./cache.ts";
import type { Commons } from "./commons.ts";
import type { SecretHandle } from "./types.ts";

/** A source with its value behind it, wherever that is kept. */
export interface KeptSource extends SecretHandle {
  readonly status: SourceStatus;
  /** Takes over from the same source of the configuration before this one. */
  adopt(old: KeptSource): void;
  /** Stops reading ahead, for a configuration that no new request uses. */
  close(): void;
}

/** Tokens that are minted when they are needed, wherever that is done. */
export interface TokenSupply<Token extends object> {
  /**
   * The current token: the same object until another is minted, at once while one is held.
   * @throws at once or later, when there is none
   */
  get(): Token | Promise<Token>;
  /** Stops renewing ahead. */
  close(): void;
}

/**
 * Who keeps the credentials of one configuration. With several workers one process does, and the others ask it: each is
 * given the sources and the minters that it built itself, in the order of the configuration, and says what to use in
 * their place. Building one reads nothing, so what is not used costs nothing.
 */
export interface Custody {
  source(own: KeptSource): KeptSource;
  minter<Token extends object>(own: TokenSupply<Token>): TokenSupply<Token>;
  /** What these processes learn; the same for every configuration. */
  readonly commons?: Commons | undefined;
}

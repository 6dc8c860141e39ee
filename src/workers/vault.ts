import type { Commons } from "../sources/commons.ts";
import type { Custody, KeptSource, TokenSupply } from "../sources/custody.ts";
import { SourceError } from "../sources/types.ts";
import type { Ask, Grant } from "./messages.ts";
import { pack, packFailure } from "./packed.ts";

/** Numbers for values, so that one which a worker holds already is not sent again. */
const versions = new WeakMap<object, number>();
let lastVersion = 0;

/** The sources and minters of one configuration, by their numbers, in the process that has them. */
export class Vault implements Custody {
  readonly commons: Commons | undefined;
  readonly #sources: KeptSource[] = [];
  readonly #minters: TokenSupply<object>[] = [];

  constructor(commons?: Commons) {
    this.commons = commons;
  }

  source(own: KeptSource): KeptSource {
    this.#sources.push(own);
    return own;
  }

  minter<Token extends object>(own: TokenSupply<Token>): TokenSupply<Token> {
    this.#minters.push(own);
    return own;
  }

  /** Answers a worker. All workers share the one read or mint that is needed for it. */
  async grant({ of, index, known }: Pick<Ask, "of" | "index" | "known">): Promise<Grant> {
    const keeper = of === "source" ? this.#sources[index] : this.#minters[index];
    if (keeper === undefined) return notHere;
    try {
      const value = await keeper.get();
      const version = versionOf(value);
      if (version === known) return { kind: "same" };
      return { kind: "value", version, value: pack(of === "source" ? { value } : value) };
    } catch (error) {
      return { kind: "refused", failure: packFailure(error) };
    }
  }
}

/** The one in force, and the one before it. */
const maxGenerations = 2;

/** Vaults of the configurations that requests may still use. */
export class Vaults {
  readonly #byGeneration = new Map<number, Vault>();

  /** Adds that of the configuration in force. Only so many are kept (I12). */
  put(generation: number, vault: Vault): void {
    this.#byGeneration.set(generation, vault);
    this.#byGeneration.delete(generation - maxGenerations);
  }

  grant(ask: Ask): Promise<Grant> {
    return this.#byGeneration.get(ask.generation)?.grant(ask) ?? Promise.resolve(notHere);
  }
}

/** A request that waited in a worker through two reloads. */
const notHere: Grant = {
  kind: "refused",
  failure: packFailure(new SourceError("the configuration was replaced while the request waited")),
};

function versionOf(value: object): number {
  let version = versions.get(value);
  if (version === undefined) versions.set(value, (version = ++lastVersion));
  return version;
}

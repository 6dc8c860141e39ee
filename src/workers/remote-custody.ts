import type { SourceStatus } from "../sources/cache.ts";
import type { Commons } from "../sources/commons.ts";
import type { Custody, KeptSource, TokenSupply } from "../sources/custody.ts";
import { Secret } from "../sources/types.ts";
import { Lease } from "./lease.ts";
import type { Ask, Grant } from "./messages.ts";

/** Asks the first process; its answer is never an error. */
export type AskPrimary = (ask: Omit<Ask, "kind" | "id">) => Promise<Grant>;

/** In a worker: every source and every minter is that of the first process, held for a moment at a time. */
export function remoteCustody(generation: number, ask: AskPrimary, commons?: Commons): Custody {
  let sources = 0;
  let minters = 0;
  return {
    commons,
    source(own) {
      const index = sources++;
      return new RemoteSource(own, (known) => ask({ generation, of: "source", index, known }));
    },
    minter<Token extends object>(own: TokenSupply<Token>): TokenSupply<Token> {
      const index = minters++;
      own.close();
      return new Lease<Token>({
        ask: (known) => ask({ generation, of: "minter", index, known }),
        make: (fields) => fields as Token,
      });
    },
  };
}

class RemoteSource implements KeptSource {
  readonly name: string;
  readonly variables: readonly string[];
  readonly #lease: Lease<Secret>;

  constructor({ name, variables }: KeptSource, ask: (known: number) => Promise<Grant>) {
    this.name = name;
    this.variables = variables;
    this.#lease = new Lease({ ask, make: ({ value }) => value as Secret });
  }

  get(): Secret | Promise<Secret> {
    return this.#lease.get();
  }

  /** How it is with the source, the first process tells. */
  get status(): SourceStatus {
    return { name: this.name, state: "unread", ageMs: undefined, reads: 0, failures: 0, error: undefined };
  }

  adopt(old: KeptSource): void {
    if (old instanceof RemoteSource) this.#lease.adopt(old.#lease);
  }

  close(): void {
    this.#lease.close();
  }
}

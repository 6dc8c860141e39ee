import type { Random } from "./random.ts";

/**
 * What a file in `targets/` exports: `export const name = "client-hello"` and `export function run(...)`.
 * Adding the file is all it takes. `run` does one iteration with nothing but the randomness it is given, leaves
 * its input with `random.keep(bytes)`, and throws when what it tests is wrong.
 */
export interface FuzzTarget {
  readonly name: string;
  run(random: Random, iteration: number): void | Promise<void>;
}

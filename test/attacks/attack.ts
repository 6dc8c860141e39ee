// What a row of docs/threats.md is made of: an attack, what is done against it, and the attempts at it.
import type { Arena } from "./arena.ts";

/** Refused: there was no way in. Neutralised: what was sent got through, and did not do what it was sent for. */
export type Outcome = "refused" | "neutralised";

/** One thing that the workload or the upstream does, by one way. */
export interface Attempt {
  readonly what: string;
  /** Listener and protocol: `CONNECT`, `SOCKS5, HTTP/2`. */
  readonly by: string;
  readonly expected: Outcome;
  /** Does it and says how it was met. Throws a {@link Breach} where it worked. */
  run(arena: Arena): Promise<string>;
}

/** A row; its number is the one that names of tests carry. */
export interface Attack {
  readonly number: number;
  readonly title: string;
  readonly defence: string;
  readonly attempts: readonly Attempt[];
  /** Why nothing is tried, where nothing is. */
  readonly notApplicable?: string;
}

/** An attack worked, or what met it was not what should have. */
export class Breach extends Error {
  override readonly name = "Breach";
}

/** @throws Breach unless the condition holds */
export function hold(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Breach(otherwise);
}

/** The same attempt by several ways. */
export function by<Way extends string>(
  ways: readonly Way[],
  what: string,
  expected: Outcome,
  run: (arena: Arena, way: Way) => Promise<string>,
): Attempt[] {
  return ways.map((way) => ({ what, by: way, expected, run: (arena) => run(arena, way) }));
}

/** Attempts that differ in one value, each by the same ways. */
export function each<Value, Way extends string>(
  values: readonly Value[],
  ways: readonly Way[],
  what: (value: Value) => string,
  expected: Outcome,
  run: (arena: Arena, way: Way, value: Value) => Promise<string>,
): Attempt[] {
  return values.flatMap((value) => by(ways, what(value), expected, (arena, way) => run(arena, way, value)));
}

import { Automaton } from "./automaton.ts";
import type { Exposed } from "./forms.ts";

/** How long a value is still looked for after another one took its place: as long as most tokens live. */
const graceMs = 3_600_000;
/** Callers and hosts remembered; beyond that the longest unused goes. */
const maxSets = 4096;
/**
 * A value that was replaced is not current again because it is used once more within this time: other processes have the new one a
 * moment later, and two sources of one name take turns for longer.
 */
const settleMs = 5000;
/** Values of one caller and host that are current, and of those that no longer are. */
const maxCurrent = 64;
const maxOld = 32;

/** A value that began to go out to a host for a caller. */
export interface Exposure {
  /** The host and, behind a space, the caller if there is one. */
  readonly to: string;
  readonly exposed: Exposed;
}

/** What went out to each host for each caller: all of it is looked for in what comes back, on later exchanges too. */
export class Exposures {
  /** Told of values that were not current before; set where other processes have to know. */
  tell: ((exposure: Exposure) => void) | undefined;
  readonly #sets = new Map<string, ExposureSet>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** What is known, after the values of one more exchange; `undefined` where nothing ever went out. */
  after(caller: string, host: string, values: readonly Exposed[] | undefined): ExposureSet | undefined {
    const key = caller === "" ? host : `${host} ${caller}`;
    if (values === undefined) return this.#sets.get(key);
    const set = this.#used(key);
    for (const exposed of values) {
      if (set.remember(exposed)) this.tell?.({ to: key, exposed });
    }
    return set;
  }

  /** Takes in what went out from another process. */
  take({ to, exposed }: Exposure): void {
    this.#used(to).remember(exposed);
  }

  /** All values, so that those which were replaced come before those that took their place. */
  *held(): Iterable<Exposure> {
    for (const [to, { inOrder }] of this.#sets) {
      for (const exposed of inOrder) yield { to, exposed };
    }
  }

  /** The set of a key, as the one used last. */
  #used(key: string): ExposureSet {
    const known = this.#sets.get(key);
    // Which was used last matters only once some have to go.
    if (known !== undefined && this.#sets.size < maxSets / 2) return known;
    const set = known ?? new ExposureSet(this.#now);
    if (known === undefined) this.#bound();
    else this.#sets.delete(key);
    this.#sets.set(key, set);
    return set;
  }

  #bound(): void {
    for (const key of this.#sets.keys()) {
      if (this.#sets.size < maxSets) return;
      this.#sets.delete(key);
    }
  }
}

/** A value that was replaced, and how long it is still looked for. */
interface Old {
  readonly exposed: Exposed;
  readonly until: number;
}

/** Values of one caller and host. */
export class ExposureSet {
  readonly #now: () => number;
  #current: Exposed[] = [];
  #old: Old[] = [];
  #automaton: Automaton | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Takes a value that went out with an exchange; a new value of the same entry begins the old one's grace.
   * @returns whether it was not current before
   */
  remember(exposed: Exposed): boolean {
    return exposed.once !== true && !this.#isCurrent(exposed) && this.#add(exposed);
  }

  /** What finds all of them now; another object once something changed. */
  get automaton(): Automaton {
    const [oldest] = this.#old;
    if (oldest !== undefined && oldest.until <= this.#now()) {
      this.#old = this.#old.filter(({ until }) => until > this.#now());
      this.#automaton = undefined;
    }
    this.#automaton ??= new Automaton(this.values);
    return this.#automaton;
  }

  get values(): readonly Exposed[] {
    return [...this.#current, ...this.#old.map(({ exposed }) => exposed)];
  }

  /** The oldest first. */
  get inOrder(): readonly Exposed[] {
    return [...this.#old.map(({ exposed }) => exposed), ...this.#current];
  }

  /** Whether an answer in an unknown coding may pass. */
  get passesUnknown(): boolean {
    return this.values.every(({ passUnknown }) => passUnknown === true);
  }

  #isCurrent({ value, replacement, name }: Exposed): boolean {
    for (const known of this.#current) {
      if (known.value === value && known.replacement === replacement && known.name === name) return true;
    }
    return false;
  }

  #add(exposed: Exposed): boolean {
    const returns = this.#old.findIndex((old) => old.exposed.value === exposed.value);
    if (this.#isSettling(this.#old[returns], exposed)) return false;
    this.#automaton = undefined;
    const before = this.#current.findIndex((known) => isSameEntry(known, exposed));
    if (returns >= 0) {
      // Two sources of one name take turns: both are current.
      this.#old.splice(returns, 1);
      this.#current.push(exposed);
    } else if (before < 0) this.#current.push(exposed);
    else this.#retire(this.#current.splice(before, 1, exposed)[0] as Exposed);
    if (this.#current.length > maxCurrent) this.#retire(this.#current.shift() as Exposed);
    return true;
  }

  #isSettling(old: Old | undefined, exposed: Exposed): boolean {
    if (old === undefined || !isSameEntry(old.exposed, exposed)) return false;
    return this.#now() - (old.until - graceMs) < settleMs;
  }

  #retire(exposed: Exposed): void {
    this.#old.push({ exposed, until: this.#now() + graceMs });
    if (this.#old.length > maxOld) this.#old.shift();
  }
}

function isSameEntry(one: Exposed, other: Exposed): boolean {
  return one.name === other.name && one.replacement === other.replacement && one.part === other.part;
}

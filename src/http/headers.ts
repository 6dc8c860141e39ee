/**
 * Header fields of one message (RFC 9110 section 5): order, repeats and the exact casing of names are kept,
 * look-ups ignore case. HTTP/2 lower-cases names on the wire by protocol.
 *
 * Three parallel arrays instead of an array of pairs: a request has about ten fields, each is read a few
 * times, and a pair object for each is what a proxied request spent most of its allocations on.
 */
export class Headers {
  readonly #names: string[];
  readonly #keys: string[];
  readonly #values: string[];

  constructor(names: string[] = [], keys: string[] = [], values: string[] = []) {
    this.#names = names;
    this.#keys = keys;
    this.#values = values;
  }

  /** Fields in the order given; names keep their casing. */
  static of(pairs: Iterable<readonly [name: string, value: string]>): Headers {
    const headers = new Headers();
    for (const [name, value] of pairs) headers.append(name, value);
    return headers;
  }

  get size(): number {
    return this.#names.length;
  }

  /** Name at a position, in the casing of the wire. */
  nameAt(index: number): string {
    return this.#names[index] as string;
  }

  /** Lower-cased name at a position. */
  keyAt(index: number): string {
    return this.#keys[index] as string;
  }

  valueAt(index: number): string {
    return this.#values[index] as string;
  }

  setValueAt(index: number, value: string): void {
    this.#values[index] = value;
  }

  /** Position of the first field of that name at or after `from`, or -1. `key` must be lower case. */
  indexOf(key: string, from = 0): number {
    return this.#keys.indexOf(key, from);
  }

  has(name: string): boolean {
    return this.#keys.includes(lowerCaseName(name));
  }

  /** First value of that name. */
  get(name: string): string | undefined {
    const index = this.#keys.indexOf(lowerCaseName(name));
    return index < 0 ? undefined : this.#values[index];
  }

  getAll(name: string): string[] {
    const key = lowerCaseName(name);
    return this.#values.filter((_, index) => this.#keys[index] === key);
  }

  append(name: string, value: string): void {
    this.#names.push(name);
    this.#keys.push(lowerCaseName(name));
    this.#values.push(value);
  }

  /** Puts a field before all others. */
  prepend(name: string, value: string): void {
    this.#names.unshift(name);
    this.#keys.unshift(lowerCaseName(name));
    this.#values.unshift(value);
  }

  /**
   * Leaves exactly one field of that name, in exactly this casing, where the first one stood (or at the end).
   * Every other spelling is removed: an upstream that reads the last of two `Authorization` fields must not
   * find the workload's own there.
   */
  set(name: string, value: string): void {
    const key = lowerCaseName(name);
    const first = this.#keys.indexOf(key);
    if (first < 0) {
      this.append(name, value);
      return;
    }
    this.#names[first] = name;
    this.#values[first] = value;
    for (let index = this.#keys.length - 1; index > first; index--) {
      if (this.#keys[index] === key) this.#removeAt(index);
    }
  }

  /** Removes every field of that name; returns how many there were. */
  delete(name: string): number {
    const key = lowerCaseName(name);
    let removed = 0;
    for (let index = this.#keys.length - 1; index >= 0; index--) {
      if (this.#keys[index] !== key) continue;
      this.#removeAt(index);
      removed++;
    }
    return removed;
  }

  /** Gives the name at a position another casing or another name; the value stays. */
  renameAt(index: number, name: string): void {
    this.#names[index] = name;
    this.#keys[index] = lowerCaseName(name);
  }

  /** Removes the field at a position; later fields move up. */
  removeAt(index: number): void {
    this.#removeAt(index);
  }

  clone(): Headers {
    return new Headers([...this.#names], [...this.#keys], [...this.#values]);
  }

  *[Symbol.iterator](): Generator<[name: string, value: string]> {
    for (let index = 0; index < this.#names.length; index++) yield [this.nameAt(index), this.valueAt(index)];
  }

  #removeAt(index: number): void {
    this.#names.splice(index, 1);
    this.#keys.splice(index, 1);
    this.#values.splice(index, 1);
  }
}

/** Spellings seen so far; bounded, because the workload chooses them. */
const seenNames = new Map<string, string>();
const maxSeenNames = 512;
const maxSeenNameLength = 40;

/** Lower-cases a field name, sharing one string for each spelling that is common. */
export function lowerCaseName(name: string): string {
  const known = seenNames.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  if (seenNames.size < maxSeenNames && name.length <= maxSeenNameLength) seenNames.set(name, lower);
  return lower;
}

import type { Path } from "./issues.ts";

/**
 * A copy of a part of the configuration, from which wrong parts are taken until the rest can be checked. Paths are
 * those of the copy as it is now, which differ from the file's once an entry of a list has been taken out.
 */
export class Draft {
  /** Paths of the file that were taken out. */
  readonly removed: Path[] = [];
  readonly #root: { data: unknown };
  /** For lists that lost entries: the number that each one left had in the file. */
  readonly #numbers = new WeakMap<object, number[]>();
  /** Entries to take out of their list when no path in use counts on their numbers any more. */
  readonly #marked = new Map<unknown[], Set<number>>();

  constructor(data: unknown) {
    this.#root = { data: structuredClone(data) };
  }

  get data(): unknown {
    return this.#root.data;
  }

  at(path: Path): unknown {
    return valueAt(this.#root.data, path);
  }

  /** The same place in the file. */
  original(path: Path): Path {
    let value = this.#root.data;
    return path.map((step) => {
      const parent = value;
      value = valueAt(value, [step]);
      if (typeof step !== "number" || typeof parent !== "object" || parent === null) return step;
      return this.#numbers.get(parent)?.[step] ?? step;
    });
  }

  /** Puts a value in the place of another. */
  replace(path: Path, value: unknown): true {
    const key = path.at(-1);
    const parent = key === undefined ? this.#root : this.at(path.slice(0, -1));
    if (typeof parent === "object" && parent !== null) Reflect.set(parent, key ?? "data", value);
    return true;
  }

  /** Takes out a key that counts as absent. False when it is absent. */
  drop(path: Path): boolean {
    const parent = this.at(path.slice(0, -1));
    const key = path.at(-1);
    if (typeof parent !== "object" || parent === null || typeof key !== "string") return false;
    return Object.hasOwn(parent, key) && Reflect.deleteProperty(parent, key);
  }

  /** Takes out a key that is wrong. */
  remove(path: Path): boolean {
    const original = this.original(path);
    if (!this.drop(path)) return false;
    this.removed.push(original);
    return true;
  }

  /** Takes out the innermost key or entry of a list on the path that is there. False when nothing is. */
  takeOut(path: Path): boolean {
    for (let length = path.length; length > 0; length--) {
      const at = path.slice(0, length);
      const last = at.at(-1);
      if (typeof last === "string" && this.remove(at)) return true;
      const parent = this.at(at.slice(0, -1));
      if (typeof last === "number" && Array.isArray(parent) && last < parent.length) {
        this.removed.push(this.original(at));
        const marked = this.#marked.get(parent) ?? new Set();
        this.#marked.set(parent, marked.add(last));
        return true;
      }
    }
    return false;
  }

  /** Takes the marked entries out of their lists; paths found before no longer hold. */
  sweep(): void {
    for (const [list, marked] of this.#marked) {
      const kept = [...list.keys()].filter((index) => !marked.has(index));
      const numbers = this.#numbers.get(list);
      this.#numbers.set(
        list,
        kept.map((index) => numbers?.[index] ?? index),
      );
      for (const index of [...marked].sort((a, b) => b - a)) list.splice(index, 1);
    }
    this.#marked.clear();
  }
}

/** What stands at a path below some data; own keys only. */
export function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** Whether a path leads to another or further down from it. */
export function isBelow(path: Path, top: Path): boolean {
  return top.length <= path.length && top.every((step, index) => step === path[index]);
}

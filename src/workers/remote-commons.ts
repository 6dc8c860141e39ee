import type { Commons, Memory } from "../sources/commons.ts";
import type { Known, Learnt, Lesson } from "./messages.ts";

/** Items that wait for a memory which this configuration does not have, or not yet; the oldest go first (I12). */
const maxWaiting = 8192;

export interface RemoteCommonsOptions {
  /** Sends to the first process. */
  send(message: Learnt | Known): void;
  sendErrand(errand: Lesson): void;
  /** What was known when this process was made. */
  readonly learnt: readonly Lesson[];
}

/** In a worker: what it learns goes to the first process, and what others learn comes from there. */
export class RemoteCommons implements Commons {
  readonly #options: RemoteCommonsOptions;
  readonly #memories = new Map<string, Memory<unknown>>();
  #waiting: readonly Lesson[];
  /** Who waits until all others know. */
  readonly #telling = new Map<number, () => void>();
  #lastId = 0;

  constructor(options: RemoteCommonsOptions) {
    this.#options = options;
    this.#waiting = options.learnt;
  }

  join<Item>(name: string, memory: Memory<Item>): void {
    this.#memories.set(name, memory as Memory<unknown>);
    const { own = [], others = [] } = Object.groupBy(this.#waiting, (lesson) =>
      lesson.name === name ? "own" : "others",
    );
    this.#waiting = others;
    for (const { item } of own) memory.take(item as Item);
    memory.tell = (item, known) => {
      let id = 0;
      if (known !== undefined) this.#telling.set((id = ++this.#lastId), known);
      this.#options.send({ kind: "learnt", id, name, item });
    };
  }

  once(name: string): (item: unknown) => void {
    return (item) => this.#options.sendErrand({ name, item });
  }

  /** Another process has learnt something. */
  learn({ id, name, item }: Learnt): void {
    const memory = this.#memories.get(name);
    if (memory !== undefined) memory.take(item);
    else this.#waiting = [...this.#waiting, { name, item }].slice(-maxWaiting);
    if (id !== 0) this.#options.send({ kind: "known", id });
  }

  /** All others know what was learnt here. */
  known({ id }: Known): void {
    this.#telling.get(id)?.();
    this.#telling.delete(id);
  }
}

// worker ── what it learnt ──▶ first process, which keeps it ──▶ other workers ──▶ known to all

import type { Commons, Memory } from "../sources/commons.ts";
import type { Lesson } from "./messages.ts";

/** A process that can be told; resolves when it knows, or does not say so in time. */
export interface Learner {
  learn(lesson: Lesson): void;
  learnt(lesson: Lesson): Promise<unknown>;
}

/** In the first process: it keeps what any worker learns, for the others and for those that come later. */
export class PrimaryCommons implements Commons {
  readonly #memories = new Map<string, Memory<unknown>>();
  readonly #duties = new Map<string, (item: unknown) => void>();
  readonly #learners: () => Iterable<Learner>;

  constructor(learners: () => Iterable<Learner>) {
    this.#learners = learners;
  }

  join<Item>(name: string, memory: Memory<Item>): void {
    this.#memories.set(name, memory as Memory<unknown>);
    memory.tell = (item, known) => this.#spread({ name, item }, undefined, known);
  }

  once<Item>(name: string, own: (item: Item) => void): (item: Item) => void {
    this.#duties.set(name, own as (item: unknown) => void);
    return own;
  }

  /**
   * Takes in what a worker learnt, and tells all others.
   * @param known called when they know
   */
  learn(lesson: Lesson, from: Learner, known: (() => void) | undefined): void {
    this.#memories.get(lesson.name)?.take(lesson.item);
    this.#spread(lesson, from, known);
  }

  /** Does what a worker wants done. */
  run({ name, item }: Lesson): void {
    this.#duties.get(name)?.(item);
  }

  /** For a worker that starts. */
  lessons(): Lesson[] {
    return [...this.#memories].flatMap(([name, memory]) =>
      Array.from(memory.held(), (item) => ({ name, item })),
    );
  }

  #spread(lesson: Lesson, from: Learner | undefined, known: (() => void) | undefined): void {
    const others = [...this.#learners()].filter((one) => one !== from);
    if (known === undefined) for (const other of others) other.learn(lesson);
    else void Promise.all(others.map((other) => other.learnt(lesson))).then(known);
  }
}

// one process learns ──▶ the first process keeps it ──▶ all others, and those that take a place later

/**
 * Tells the other processes of a proxy what this one has learnt. Items are copied: plain data alone.
 * @param known called when all of them know, or did not say so within a second
 */
export type Tell<Item> = (item: Item, known?: () => void) => void;

/** Something that one process of a proxy learns and all of them have to know. */
export interface Memory<Item> {
  /** Set where there are other processes. */
  tell?: Tell<Item> | undefined;
  /** Takes in what another process learnt, and tells nobody. */
  take(item: Item): void;
  /** What a process that starts has to take in, in this order. */
  held(): Iterable<Item>;
}

/** What the processes of a proxy have in common, beside the credentials that one of them keeps. */
export interface Commons {
  /** From here on the memory is told what others learn, those of before it included, and tells them. */
  join<Item>(name: string, memory: Memory<Item>): void;
  /**
   * Something that is done by one process for all of them.
   * @param own does it
   * @returns does it there; in no order with what is told
   */
  once<Item>(name: string, own: (item: Item) => void): (item: Item) => void;
}

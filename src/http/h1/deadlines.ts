/** Something that must get on before a moment passes. */
export interface Timed {
  /** `performance.now()` at which {@link onDeadline} is due; Infinity for never. */
  deadline: number;
  onDeadline(): void;
}

/** How late a deadline may be noticed, in milliseconds. */
const sweepEveryMs = 250;

/**
 * The deadlines of all connections behind one timer. A timer for each connection, moved on every read, costs
 * more than the parsing does; looking through the set four times a second costs nothing anyone can measure.
 */
export class Deadlines {
  readonly #items = new Set<Timed>();
  #timer: NodeJS.Timeout | undefined;

  add(item: Timed): void {
    this.#items.add(item);
    this.#timer ??= setInterval(() => this.#sweep(), sweepEveryMs).unref();
  }

  delete(item: Timed): void {
    this.#items.delete(item);
    if (this.#items.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    const now = performance.now();
    for (const item of this.#items) {
      if (item.deadline > now) continue;
      item.deadline = Number.POSITIVE_INFINITY;
      item.onDeadline();
    }
  }
}

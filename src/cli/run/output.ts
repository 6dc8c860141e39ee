/** Lines kept while the child has the terminal; more are counted (I12). */
const maxHeld = 50;

/** Our own lines, which must not get between the child's. */
export interface HeldOutput {
  write(text: string): void;
  /** From now on lines wait. */
  hold(): void;
  /** Writes what waited, and everything after it at once. */
  release(): void;
}

export function heldOutput(write: (text: string) => void): HeldOutput {
  let held: string[] | undefined;
  let dropped = 0;
  return {
    write(text) {
      if (held === undefined) write(text);
      else if (held.length < maxHeld) held.push(text);
      else dropped++;
    },
    hold() {
      held ??= [];
    },
    release() {
      for (const text of held ?? []) write(text);
      if (dropped > 0)
        write(`sallyport: ${dropped} more lines were left out; --verbose shows all as they come\n`);
      held = undefined;
      dropped = 0;
    },
  };
}

/** One field of a header list, in a table or on its way. */
export interface FieldEntry {
  readonly name: string;
  readonly value: string;
  /** As section 4.1 of RFC 7541 counts: both lengths and 32. */
  readonly size: number;
  /**
   * What the rules for messages say of it, put here by whoever applies them: a field that stays in a table is
   * looked at once, not with every message. `undefined` until then.
   */
  verdict: unknown;
}

const overhead = 32;

export function makeEntry(name: string, value: string): FieldEntry {
  return { name, value, size: name.length + value.length + overhead, verdict: undefined };
}

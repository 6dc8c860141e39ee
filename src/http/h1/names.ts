/** A field name as a message spelled it, and in lower case. */
export interface FieldName {
  readonly name: string;
  readonly key: string;
}

const slotCount = 1024;
/** A name that is longer is rare, and not worth keeping. */
const maxSharedLength = 64;

/**
 * Spellings seen lately, each in the slot that a few of its characters choose; a newer one takes an older
 * one's place. The workload chooses the names, so the size is fixed and no choice of names makes a look-up long.
 */
const slots: (FieldName | undefined)[] = Array.from({ length: slotCount });

/** The method at the beginning of a head's text, shared likewise: what compares it to a set of names hashes it once. */
export function methodAt(text: string, end: number): string {
  return fieldNameAt(text, 0, end).name;
}

/**
 * The field name at a place in a head's text. Common names come as shared strings: looking one up among those
 * costs a third of a Map, and comparing it later is comparing pointers.
 */
export function fieldNameAt(text: string, start: number, end: number): FieldName {
  const name = text.slice(start, end);
  const length = end - start;
  const slot =
    (length * 7 +
      text.charCodeAt(start) * 3 +
      text.charCodeAt(start + (length >> 1)) * 127 +
      text.charCodeAt(start + (length >> 2) * 3) * 17 +
      text.charCodeAt(end - 1) * 31) %
    slotCount;
  const known = slots[slot];
  if (known !== undefined && known.name === name) return known;
  if (length > maxSharedLength) return { name, key: name.toLowerCase() };
  // A slice keeps the whole head alive, so what stays here is a copy.
  const copy = Buffer.from(name, "latin1").toString("latin1");
  const added = { name: copy, key: copy.toLowerCase() };
  slots[slot] = added;
  return added;
}

/** A text to look for, and whose it is. */
export interface Needle<Owner> {
  readonly text: string;
  readonly owner: Owner;
}

/** Where a needle stands in a text. */
export interface Occurrence<Owner> {
  readonly start: number;
  readonly end: number;
  readonly owner: Owner;
}

/**
 * Where the needles stand, from left to right and without overlap. Longer needles choose first, so that a
 * placeholder that begins or contains another loses nothing to it (I7). Linear in the text for each needle.
 * @param needles longest first; of equal ones the first has it
 */
export function occurrences<Owner>(text: string, needles: readonly Needle<Owner>[]): Occurrence<Owner>[] {
  const found: Occurrence<Owner>[] = [];
  collect(text, 0, needles, 0, found);
  return found;
}

function collect<Owner>(
  text: string,
  offset: number,
  needles: readonly Needle<Owner>[],
  from: number,
  found: Occurrence<Owner>[],
): void {
  for (let index = from; index < needles.length; index++) {
    const { text: wanted, owner } = needles[index] as Needle<Owner>;
    let at = text.indexOf(wanted);
    if (at < 0) continue;
    let copied = 0;
    for (; at >= 0; at = text.indexOf(wanted, copied)) {
      collect(text.slice(copied, at), offset + copied, needles, index + 1, found);
      copied = at + wanted.length;
      found.push({ start: offset + at, end: offset + copied, owner });
    }
    collect(text.slice(copied), offset + copied, needles, index + 1, found);
    return;
  }
}

/**
 * The text with every occurrence replaced; what was put there is not looked at again.
 * @param replacement what goes in an occurrence's place; `undefined` leaves it
 */
export function replaceOccurrences<Owner>(
  text: string,
  found: readonly Occurrence<Owner>[],
  replacement: (owner: Owner) => string | undefined,
): string {
  let result = "";
  let copied = 0;
  for (const { start, end, owner } of found) {
    const value = replacement(owner);
    if (value === undefined) continue;
    result += text.slice(copied, start) + value;
    copied = end;
  }
  return result + text.slice(copied);
}

/**
 * The same in percent-encoded text, where the occurrences were found in its decoded form: everything outside them
 * stays byte for byte, broken escapes included.
 */
export function replaceEncodedOccurrences<Owner>(
  encoded: string,
  found: readonly Occurrence<Owner>[],
  replacement: (owner: Owner) => string | undefined,
): string {
  const moved: Occurrence<Owner>[] = [];
  let decodedAt = 0;
  let at = 0;
  const advance = (target: number): number => {
    for (; decodedAt < target; decodedAt++) at += isEscape(encoded, at) ? 3 : 1;
    return at;
  };
  for (const { start, end, owner } of found) moved.push({ start: advance(start), end: advance(end), owner });
  return replaceOccurrences(encoded, moved, replacement);
}

/**
 * Percent-decoded bytes; an escape that is none stays as it is (a bad escape elsewhere must not hide a placeholder).
 * @param plusIsSpace as in application/x-www-form-urlencoded
 */
export function decodePercent(encoded: string, plusIsSpace: boolean): string {
  if (!encoded.includes("%") && !(plusIsSpace && encoded.includes("+"))) return encoded;
  const bytes = Buffer.allocUnsafe(encoded.length);
  let length = 0;
  for (let at = 0; at < encoded.length; at++) {
    let code = encoded.charCodeAt(at);
    if (code === percent && isEscape(encoded, at)) {
      code = hexDigit(encoded.charCodeAt(at + 1)) * 16 + hexDigit(encoded.charCodeAt(at + 2));
      at += 2;
    } else if (code === plus && plusIsSpace) {
      code = space;
    }
    bytes[length++] = code;
  }
  return bytes.toString("latin1", 0, length);
}

const percent = 0x25;
const plus = 0x2b;
const space = 0x20;

function isEscape(text: string, at: number): boolean {
  return (
    text.charCodeAt(at) === percent &&
    hexDigit(text.charCodeAt(at + 1)) >= 0 &&
    hexDigit(text.charCodeAt(at + 2)) >= 0
  );
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

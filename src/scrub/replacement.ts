import { base64Alphabet, base64Bits, type Form, noSymbol } from "./forms.ts";
import { htmlStyle, introducers, jsonStyle, percentStyle, spellingsAt, type Style } from "./spelling.ts";

/** A form that was found in bytes. */
export interface Occurrence {
  readonly form: Form;
  readonly start: number;
  readonly end: number;
  readonly style: Style;
}

/** What is written in its place. */
export interface Replacement {
  readonly text: Buffer;
  /** Where the input goes on: padding of base64 belongs to what is replaced. */
  readonly end: number;
}

/** Bytes behind a base64 form that tell whether it ends there: padding, or an escaped line break and a letter. */
const lookAhead = 12;

/**
 * What a form is replaced by, in the form it was found in: base64 of the replacement for base64 of the value, spliced so that what stands
 * before and behind it decodes as before; its digits for hexadecimal; escaped where the value was.
 * @param isComplete nothing follows behind the bytes
 * @param keepLength writes as many bytes as were found, for formats that count
 * @returns `undefined` while the bytes behind a base64 form have to be waited for
 */
export function replacementFor(
  occurrence: Occurrence,
  bytes: Uint8Array,
  isComplete: boolean,
  keepLength: boolean,
): Replacement | undefined {
  const { form, start, end, style } = occurrence;
  const replacement = Buffer.from(form.exposed.replacement, "latin1");
  if (keepLength) return { text: fitted(occurrence, bytes, replacement), end };
  if (form.kind === "raw") return { text: styled(form.exposed.replacement, style), end };
  if (form.kind === "hex") return { text: hexDigits(bytes.subarray(start, end), replacement), end };
  const behind = behindBase64(form, bytes, end, isComplete);
  if (behind === undefined) return undefined;
  const text = base64Text(occurrence, bytes, replacement, behind);
  return { text: styled(text.toString("latin1"), style & percentStyle), end: behind.end };
}

/** The same number of bytes: cut, or filled up with asterisks. */
export function fit(replacement: Buffer, length: number): Buffer {
  return Buffer.concat([replacement, Buffer.alloc(Math.max(0, length - replacement.length), "*")], length);
}

function fitted(occurrence: Occurrence, bytes: Uint8Array, replacement: Buffer): Buffer {
  const { form, start, end, style } = occurrence;
  const length = end - start;
  const isPlain = style === 0 && length === form.text.length;
  if (form.kind === "raw" || !isPlain) return fit(replacement, length);
  const value = fit(replacement, form.exposed.value.length);
  if (form.kind === "hex") return hexDigits(bytes.subarray(start, end), value);
  return base64Text(occurrence, bytes, value, { end, isLast: false, isPadded: false });
}

/** Written with the escapes that the value was written with. */
function styled(text: string, style: Style): Buffer {
  let written = text;
  if ((style & jsonStyle) !== 0) written = JSON.stringify(written).slice(1, -1);
  if ((style & htmlStyle) !== 0) {
    written = written.replace(/[&<>"']/g, (byte) => `&#${byte.charCodeAt(0)};`);
  }
  if ((style & percentStyle) !== 0) {
    written = written.replace(
      /[^A-Za-z0-9_.~-]/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
    );
  }
  return Buffer.from(written, "latin1");
}

/** In the case of the digits that were found. */
function hexDigits(found: Uint8Array, replacement: Buffer): Buffer {
  const isUpper = found.some((byte) => byte >= 0x41 && byte <= 0x46);
  const digits = replacement.toString("hex");
  return Buffer.from(isUpper ? digits.toUpperCase() : digits, "latin1");
}

/** What follows a base64 form. */
interface Behind {
  readonly end: number;
  /** The text ends with the value. */
  readonly isLast: boolean;
  readonly isPadded: boolean;
}

function behindBase64(
  { alignment, exposed }: Form,
  bytes: Uint8Array,
  end: number,
  isComplete: boolean,
): Behind | undefined {
  const open: Behind = { end, isLast: false, isPadded: false };
  if (isLetter(bytes[end])) return open;
  if (bytes.length - end < lookAhead && !isComplete && mayGoOn(bytes[end])) return undefined;
  let next = end;
  for (let missing = (3 - ((alignment + exposed.value.length) % 3)) % 3; missing > 0; missing--) {
    if (bytes[next] === 0x3d) next++;
    else if (isEscapedPadding(bytes, next)) next += 3;
  }
  if (next > end) return { end: next, isLast: true, isPadded: true };
  return isLetter(bytes[behindBreak(bytes, end)]) ? open : { end, isLast: true, isPadded: false };
}

/** Padding, a line break or an escape of one of them may follow. */
function mayGoOn(byte: number | undefined): boolean {
  if (byte === undefined || byte === 0x3d || byte === 0x0a || byte === 0x0d) return true;
  return introducers[byte] === 1;
}

function isEscapedPadding(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x25 && bytes[at + 1] === 0x33 && ((bytes[at + 2] ?? 0) | 0x20) === 0x64;
}

function behindBreak(bytes: Uint8Array, at: number): number {
  const text = Buffer.from(bytes.subarray(at, at + lookAhead)).toString("latin1");
  return at + (/^(?:\r?\n|(?:\\+r)?\\+n|(?:%0d)?%0a|(?:&#13;)?&#10;)/i.exec(text)?.[0].length ?? 0);
}

function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && base64Bits[byte] !== noSymbol;
}

/**
 * Base64 of the replacement at the value's alignment. The first and the last letter keep the bits of the bytes beside the value. Where
 * more text follows, dots make the replacement as long as the value modulo 3, so that the alignment stays.
 */
function base64Text(
  { form, start, end }: Occurrence,
  bytes: Uint8Array,
  replacement: Buffer,
  { isLast, isPadded }: Behind,
): Buffer {
  const { alignment, exposed, firstMask, lastMask } = form;
  const filled = (((exposed.value.length - replacement.length) % 3) + 3) % 3;
  const dots = isLast ? 0 : filled;
  const content = Buffer.concat([Buffer.alloc(alignment), replacement, Buffer.alloc(dots, ".")]);
  const padding = content.length % 3 === 0 ? 0 : 3 - (content.length % 3);
  const bits = Array.from(content.toString("base64").slice(Math.floor((alignment * 8) / 6)))
    .slice(0, padding === 0 ? undefined : -padding)
    .map((letter) => base64Bits[letter.charCodeAt(0)] as number);
  bits[0] = (bits[0] as number) | (letterAt(bytes, start) & ~firstMask & 0x3f);
  const last = bits.length - 1;
  if (!isLast) bits[last] = (bits[last] as number) | (letterBefore(bytes, end) & ~lastMask & 0x3f);
  const found = bytes.subarray(start, end);
  const isUrlSafe = found.includes(0x2d) || found.includes(0x5f);
  const letters = bits.map((six) => base64Alphabet[six]).join("");
  const wasFull = (alignment + exposed.value.length) % 3 === 0;
  const isToPad = isLast && (isPadded || (wasFull && !isUrlSafe));
  const text = isUrlSafe ? letters.replaceAll("+", "-").replaceAll("/", "_") : letters;
  return Buffer.from(isToPad ? text + "=".repeat(padding) : text, "latin1");
}

/** Six bits of the letter at a position, which may be escaped. */
function letterAt(bytes: Uint8Array, at: number): number {
  const plain = base64Bits[bytes[at] as number] as number;
  if (plain !== noSymbol) return plain;
  const code = spellingsAt(bytes, at, bytes.length).list[0]?.code ?? 0;
  return code < 256 ? (base64Bits[code] as number) & 0x3f : 0;
}

/** Six bits of the letter that ends at a position; nothing of an escaped one, of which the neighbour loses at most four bits. */
function letterBefore(bytes: Uint8Array, end: number): number {
  if (bytes[end - 3] === 0x25 || bytes[end - 1] === 0x3b) return 0;
  return (base64Bits[bytes[end - 1] as number] as number) & 0x3f;
}

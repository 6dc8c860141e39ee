/** Classes of bytes (RFC 9110 section 5.6, RFC 9112); 1 where the byte belongs to the class. */

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const HTAB = 0x09;
export const COLON = 0x3a;

function classOf(belongs: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (belongs(byte) ? 1 : 0));
}

const isVisible = (byte: number): boolean => byte > 0x20 && byte < 0x7f;

/** tchar: what methods, field names and connection options are made of. */
export const tokenBytes = classOf((byte) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(String.fromCharCode(byte)));

/** HTAB, SP, VCHAR and obs-text: what field values and reason phrases are made of. */
export const textBytes = classOf((byte) => byte === HTAB || byte === SP || isVisible(byte) || byte >= 0x80);

/** VCHAR: what a request target may hold before anyone looks at its form. */
export const targetBytes = classOf(isVisible);

/** qdtext and the second half of a quoted-pair, without HTAB. */
export const quotedBytes = classOf((byte) => byte === SP || isVisible(byte) || byte >= 0x80);

/** Value of a hexadecimal digit, -1 for every other byte. */
export const hexValues = Int8Array.from({ length: 256 }, (_, byte) => {
  const digit = "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase());
  return digit;
});

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const text = /^[\t\x20-\x7e\x80-\xff]*$/;
const target = /^[\x21-\x7e]+$/;

/** Whether a string can be sent as a field name or method (RFC 9110 section 5.6.2). */
export function isToken(value: string): boolean {
  return token.test(value);
}

/**
 * Whether a string can be sent as a field value or reason phrase. Characters over U+00FF cannot: written as
 * one byte each, U+010A becomes LF (attack 33).
 */
export function isFieldText(value: string): boolean {
  return text.test(value);
}

/** Whether a string can be sent as a request target. */
export function isTarget(value: string): boolean {
  return target.test(value);
}

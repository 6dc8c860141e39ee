/** A value that went out with a request and must not come back. Byte strings: one character for each byte. */
export interface Exposed {
  readonly value: string;
  /** As the audit names it; never the value. */
  readonly name: string;
  /** What stands in its place: the placeholder that the workload holds, or `[redacted:NAME]`. */
  readonly replacement: string;
  /** Tells apart what one entry gives out beside its value, such as the value with a user name before it. */
  readonly part?: string;
  /** Made for one exchange, such as the signature of a presigned query: not looked for in later ones. */
  readonly once?: boolean;
  /** `scrub: pass_unknown_encoding`: an answer in a coding that cannot be decoded is let through. */
  readonly passUnknown?: boolean;
  /** The request keeps its `Range`. */
  readonly keepsRange?: boolean;
}

/** Values with fewer bytes occur by chance; they are not looked for. */
export const minScrubbedBytes = 8;

export type FormKind = "raw" | "hex" | "base64";

/**
 * One text that a value can appear as: itself, its hexadecimal digits, or what base64 makes of it at one of three alignments. How a
 * single character of that text is written (percent, JSON, HTML escapes) is the matter of `spelling.ts`.
 *
 * A byte `b` of input is the symbol at `i` where `(fold[b] & mask) === text[i]`, the mask being `firstMask` for the first symbol,
 * `lastMask` for the last and all ones in between.
 */
export interface Form {
  readonly kind: FormKind;
  readonly text: Uint8Array;
  /** Letters that mean the same become the same symbol: hexadecimal digits of both cases, both alphabets of base64. */
  readonly fold: Uint8Array;
  readonly firstMask: number;
  readonly lastMask: number;
  /** Of base64: bytes of a group of three that stand before the value. */
  readonly alignment: 0 | 1 | 2;
  readonly exposed: Exposed;
}

/** Symbol of bytes that belong to no base64 text. */
export const noSymbol = 0x80;
const all = 0xff;

const sameByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const hexDigit = Uint8Array.from(sameByte, (byte) => (byte >= 0x41 && byte <= 0x46 ? byte | 0x20 : byte));

/** Six bits of a letter, in the standard alphabet and in the one for URLs (RFC 4648 sections 4 and 5). */
export const base64Bits = new Uint8Array(256).fill(noSymbol);
export const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
for (const [bits, letter] of Array.from(base64Alphabet).entries()) base64Bits[letter.charCodeAt(0)] = bits;
base64Bits["-".charCodeAt(0)] = 62;
base64Bits["_".charCodeAt(0)] = 63;

/** Every form of a value; none for one of fewer than {@link minScrubbedBytes} bytes. */
export function formsOf(exposed: Exposed): Form[] {
  const bytes = Buffer.from(exposed.value, "latin1");
  if (bytes.length < minScrubbedBytes) return [];
  const raw = transcodings(bytes).map((text) => form("raw", text, sameByte, exposed));
  const hex = form("hex", Buffer.from(bytes.toString("hex"), "latin1"), hexDigit, exposed);
  return [...raw, hex, ...([0, 1, 2] as const).map((alignment) => base64Form(bytes, alignment, exposed))];
}

function form(kind: FormKind, text: Uint8Array, fold: Uint8Array, exposed: Exposed): Form {
  return { kind, text, fold, firstMask: all, lastMask: all, alignment: 0, exposed };
}

/**
 * Beyond ASCII a value comes back in other bytes than it went out in: a server that takes header fields for Latin-1 and
 * answers in UTF-8 encodes each byte once more; one that answers in Latin-1 has one byte for two.
 */
function transcodings(bytes: Buffer): Buffer[] {
  if (bytes.every((byte) => byte < 0x80)) return [bytes];
  const twice = Buffer.from(bytes.toString("latin1"), "utf8");
  const text = bytes.toString("utf8");
  const isLatin1 = Array.from(text).every((character) => (character.codePointAt(0) as number) < 0x100);
  const once = isLatin1 ? [Buffer.from(text, "latin1")] : [];
  return [bytes, twice, ...once.filter((shorter) => shorter.length >= minScrubbedBytes)];
}

/**
 * The letters that a value determines where it begins at one of three positions in a group of three bytes. The first and the last may
 * hold bits of what stands beside it, up to four of the value's own; of these only the value's bits are compared.
 */
function base64Form(bytes: Buffer, alignment: 0 | 1 | 2, exposed: Exposed): Form {
  const firstBit = alignment * 8;
  const endBit = (alignment + bytes.length) * 8;
  const first = Math.floor(firstBit / 6);
  const end = Math.ceil(endBit / 6);
  const firstMask = noSymbol | (0x3f >> (firstBit % 6));
  const lastMask = noSymbol | (0x3f & (0x3f << (end * 6 - endBit)));
  const letters = Buffer.concat([Buffer.alloc(alignment), bytes]).toString("base64");
  const text = Uint8Array.from({ length: end - first }, (_, index) => {
    const mask = index === 0 ? firstMask : index === end - first - 1 ? lastMask : all;
    return (base64Bits[letters.charCodeAt(first + index)] as number) & mask;
  });
  return { kind: "base64", text, fold: base64Bits, firstMask, lastMask, alignment, exposed };
}

/** Whether a byte of input, or a character that an escape stands for, is the symbol at a position. */
export function accepts({ text, fold, firstMask, lastMask, kind }: Form, at: number, byte: number): boolean {
  const mask = at === 0 ? firstMask : at === text.length - 1 ? lastMask : all;
  if (((fold[byte] as number) & mask) === text[at]) return true;
  // Forms write a space as a plus.
  return byte === 0x2b && kind === "raw" && text[at] === 0x20;
}

/** Bytes of each symbol of six bits or one digit. */
const bytesOfBits = bytesBySymbol(base64Bits);
const bytesOfDigit = bytesBySymbol(hexDigit);

function bytesBySymbol(fold: Uint8Array): readonly (readonly number[])[] {
  return Array.from({ length: 128 }, (_, symbol) => [...sameByte].filter((byte) => fold[byte] === symbol));
}

/** Every byte that is the symbol at a position. */
export function bytesAt(form: Form, at: number): readonly number[] {
  const symbol = form.text[at] as number;
  if (form.kind === "raw") return symbol === 0x20 ? [symbol, 0x2b] : [symbol];
  if (form.kind === "hex") return bytesOfDigit[symbol] as readonly number[];
  if (at > 0 || form.firstMask === all) return bytesOfBits[symbol] as readonly number[];
  return bytesOfBits.flatMap((bytes, bits) => ((bits & form.firstMask) === symbol ? bytes : []));
}

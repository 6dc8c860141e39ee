/**
 * How one character may be written where text is put into other text: percent-encoded (RFC 3986 section 2.1), escaped in a JSON
 * string (RFC 8259 section 7) or in HTML, also twice. Each character of a form may be written in any of these ways, whichever ones an
 * encoder chooses to escape, so no list of encoders has to be kept.
 */
export interface Spelling {
  /** The character: a byte, or a code point where `isCodePoint`. */
  readonly code: number;
  readonly isCodePoint: boolean;
  /** Position behind it. */
  readonly next: number;
  readonly style: Style;
}

/** Ways of writing, as bits; what replaces a value is written in the same way. */
export type Style = number;
export const percentStyle = 1;
export const jsonStyle = 2;
export const htmlStyle = 4;

/** What may be written at a position, and whether the input ends within an escape. */
export interface Spellings {
  readonly list: readonly Spelling[];
  readonly incomplete: boolean;
}

const percent = 0x25;
const ampersand = 0x26;
const backslash = 0x5c;

/** Bytes that begin an escape. */
export const introducers = new Uint8Array(256);
for (const byte of [percent, ampersand, backslash]) introducers[byte] = 1;

/** Encodings within encodings: JSON in JSON has a backslash for each. */
const maxBackslashes = 4;
const maxDecimals = 7;
const maxHexadecimals = 6;

const none: Spellings = { list: [], incomplete: false };
const cut: Spellings = { list: [], incomplete: true };

/** Reads the escapes that may begin at an introducer. */
export function spellingsAt(bytes: Uint8Array, at: number, end: number): Spellings {
  switch (bytes[at]) {
    case percent:
      return percentEscapes(bytes, at, end);
    case backslash:
      return jsonEscapes(bytes, at, end);
    case ampersand:
      return htmlEscapes(bytes, at + 1, end, true);
    default:
      return none;
  }
}

/** Code of the character behind a backslash, where it is no number; 0 for none. */
const jsonCodes = new Uint8Array(256);

/**
 * The byte that the usual escapes stand for, without making an object for it; -1 for all that needs {@link spellingsAt}. Text
 * within text is full of escapes.
 */
export function simpleEscape(bytes: Uint8Array, at: number, end: number): number {
  const introducer = bytes[at];
  if (introducer === backslash) {
    const last = Math.min(end - 1, at + maxBackslashes);
    let next = at + 1;
    while (next < last && bytes[next] === backslash) next++;
    return next < end ? (jsonCodes[bytes[next] as number] as number) || -1 : -1;
  }
  if (introducer !== percent || at + 2 >= end) return -1;
  const high = hexValue(bytes[at + 1] as number);
  const low = hexValue(bytes[at + 2] as number);
  if (high < 0 || low < 0) return percent;
  const code = high * 16 + low;
  return code === percent ? -1 : code;
}

/** `%2F`, and `%252F` and `%25252F`, in which the percent sign was encoded again. */
function percentEscapes(bytes: Uint8Array, at: number, end: number): Spellings {
  const list: Spelling[] = [];
  for (let next = at + 1; next <= at + 5; next += 2) {
    const high = next < end ? hexValue(bytes[next] as number) : 0;
    const low = next + 1 < end ? hexValue(bytes[next + 1] as number) : 0;
    if (high < 0 || low < 0) break;
    if (next + 1 >= end) return { list, incomplete: true };
    const code = high * 16 + low;
    list.push({ code, isCodePoint: false, next: next + 2, style: percentStyle });
    if (code !== percent) break;
  }
  return { list, incomplete: false };
}

const jsonLetters = new Map(
  Object.entries({ '"': 0x22, "'": 0x27, "/": 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 }).map(
    ([letter, code]) => [letter.charCodeAt(0), code] as const,
  ),
);
for (const [letter, code] of jsonLetters) jsonCodes[letter] = code;

function jsonEscapes(bytes: Uint8Array, at: number, end: number): Spellings {
  let next = at;
  const last = Math.min(end, at + maxBackslashes);
  while (next < last && bytes[next] === backslash) next++;
  const run = next - at;
  const list: Spelling[] = [];
  for (let length = 2; length <= run; length += 2) list.push(json(backslash, at + length));
  if (next >= end) return { list, incomplete: true };
  const letter = bytes[next] as number;
  const code = jsonLetters.get(letter);
  if (code !== undefined) list.push(json(code, next + 1));
  else if (letter === 0x78) return hexEscape(bytes, next + 1, end, list);
  else if (letter === 0x75) return unicodeEscape(bytes, at, next + 1, end, list);
  return list.length === 0 ? none : { list, incomplete: false };
}

function json(code: number, next: number, isCodePoint = false): Spelling {
  return { code, isCodePoint, next, style: jsonStyle };
}

/** `\x2f`, which is JavaScript and Python. */
function hexEscape(bytes: Uint8Array, at: number, end: number, list: Spelling[]): Spellings {
  const code = hexNumber(bytes, at, 2, end);
  if (code >= 0) list.push(json(code, at + 2));
  return { list, incomplete: code === unfinished };
}

/** `\u002f`; beyond U+FFFF two of them. */
function unicodeEscape(
  bytes: Uint8Array,
  start: number,
  at: number,
  end: number,
  list: Spelling[],
): Spellings {
  const first = hexNumber(bytes, at, 4, end);
  if (first < 0) return { list, incomplete: first === unfinished };
  if (first < 0xd800 || first > 0xdbff) {
    list.push(json(first, at + 4, true));
    return { list, incomplete: false };
  }
  const prefix = at - start;
  for (let index = 0; index < prefix; index++) {
    if (at + 4 + index >= end) return { list, incomplete: true };
    if (bytes[at + 4 + index] !== bytes[start + index]) return { list, incomplete: false };
  }
  const second = hexNumber(bytes, at + 4 + prefix, 4, end);
  if (second < 0xdc00 || second > 0xdfff) return { list, incomplete: second === unfinished };
  const code = 0x10000 + (first - 0xd800) * 0x400 + (second - 0xdc00);
  list.push(json(code, at + 8 + prefix, true));
  return { list, incomplete: false };
}

/** Names of HTML for characters of ASCII. */
const htmlNames = new Map(
  Object.entries({
    amp: "&",
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    sol: "/",
    bsol: "\\",
    equals: "=",
    plus: "+",
    colon: ":",
    semi: ";",
    comma: ",",
    period: ".",
    lowbar: "_",
    excl: "!",
    num: "#",
    dollar: "$",
    percnt: "%",
    lpar: "(",
    rpar: ")",
    ast: "*",
    quest: "?",
    commat: "@",
    lsqb: "[",
    lbrack: "[",
    rsqb: "]",
    rbrack: "]",
    lcub: "{",
    lbrace: "{",
    rcub: "}",
    rbrace: "}",
    verbar: "|",
    vert: "|",
    grave: "`",
    Hat: "^",
    Tab: "\t",
    NewLine: "\n",
  }).map(([name, character]) => [name, character.charCodeAt(0)] as const),
);
const longestName = Math.max(...[...htmlNames.keys()].map((name) => name.length));

/** `&amp;`, `&#38;`, `&#x26;`. @param at behind the ampersand, which itself may be written `&amp;` */
function htmlEscapes(bytes: Uint8Array, at: number, end: number, outermost: boolean): Spellings {
  if (at >= end) return cut;
  if (bytes[at] === 0x23) return numericEscape(bytes, at + 1, end);
  let name = "";
  for (let next = at; next < end && name.length <= longestName; next++) {
    const byte = bytes[next] as number;
    if (byte === 0x3b) return namedEscape(bytes, name, next + 1, end, outermost);
    const letter = byte | 0x20;
    if (letter < 0x61 || letter > 0x7a) return none;
    name += String.fromCharCode(byte);
  }
  return name.length <= longestName ? cut : none;
}

function namedEscape(
  bytes: Uint8Array,
  name: string,
  next: number,
  end: number,
  outermost: boolean,
): Spellings {
  const code = htmlNames.get(name);
  if (code === undefined) return none;
  const spelling: Spelling = { code, isCodePoint: true, next, style: htmlStyle };
  if (code !== ampersand || !outermost) return { list: [spelling], incomplete: false };
  const { list, incomplete } = htmlEscapes(bytes, next, end, false);
  return { list: [spelling, ...list], incomplete };
}

function numericEscape(bytes: Uint8Array, at: number, end: number): Spellings {
  const isHex = at < end && ((bytes[at] as number) | 0x20) === 0x78;
  const first = isHex ? at + 1 : at;
  const base = isHex ? 16 : 10;
  const most = isHex ? maxHexadecimals : maxDecimals;
  let code = 0;
  for (let next = first; next <= first + most; next++) {
    if (next >= end) return cut;
    const byte = bytes[next] as number;
    if (byte === 0x3b && next > first) {
      return { list: [{ code, isCodePoint: true, next: next + 1, style: htmlStyle }], incomplete: false };
    }
    const digit = hexValue(byte);
    if (digit < 0 || digit >= base) return none;
    code = code * base + digit;
  }
  return none;
}

const unfinished = -2;

/** The number that hexadecimal digits make; -1 where one is missing, {@link unfinished} where the input ends before that is known. */
function hexNumber(bytes: Uint8Array, at: number, digits: number, end: number): number {
  let value = 0;
  for (let next = at; next < at + digits; next++) {
    if (next >= end) return unfinished;
    const digit = hexValue(bytes[next] as number);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

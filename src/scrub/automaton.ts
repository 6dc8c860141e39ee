import { accepts, bytesAt, type Exposed, type Form, formsOf, minScrubbedBytes } from "./forms.ts";
import { introducers, simpleEscape, type Spelling, type Style, spellingsAt } from "./spelling.ts";

/** A form that was found, or that may have begun before the end of the input. */
export interface Match {
  readonly start: number;
  /** The longest form found at `start`; `undefined` while there is only a beginning. */
  readonly form: Form | undefined;
  /** Behind the form; behind the beginning where `form` is missing. */
  readonly end: number;
  readonly style: Style;
  /** Forms that go on where the input ends. The longest must win, so nothing is known before they are. */
  readonly open: readonly Thread[];
}

/** A form under way: its symbol at `at` is expected at the position `next` of the input. */
export interface Thread {
  readonly form: Form;
  readonly at: number;
  readonly next: number;
  readonly style: Style;
}

/** A search that stopped at the end of the input; `open` of a match that starts at 0. */
export type Suspended = readonly Thread[];

/** Behind these the symbol at a position is not the byte there. */
const interruptions = introducers.slice();
interruptions[0x0a] = 1;
interruptions[0x0d] = 1;

/** A symbol behind an escaped CR and LF, each spelled in the longest way. */
const heldPerSymbol = 42;

const escapeBit = 0x8000_0000 | 0;
const formBits = 31;
/** Styles proper, and what else is kept with them: the escaped line break that has just been passed, at most CR and LF. */
const styles = 7;
const carriageReturn = 8;
const lineFeed = 16;

const everyBit = 0xffff_ffff | 0;

/**
 * Finds the forms of a set of values in bytes, leftmost first and of those the longest.
 *
 * A table for each of the first four symbols tells which forms may have a byte there (31 groups of forms, one bit for each): nearly every
 * position is dismissed after two look-ups and an `and`. At the others the form is followed symbol by symbol, through
 * whatever escapes the text is written in. The tables take 4 kB whatever the values, and the time is a few
 * steps for each byte unless a value repeats its own beginning.
 */
export class Automaton {
  /** Bytes of the longest way to write a form, each symbol behind an escaped line break: no beginning is ever longer. */
  readonly longest: number;
  readonly #forms: readonly Form[];
  readonly #groups: readonly (readonly Form[])[];
  readonly #symbols = [0, 1, 2, 3].map(() => new Int32Array(256));
  /** The same without the introducers of escapes. */
  readonly #first = new Int32Array(256);
  readonly #second = new Int32Array(256);

  constructor(values: readonly Exposed[]) {
    this.#forms = values.flatMap(formsOf);
    this.longest = heldPerSymbol * Math.max(0, ...this.#forms.map(({ text }) => text.length));
    this.#groups = grouped(this.#forms);
    this.#fillTables();
  }

  /** There is nothing to look for: every value is too short. */
  get isEmpty(): boolean {
    return this.#forms.length === 0;
  }

  /**
   * True when some form is in bytes that are complete, or is cut off by their end so late that it counts as one. Nearly any letter may
   * begin some form, so that nearly any text may end in a beginning.
   */
  test(bytes: Uint8Array, end = bytes.length): boolean {
    // A form that begins behind this cannot be complete, or nearly.
    const before = end - minScrubbedBytes + 1;
    for (let at = 0; at < before; ) {
      const match = this.#find(bytes, at, end, before);
      if (match === undefined) return false;
      if (match.form !== undefined || match.open.some(isMostly)) return true;
      at = match.start + 1;
    }
    return false;
  }

  /**
   * The first form from a position on.
   * @param suspended what an earlier search left open, of a match that started where these bytes start
   * @returns `undefined` where there is none and none can have begun
   */
  find(bytes: Uint8Array, from: number, end: number, suspended?: Suspended): Match | undefined {
    let at = from;
    if (suspended !== undefined) {
      const match = this.#follow(bytes, at, end, [...suspended]);
      if (match !== undefined) return match;
      at++;
    }
    return this.#find(bytes, at, end, end);
  }

  /** @param before where no match begins any more */
  #find(bytes: Uint8Array, from: number, end: number, before: number): Match | undefined {
    let at = from;
    const [first, second, third, fourth] = this.#symbols as [Int32Array, Int32Array, Int32Array, Int32Array];
    const last = Math.min(before, end - 3);
    for (
      at = skip(first, second, bytes, at, last);
      at < last;
      at = skip(first, second, bytes, at + 1, last)
    ) {
      let bits = (first[bytes[at] as number] as number) & (second[bytes[at + 1] as number] as number);
      if (bits > 0 && interruptions[bytes[at + 1] as number] === 0) {
        bits &= third[bytes[at + 2] as number] as number;
        if (interruptions[bytes[at + 2] as number] === 0) bits &= fourth[bytes[at + 3] as number] as number;
      } else bits = this.#escaped(bytes, at, end);
      if (bits === 0) continue;
      const match = this.#match(bytes, at, end, bits);
      if (match !== undefined) return match;
    }
    for (; at < before; at++) {
      const bits = first[bytes[at] as number] as number;
      const match = bits === 0 ? undefined : this.#match(bytes, at, end, bits & ~escapeBit);
      if (match !== undefined) return match;
    }
    return undefined;
  }

  /** Forms that may begin here, where one of the first two characters is an introducer, or a line break behind it. */
  #escaped(bytes: Uint8Array, at: number, end: number): number {
    const byte = bytes[at] as number;
    if (introducers[byte] === 1) return this.#spelled(bytes, at, end, this.#first);
    const bits = this.#first[byte] as number;
    // A number of HTML may be that of a line break.
    if (bytes[at + 1] === 0x26 && (at + 2 >= end || bytes[at + 2] === 0x23)) return bits;
    const broken = behindBreak(bytes, at + 1, end);
    if (broken === at + 1) return bits & this.#spelled(bytes, broken, end, this.#second);
    if (broken >= end || interruptions[bytes[broken] as number] === 1) return bits;
    return (
      bits &
      ((this.#second[bytes[broken] as number] as number) | this.#spelled(bytes, at + 1, end, this.#second))
    );
  }

  #spelled(bytes: Uint8Array, at: number, end: number, symbols: Int32Array): number {
    const raw = symbols[bytes[at] as number] as number;
    const simple = simpleEscape(bytes, at, end);
    if (simple >= 0) return raw | (symbols[simple] as number);
    const { list, incomplete } = spellingsAt(bytes, at, end);
    if (incomplete) return everyBit & ~escapeBit;
    let bits = raw;
    for (const { code, isCodePoint } of list) {
      bits |= symbols[isCodePoint && code >= 0x80 ? leadByte(code) : code] as number;
    }
    return bits;
  }

  #match(bytes: Uint8Array, at: number, end: number, bits: number): Match | undefined {
    let threads: Thread[] | undefined;
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      const group = this.#groups[31 - Math.clz32(rest & -rest)];
      for (const form of group ?? []) {
        if (mayBegin(form, bytes, at, end)) (threads ??= []).push({ form, at: 0, next: at, style: 0 });
      }
    }
    return threads === undefined ? undefined : this.#follow(bytes, at, end, threads);
  }

  /** Follows threads to their ends. */
  #follow(bytes: Uint8Array, start: number, end: number, threads: Thread[]): Match | undefined {
    const search: Search = { bytes, end, threads, open: [], seen: undefined, best: undefined };
    for (let thread = threads.pop(); thread !== undefined; thread = threads.pop()) advance(search, thread);
    const { best, open } = search;
    if (best === undefined && open.length === 0) return undefined;
    return { start, form: best?.form, end: best?.next ?? end, style: best?.style ?? 0, open };
  }

  #fillTables(): void {
    for (const [group, forms] of this.#groups.entries()) {
      const bit = 1 << group;
      for (const [at, table] of this.#symbols.entries()) {
        const bytes = new Set(forms.flatMap((form) => bytesAt(form, at)));
        for (const byte of bytes) table[byte] = (table[byte] as number) | bit;
      }
    }
    const [first, second] = this.#symbols as [Int32Array, Int32Array];
    this.#first.set(first);
    this.#second.set(second);
    for (const [group, forms] of this.#groups.entries()) {
      if (forms.every(({ kind }) => kind !== "base64")) continue;
      for (const table of this.#symbols.slice(1)) {
        for (const byte of [0x0a, 0x0d]) table[byte] = (table[byte] as number) | (1 << group);
      }
    }
    if (this.isEmpty) return;
    for (let byte = 0; byte < 256; byte++) {
      const isIntroducer = introducers[byte] === 1;
      second[byte] = isIntroducer ? everyBit : (second[byte] as number) | escapeBit;
      if (!isIntroducer) continue;
      first[byte] = everyBit;
      for (const table of this.#symbols.slice(2)) table[byte] = everyBit;
    }
  }
}

/** Forms that begin alike share a group; where there are more beginnings than groups, those that sort side by side do. */
function grouped(forms: readonly Form[]): readonly (readonly Form[])[] {
  const alike = new Map<string, Form[]>();
  for (const form of forms) {
    const key = `${form.kind}${form.alignment} ${String.fromCharCode(...form.text.subarray(0, 4))}`;
    const others = alike.get(key);
    if (others === undefined) alike.set(key, [form]);
    else others.push(form);
  }
  const keys = [...alike.keys()].sort();
  const size = Math.ceil(keys.length / formBits);
  return Array.from({ length: Math.ceil(keys.length / size) }, (_, group) =>
    keys.slice(group * size, (group + 1) * size).flatMap((key) => alike.get(key) ?? []),
  );
}

/** The next position whose two bytes may begin a form. Nearly all of the time is spent here. */
function skip(first: Int32Array, second: Int32Array, bytes: Uint8Array, from: number, last: number): number {
  for (let at = from; at < last; at++) {
    if (((first[bytes[at] as number] as number) & (second[bytes[at + 1] as number] as number)) !== 0)
      return at;
  }
  return Math.max(from, last);
}

/** Whether what is there of a form counts as the form, where nothing follows. */
export function isMostly({ form, at }: Thread): boolean {
  return at >= minScrubbedBytes && at * 2 >= form.text.length;
}

/** Whether a form's symbols stand here as far as they are written as themselves. Dismisses nearly all that are not the form. */
function mayBegin(form: Form, bytes: Uint8Array, from: number, end: number): boolean {
  const { text, fold } = form;
  const stop = Math.min(end, from + text.length);
  for (let next = from, at = 0; next < stop; next++, at++) {
    const byte = bytes[next] as number;
    if (interruptions[byte] === 1) return true;
    if ((at === 0 || fold[byte] !== text[at]) && !accepts(form, at, byte)) return false;
  }
  return true;
}

interface Search {
  readonly bytes: Uint8Array;
  readonly end: number;
  /** Still to be followed. */
  readonly threads: Thread[];
  readonly open: Thread[];
  /** Where threads were at introducers: of two that meet one goes on, or backslashes would double them without end. */
  seen: Map<Form, Set<number>> | undefined;
  /** A form that is complete, and where. */
  best: Thread | undefined;
}

/** Follows one thread until it fails, is complete or meets the end of the input; forks where an escape may begin. */
function advance(search: Search, thread: Thread): void {
  const { bytes, end } = search;
  const { form } = thread;
  const { text, fold } = form;
  let { at, next, style } = thread;
  while (at < text.length) {
    if (next >= end) {
      search.open.push({ form, at, next, style });
      return;
    }
    const byte = bytes[next] as number;
    if (introducers[byte] === 1) {
      if (isKnown(search, form, at, next)) return;
      fork(search, form, at, next, style);
    }
    // Masks and pluses matter at few symbols; at the first one always.
    if ((at === 0 || fold[byte] !== text[at]) && !accepts(form, at, byte)) {
      const behind = at > 0 && form.kind === "base64" ? behindLineBreak(bytes, next) : next;
      if (behind === next) return;
      if (behind >= end) {
        search.open.push({ form, at, next, style });
        return;
      }
      // Exactly one line break: any number of them would be held back for ever.
      if (!accepts(form, at, bytes[behind] as number)) return;
      next = behind;
    }
    style &= styles;
    at++;
    next++;
  }
  if (search.best === undefined || next > search.best.next) search.best = { form, at, next, style };
}

/** Puts the ways on that lead through an escape. */
function fork(search: Search, form: Form, at: number, next: number, style: Style): void {
  const { list, incomplete } = spellingsAt(search.bytes, next, search.end);
  if (incomplete) search.open.push({ form, at, next, style });
  for (const spelling of list) {
    const symbols = symbolsOf(form, at, spelling);
    if (symbols > 0) {
      const written = (style & styles) | spelling.style;
      search.threads.push({ form, at: at + symbols, next: spelling.next, style: written });
    } else if (at > 0 && form.kind === "base64" && isLineBreak(spelling.code)) {
      const line = spelling.code === 0x0a ? lineFeed : carriageReturn;
      if (style >= line) continue;
      search.threads.push({ form, at, next: spelling.next, style: style | spelling.style | line });
    }
  }
}

/** How many symbols an escape stands for; 0 where it is another character. */
function symbolsOf(form: Form, at: number, { code, isCodePoint }: Spelling): number {
  if (!isCodePoint || code < 0x80) return accepts(form, at, code) ? 1 : 0;
  if (form.kind !== "raw" || code > 0x10ffff) return 0;
  const bytes = Buffer.from(String.fromCodePoint(code), "utf8");
  return bytes.every((byte, index) => form.text[at + index] === byte) ? bytes.length : 0;
}

function isKnown(search: Search, form: Form, at: number, next: number): boolean {
  search.seen ??= new Map();
  let places = search.seen.get(form);
  if (places === undefined) search.seen.set(form, (places = new Set()));
  const place = next * 0x10_0000 + at;
  if (places.has(place)) return true;
  places.add(place);
  return false;
}

/** Base64 of mail and of command lines is broken into lines. Position behind a break; the same one where there is none. */
function behindLineBreak(bytes: Uint8Array, at: number): number {
  if (bytes[at] === 0x0a) return at + 1;
  if (bytes[at] !== 0x0d) return at;
  return bytes[at + 1] === 0x0a || at + 1 === bytes.length ? at + 2 : at + 1;
}

/** Position behind a line break that may be escaped; the same one where there is none. */
function behindBreak(bytes: Uint8Array, at: number, end: number): number {
  if (introducers[bytes[at] as number] === 0) return behindLineBreak(bytes, at);
  if (!isLineBreak(simpleEscape(bytes, at, end))) return at;
  let next = at + 1;
  while (next < end && bytes[next] === bytes[at]) next++;
  return bytes[at] === 0x5c ? next + 1 : next + 2;
}

function isLineBreak(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d;
}

function leadByte(code: number): number {
  return code > 0x10ffff ? 0 : (Buffer.from(String.fromCodePoint(code), "utf8")[0] as number);
}

import { latin1Write } from "../../h1/latin1.ts";
import { firstDynamic, staticEntries } from "./static-table.ts";

/** Nobody needs more, and the peer decides how much of our memory it is otherwise (I12). */
const maxTableSize = 4096;
/** Larger values are mostly one of a kind, and would push out everything else. */
const maxIndexedValue = 512;
const entryOverhead = 32;

/** What a table keeps of names: their index in the static table, and the values that stand there too. */
interface StaticName {
  readonly index: number;
  readonly values: ReadonlyMap<string, number>;
}

const staticNames: ReadonlyMap<string, StaticName> = indexNames();

function indexNames(): Map<string, StaticName> {
  const names = new Map<string, { index: number; values: Map<string, number> }>();
  for (const [index, { name, value }] of staticEntries.entries()) {
    if (index === 0) continue;
    const known = names.get(name) ?? { index, values: new Map() };
    if (value !== "") known.values.set(value, index);
    names.set(name, known);
  }
  return names;
}

/** Values that are another with every message. */
const oneOfAKind = new Set([
  ":path",
  "age",
  "content-length",
  "content-range",
  "etag",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "location",
  "range",
  "traceparent",
  "x-request-id",
]);

/** Values that no table along the way may hold (RFC 7541 section 7.1.3). */
const credentials = new Set([
  "api-key",
  "authorization",
  "cookie",
  "private-token",
  "proxy-authorization",
  "set-cookie",
  "x-amz-security-token",
  "x-api-key",
  "x-auth-token",
  "x-goog-api-key",
]);

interface Kept {
  readonly name: string;
  readonly value: string;
  /** Entries that were added before it. */
  readonly number: number;
}

/** One block is made at a time, whichever connection it is for. */
let scratch = Buffer.allocUnsafe(4096);

/**
 * Encodes the header blocks of one connection. Strings are not Huffman-coded: what repeats is in the table after
 * its first message, and for the rest the bytes saved are not worth the time.
 */
export class HpackEncoder {
  #tableSize = maxTableSize;
  /** The size was changed to this, and perhaps back up, since the last block. */
  #smallest: number | undefined;
  /** Oldest first. */
  readonly #table: Kept[] = [];
  readonly #byName = new Map<string, Kept[]>();
  #used = 0;
  #added = 0;
  #at = 0;

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE; the next block announces what was made of it. */
  setTableSize(size: number): void {
    const next = Math.min(size, maxTableSize);
    if (next === this.#tableSize && this.#smallest === undefined) return;
    this.#smallest = Math.min(this.#smallest ?? next, next);
    this.#tableSize = next;
    this.#evict();
  }

  /** @param reserve bytes left free at the start of the block, for the header of its frame */
  begin(reserve: number): void {
    this.#at = reserve;
    const smallest = this.#smallest;
    if (smallest === undefined) return;
    this.#smallest = undefined;
    this.#room(16);
    if (smallest < this.#tableSize) this.#integer(0x20, 5, smallest);
    this.#integer(0x20, 5, this.#tableSize);
  }

  /**
   * Adds a field. Both strings are of one-byte characters, which is for the caller to have checked.
   * @param sensitive neither this connection's tables nor those of proxies behind it may keep the value
   */
  field(name: string, value: string, sensitive: boolean): void {
    this.#room(name.length + value.length + 16);
    const known = staticNames.get(name);
    const never = sensitive || credentials.has(name);
    if (!never) {
      const index = known?.values.get(value) ?? this.#find(name, value);
      if (index !== undefined) {
        this.#integer(0x80, 7, index);
        return;
      }
    }
    const keep = !never && value.length <= maxIndexedValue && !oneOfAKind.has(name);
    const nameIndex = known?.index ?? this.#findName(name);
    if (keep) this.#integer(0x40, 6, nameIndex);
    else this.#integer(never ? 0x10 : 0, 4, nameIndex);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
    if (keep) this.#add(name, value);
  }

  /** The block, behind the bytes that were reserved. */
  end(): Buffer {
    const block = Buffer.allocUnsafe(this.#at);
    scratch.copy(block, 0, 0, this.#at);
    return block;
  }

  #find(name: string, value: string): number | undefined {
    const same = this.#byName.get(name);
    if (same === undefined) return undefined;
    for (const kept of same) if (kept.value === value) return this.#indexOf(kept);
    return undefined;
  }

  #findName(name: string): number {
    const kept = this.#byName.get(name)?.at(-1);
    return kept === undefined ? 0 : this.#indexOf(kept);
  }

  #indexOf(kept: Kept): number {
    return firstDynamic + this.#added - 1 - kept.number;
  }

  #add(name: string, value: string): void {
    const kept = { name, value, number: this.#added++ };
    this.#table.push(kept);
    this.#used += name.length + value.length + entryOverhead;
    const same = this.#byName.get(name);
    if (same === undefined) this.#byName.set(name, [kept]);
    else same.push(kept);
    this.#evict();
  }

  #evict(): void {
    while (this.#used > this.#tableSize) {
      const { name, value } = this.#table.shift() as Kept;
      this.#used -= name.length + value.length + entryOverhead;
      const same = this.#byName.get(name) as Kept[];
      if (same.length === 1) this.#byName.delete(name);
      else same.shift();
    }
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= scratch.length) return;
    const grown = Buffer.allocUnsafe(needed * 2);
    scratch.copy(grown, 0, 0, this.#at);
    scratch = grown;
  }

  #integer(flags: number, prefix: number, value: number): void {
    const mask = (1 << prefix) - 1;
    if (value < mask) {
      scratch[this.#at++] = flags | value;
      return;
    }
    scratch[this.#at++] = flags | mask;
    let rest = value - mask;
    for (; rest >= 0x80; rest >>= 7) scratch[this.#at++] = (rest & 0x7f) | 0x80;
    scratch[this.#at++] = rest;
  }

  #string(text: string): void {
    this.#integer(0, 7, text.length);
    latin1Write(scratch, text, this.#at);
    this.#at += text.length;
  }
}

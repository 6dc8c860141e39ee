import { latin1Slice } from "../../h1/latin1.ts";
import { type FieldEntry, makeEntry } from "./entry.ts";
import { HpackError } from "./error.ts";
import { huffmanDecode } from "./huffman.ts";
import { firstDynamic, staticEntries } from "./static-table.ts";

/** Bits that tell the representations apart (RFC 7541 section 6). */
const indexed = 0x80;
const withIndexing = 0x40;
const sizeUpdate = 0x20;
const huffman = 0x80;

/** No string and no table that is allowed comes near it, and no sum of what follows leaves 32 bits. */
const largestInteger = 1 << 24;

/** Decodes the header blocks of one connection, in the order they arrive (RFC 7541). */
export class HpackDecoder {
  readonly #maxTableSize: number;
  #tableSize: number;
  /** Newest last. */
  #table: FieldEntry[] = [];
  #used = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @param maxTableSize what our SETTINGS allow the peer's encoder to use, in bytes */
  constructor(maxTableSize: number) {
    this.#maxTableSize = maxTableSize;
    this.#tableSize = maxTableSize;
  }

  /**
   * Decodes a complete header block.
   * @param onField called for each field, in order
   * @throws {HpackError} nothing after this block can be decoded then
   */
  decode(block: Buffer, onField: (entry: FieldEntry) => void): void {
    this.#bytes = block;
    this.#at = 0;
    let anyField = false;
    while (this.#at < block.length) {
      const byte = block[this.#at] as number;
      if ((byte & indexed) !== 0) onField(this.#entry(this.#integer(7)));
      else if ((byte & withIndexing) !== 0) {
        const entry = this.#literal(6);
        this.#add(entry);
        onField(entry);
      } else if ((byte & sizeUpdate) !== 0) {
        if (anyField) throw new HpackError("a table size update behind a field");
        this.#resize(this.#integer(5));
        continue;
      } else onField(this.#literal(4));
      anyField = true;
    }
    this.#bytes = noBytes;
  }

  #literal(prefix: number): FieldEntry {
    const index = this.#integer(prefix);
    const name = index === 0 ? this.#string() : this.#entry(index).name;
    return makeEntry(name, this.#string());
  }

  #entry(index: number): FieldEntry {
    const entry =
      index < firstDynamic
        ? staticEntries[index]
        : this.#table[this.#table.length - 1 - index + firstDynamic];
    if (entry === undefined || index === 0) throw new HpackError("an index that no table has");
    return entry;
  }

  #add(entry: FieldEntry): void {
    this.#table.push(entry);
    this.#used += entry.size;
    this.#evict();
  }

  #resize(size: number): void {
    if (size > this.#maxTableSize) throw new HpackError("a table size over the limit");
    this.#tableSize = size;
    this.#evict();
  }

  /** An entry that is larger than the table empties it (RFC 7541 section 4.4). */
  #evict(): void {
    while (this.#used > this.#tableSize) this.#used -= (this.#table.shift() as FieldEntry).size;
  }

  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = (this.#bytes[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new HpackError("a header block that ends in an integer");
      value += (byte & 0x7f) * 2 ** shift;
      if (value > largestInteger || shift > 21) throw new HpackError("an integer that is too large");
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new HpackError("a header block that ends before a string");
    const length = this.#integer(7);
    const from = this.#at;
    const to = from + length;
    if (to > this.#bytes.length) throw new HpackError("a header block that ends in a string");
    this.#at = to;
    return (byte & huffman) === 0 ? latin1Slice(this.#bytes, from, to) : huffmanDecode(this.#bytes, from, to);
  }
}

const noBytes = Buffer.alloc(0);

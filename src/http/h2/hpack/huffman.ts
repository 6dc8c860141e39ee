import { latin1Slice } from "../../h1/latin1.ts";
import { HpackError } from "./error.ts";

/**
 * Bits of each byte's code, then those of EOS (RFC 7541 appendix B). The code is canonical, so the lengths are all
 * there is to know: codes of one length are consecutive, in the order of the bytes.
 */
// biome-ignore format: 16 to a line, as a byte's digits are
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
] as const;

const eos = 256;
const shortestCode = 5;
const longestPadding = 7;

/** A step of the decoder, for a state and four bits: the next state, and the byte that is complete with it. */
const emits = 1 << 16;
const fails = 1 << 17;

interface Machine {
  readonly steps: Int32Array;
  /** 1 for the states in which a string may end: less than a byte of ones since the last code. */
  readonly ends: Uint8Array;
}

/** Four bits at a time: no code is shorter than five, so a step completes one byte at most. */
function buildMachine(): Machine {
  // A node is the pair of its children's numbers: an inner node from 0 up, a leaf as -1 - symbol.
  const children: [number, number][] = [[0, 0]];
  let code = 0;
  let length = 0;
  const symbols = [...codeLengths.keys()].sort(
    (a, b) => (codeLengths[a] as number) - (codeLengths[b] as number) || a - b,
  );
  for (const symbol of symbols) {
    const bits = codeLengths[symbol] as number;
    code *= 2 ** (bits - length);
    length = bits;
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = (code >> bit) & 1;
      const pair = children[node] as [number, number];
      if (pair[side] === 0) pair[side] = children.push([0, 0]) - 1;
      node = pair[side] as number;
    }
    (children[node] as [number, number])[code & 1] = -1 - symbol;
    code++;
  }
  const steps = new Int32Array(children.length * 16);
  for (let state = 0; state < children.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = step(children, state, nibble);
  }
  const ends = new Uint8Array(children.length);
  for (let state = 0, depth = 0; depth <= longestPadding; depth++) {
    ends[state] = 1;
    state = (children[state] as [number, number])[1];
  }
  return { steps, ends };
}

function step(children: readonly [number, number][], from: number, nibble: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = (children[node] as [number, number])[((nibble >> bit) & 1) as 0 | 1];
    if (next >= 0) {
      node = next;
      continue;
    }
    const symbol = -1 - next;
    // EOS in a string is an error (RFC 7541 section 5.2).
    if (symbol === eos) return fails;
    emitted = emits | (symbol << 8);
    node = 0;
  }
  return node | emitted;
}

const { steps, ends } = buildMachine();

/** Most strings are shorter; for others a buffer is made and thrown away. */
const scratch = Buffer.allocUnsafe(4096);

/**
 * The string that these bytes stand for, one character for each byte of it.
 * @throws {HpackError} for EOS inside, and for padding that is not the beginning of EOS or a whole byte
 */
export function huffmanDecode(bytes: Buffer, from: number, to: number): string {
  const most = Math.ceil(((to - from) * 8) / shortestCode);
  const out = most <= scratch.length ? scratch : Buffer.allocUnsafe(most);
  let length = 0;
  let state = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    const first = steps[state * 16 + (byte >> 4)] as number;
    if ((first & emits) !== 0) out[length++] = (first >> 8) & 0xff;
    const second = steps[(first & 0xff) * 16 + (byte & 0xf)] as number;
    if ((second & emits) !== 0) out[length++] = (second >> 8) & 0xff;
    if (((first | second) & fails) !== 0) throw new HpackError("EOS inside a Huffman-coded string");
    state = second & 0xff;
  }
  if (ends[state] !== 1) throw new HpackError("a Huffman-coded string with wrong padding");
  return latin1Slice(out, 0, length);
}

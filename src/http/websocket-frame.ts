/** The head of a WebSocket frame (RFC 6455 section 5.2). */
export interface FrameHead {
  readonly opcode: number;
  /** FIN: the message ends here. */
  readonly isLast: boolean;
  /** A bit of an extension is set, which has compressed or changed the payload. */
  readonly isExtended: boolean;
  /** Four bytes, or none. */
  readonly mask: Uint8Array;
  /** Bytes of the payload; not a safe integer where the sender wrote one that no frame can have. */
  readonly length: number;
  /** Bytes of the head itself. */
  readonly headLength: number;
}

/** Bytes of a head with the longest length and a mask. */
const longestFrameHead = 14;

/** Opcodes from here on are those of control frames, which may stand between the frames of a message. */
export const firstControlOpcode = 8;

/** @returns `undefined` while bytes of the head are missing; more than the head may be given */
function parseFrameHead(bytes: Buffer): FrameHead | undefined {
  if (bytes.length < 2) return undefined;
  const [first, second] = [bytes[0] as number, bytes[1] as number];
  const short = second & 0x7f;
  const lengthBytes = short < 126 ? 0 : short === 126 ? 2 : 8;
  const maskBytes = (second & 0x80) === 0 ? 0 : 4;
  const headLength = 2 + lengthBytes + maskBytes;
  if (bytes.length < headLength) return undefined;
  return {
    opcode: first & 0x0f,
    isLast: (first & 0x80) !== 0,
    isExtended: (first & 0x70) !== 0,
    mask: bytes.subarray(headLength - maskBytes, headLength),
    length:
      lengthBytes === 0
        ? short
        : lengthBytes === 2
          ? bytes.readUInt16BE(2)
          : Number(bytes.readBigUInt64BE(2)),
    headLength,
  };
}

const noBytes = Buffer.alloc(0);

/** Puts the heads of frames together, wherever a stream is cut. */
export class FrameHeadReader {
  /** Bytes of a head that have come. */
  #head: Uint8Array = noBytes;

  /**
   * Reads on in a head.
   * @param at where it begins or goes on
   * @returns the head and where the payload begins; `undefined` where the bytes end before that
   */
  read(bytes: Uint8Array, at: number): { readonly frame: FrameHead; readonly next: number } | undefined {
    const known = this.#head.length;
    const head = Buffer.concat([this.#head, bytes.subarray(at, at + longestFrameHead - known)]);
    const frame = parseFrameHead(head);
    this.#head = frame === undefined ? head : noBytes;
    return frame && { frame, next: at + frame.headLength - known };
  }
}

/** The head of a frame without a mask, as servers send it. */
export function frameHead(opcode: number, isLast: boolean, length: number): Buffer {
  const first = opcode | (isLast ? 0x80 : 0);
  if (length < 126) return Buffer.from([first, length]);
  if (length < 0x10000) return Buffer.from([first, 126, length >> 8, length & 0xff]);
  const head = Buffer.alloc(10);
  head[0] = first;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

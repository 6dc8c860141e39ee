// DNS messages as they are on the wire (RFC 1035 section 4), and reading those that clients send.

/** Types of records that are treated each in its own way; all others pass as numbers. */
export const recordTypes = {
  A: 1,
  CNAME: 5,
  HINFO: 13,
  AAAA: 28,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  /** RFC 6891 section 9; its upper bits stand in the OPT record. */
  badVersion: 16,
} as const;

/** Bits of the header's second word. */
export const flagBits = {
  response: 0x8000,
  opcode: 0x7800,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
  responseCode: 0x000f,
} as const;

export const classIn = 1;
export const headerLength = 12;
/** The largest answer over UDP: what passes every network without fragments, which are easily forged (RFC 9715). */
export const largestDatagram = 1232;
/** The largest answer over UDP for those that do not say what they take (RFC 1035 section 4.2.1). */
export const smallestDatagram = 512;

/** What a query has in its OPT record (RFC 6891). */
export interface Edns {
  /** Bytes of an answer over UDP that the client takes. */
  readonly udpSize: number;
  readonly dnssecOk: boolean;
}

/** As much of a query as its answer repeats. */
export interface Asked {
  readonly id: number;
  readonly flags: number;
  /** The question section as it came, in the client's spelling; empty where it could not be read. */
  readonly question: Buffer;
  readonly edns: Edns | undefined;
}

export interface Query extends Asked {
  /** Lower case, without the last dot; `undefined` where a label has a byte that no host name has. */
  readonly name: string | undefined;
  readonly type: number;
  readonly class: number;
}

export type Received =
  | { readonly kind: "query"; readonly query: Query }
  | { readonly kind: "mistake"; readonly code: number; readonly asked: Asked }
  /** Not to be answered: no query, or too short to answer. */
  | { readonly kind: "ignored" };

/** A message that cannot be read. */
export class MessageError extends Error {
  override readonly name = "MessageError";
}

/** Reads what a client sent. Whatever can be read in two ways is a format error; nothing is repaired. */
export function readQuery(message: Buffer): Received {
  // An answer is never answered: two servers would talk to each other for ever.
  if (message.length < headerLength || (message.readUInt16BE(2) & flagBits.response) !== 0) {
    return { kind: "ignored" };
  }
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  let asked: Asked = { id, flags, question: Buffer.alloc(0), edns: undefined };
  if ((flags & flagBits.opcode) !== 0) return { kind: "mistake", code: responseCodes.notImplemented, asked };
  try {
    const [questions, answers, authorities] = [4, 6, 8].map((at) => message.readUInt16BE(at));
    if (questions !== 1 || answers !== 0 || authorities !== 0) throw new MessageError("not one question");
    const name = readName(message, headerLength, "whole");
    const end = name.end + 4;
    if (end > message.length) throw new MessageError("the question is cut");
    const question = message.subarray(headerLength, end);
    asked = { ...asked, question };
    const { edns, version } = readAdditional(message, end);
    asked = { ...asked, edns };
    if (version > 0) return { kind: "mistake", code: responseCodes.badVersion, asked };
    const type = message.readUInt16BE(name.end);
    // OPT is no type of data (RFC 6891 section 6.1.1).
    if (type === recordTypes.OPT) throw new MessageError("a question for OPT");
    return {
      kind: "query",
      query: { ...asked, name: name.text, type, class: message.readUInt16BE(name.end + 2) },
    };
  } catch (error) {
    if (!(error instanceof MessageError)) throw error;
    return { kind: "mistake", code: responseCodes.formatError, asked };
  }
}

/** The OPT record among the additional ones, which has to end where the message does. */
function readAdditional(message: Buffer, start: number): { edns: Edns | undefined; version: number } {
  let edns: Edns | undefined;
  let version = 0;
  let at = start;
  for (let left = message.readUInt16BE(10); left > 0; left--) {
    const record = readRecord(message, at);
    at = record.end;
    if (record.type !== recordTypes.OPT) continue;
    if (edns !== undefined || record.owner !== "") throw new MessageError("an OPT record too many");
    edns = { udpSize: record.class, dnssecOk: (record.ttl & 0x8000) !== 0 };
    version = (record.ttl >>> 16) & 0xff;
  }
  if (at !== message.length) throw new MessageError("bytes behind the last record");
  return { edns, version };
}

export interface ResourceRecord {
  /** As {@link Query.name}. */
  readonly owner: string | undefined;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** May hold compressed names, which only the message as a whole explains. */
  readonly data: Buffer;
  /** Offset behind the record. */
  readonly end: number;
}

/** @throws {MessageError} */
export function readRecord(message: Buffer, at: number): ResourceRecord {
  const owner = readName(message, at, "compressed");
  const start = owner.end + 10;
  if (start > message.length) throw new MessageError("a record is cut");
  const end = start + message.readUInt16BE(owner.end + 8);
  if (end > message.length) throw new MessageError("a record is cut");
  return {
    owner: owner.text,
    type: message.readUInt16BE(owner.end),
    class: message.readUInt16BE(owner.end + 2),
    ttl: message.readUInt32BE(owner.end + 4),
    data: message.subarray(start, end),
    end,
  };
}

const longestName = 255;
const longestLabel = 63;

/**
 * Reads a name (RFC 1035 section 3.1). Labels are compared as bytes: one with a dot inside is not two labels.
 * @param form whether pointers to earlier names (section 4.1.4) may stand in it
 * @throws {MessageError}
 */
function readName(
  message: Buffer,
  start: number,
  form: "whole" | "compressed",
): { text: string | undefined; end: number } {
  const labels: string[] = [];
  let isHost = true;
  let length = 1;
  let at = start;
  let end: number | undefined;
  let before = start;
  for (;;) {
    const size = message[at];
    if (size === undefined) throw new MessageError("a name is cut");
    if (size === 0) break;
    if (size > longestLabel) {
      const low = message[at + 1];
      if (form === "whole" || size < 0xc0 || low === undefined)
        throw new MessageError("a name has a bad label");
      end ??= at + 2;
      at = ((size & 0x3f) << 8) | low;
      // Only ever back, so that it ends.
      if (at >= before || at < headerLength) throw new MessageError("a name points nowhere");
      before = at;
      continue;
    }
    const label = message.subarray(at + 1, at + 1 + size);
    length += size + 1;
    if (label.length < size || length > longestName) throw new MessageError("a name is cut or too long");
    const text = label.toString("latin1").toLowerCase();
    isHost &&= /^[a-z0-9_-]+$/.test(text);
    labels.push(text);
    at += size + 1;
  }
  return { text: isHost ? labels.join(".") : undefined, end: end ?? at + 1 };
}

/** A name on the wire, not compressed. `name` is a host name in canonical form, or empty for the root. */
export function encodeName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, "latin1")),
    Buffer.of(0),
  ]);
}

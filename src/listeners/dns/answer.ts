// Writing answers: our own, and those of a resolver as its bytes.

import {
  type Asked,
  classIn,
  encodeName,
  flagBits,
  headerLength,
  largestDatagram,
  recordTypes,
  responseCodes,
  smallestDatagram,
} from "./message.ts";
import type { ResolverAnswer } from "./resolver-answer.ts";

/** A record of an answer of ours, always of class IN. */
export interface OwnRecord {
  /** `undefined` for the name that was asked for. */
  readonly owner?: string;
  readonly type: number;
  readonly data: Uint8Array;
}

export interface OwnAnswer {
  readonly code: number;
  readonly records?: readonly OwnRecord[];
  /** Extended DNS error (RFC 8914): a code and a text, for clients that speak EDNS. */
  readonly because?: { readonly code: number; readonly text: string };
}

/** Codes of answers about the name; the others are about the question. */
const saysWhatIs: ReadonlySet<number> = new Set([responseCodes.noError, responseCodes.nameError]);
/** Seconds that answers of ours may be kept: iron-proxy's. */
const ttl = 60;
/** A pointer to the question's name, which stands right behind the header. */
const askedName = Buffer.of(0xc0, headerLength);

/** Bytes of an answer that the client takes. */
export function sizeLimit(asked: Asked, transport: "udp" | "tcp"): number {
  if (transport === "tcp") return 0xffff;
  if (asked.edns === undefined) return smallestDatagram;
  return Math.min(Math.max(asked.edns.udpSize, smallestDatagram), largestDatagram);
}

/** @param limit see {@link sizeLimit}; an answer that is larger says that it is cut, and holds nothing */
export function writeAnswer(asked: Asked, answer: OwnAnswer, limit: number): Buffer {
  const records = (answer.records ?? []).flatMap(({ owner, type, data }) => {
    const fixed = Buffer.alloc(10);
    fixed.writeUInt16BE(type, 0);
    fixed.writeUInt16BE(classIn, 2);
    fixed.writeUInt32BE(ttl, 4);
    fixed.writeUInt16BE(data.length, 8);
    return [owner === undefined ? askedName : encodeName(owner), fixed, data];
  });
  const options = asked.edns === undefined ? [] : optRecord(asked, answer);
  const size = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  const cut = headerLength + asked.question.length + size(records) + size(options) > limit;
  const head = header(asked, {
    flags:
      (saysWhatIs.has(answer.code) ? flagBits.authoritative : 0) |
      flagBits.recursionAvailable |
      (cut ? flagBits.truncated : 0) |
      (answer.code & flagBits.responseCode),
    answers: cut ? 0 : (answer.records?.length ?? 0),
    authorities: 0,
  });
  return Buffer.concat([head, asked.question, ...(cut ? [] : records), ...options]);
}

/**
 * What a resolver answered, for the client that asked: the sections before the additional one are its bytes, so
 * that nothing is lost in reading and writing them; the header and the OPT record are ours.
 */
export function relayAnswer(asked: Asked, from: ResolverAnswer, limit: number): Buffer {
  const options =
    asked.edns === undefined ? Buffer.alloc(0) : Buffer.concat(optRecord(asked, { code: from.code }));
  const fits = (end: number): boolean => end + options.length <= limit;
  const whole = fits(from.authorityEnd);
  // The authority section only matters to an answer without records.
  const end = whole ? from.authorityEnd : from.answers > 0 && fits(from.answerEnd) ? from.answerEnd : 0;
  const cut = end === 0;
  const head = header(asked, {
    flags:
      (from.flags & ~(flagBits.truncated | flagBits.responseCode)) |
      (cut ? flagBits.truncated : 0) |
      from.code,
    answers: cut ? 0 : from.answers,
    authorities: whole ? from.authorities : 0,
  });
  const body = cut ? [] : [from.message.subarray(headerLength + asked.question.length, end)];
  return Buffer.concat([head, asked.question, ...body, options]);
}

function header(
  asked: Asked,
  { flags, answers, authorities }: { flags: number; answers: number; authorities: number },
): Buffer {
  const head = Buffer.alloc(headerLength);
  const kept = flagBits.opcode | flagBits.recursionDesired | flagBits.checkingDisabled;
  head.writeUInt16BE(asked.id, 0);
  head.writeUInt16BE(flagBits.response | (asked.flags & kept) | (flags & ~(kept | flagBits.response)), 2);
  head.writeUInt16BE(asked.question.length > 0 ? 1 : 0, 4);
  head.writeUInt16BE(answers, 6);
  head.writeUInt16BE(authorities, 8);
  head.writeUInt16BE(asked.edns === undefined ? 0 : 1, 10);
  return head;
}

const extendedError = 15;
const dnssecOkBit = 0x8000;

/** The OPT record of an answer (RFC 6891 section 6.1.2). */
function optRecord(asked: Asked, { code, because }: OwnAnswer): Buffer[] {
  const text = Buffer.from(because?.text ?? "", "utf8");
  const option = Buffer.alloc(because === undefined ? 0 : 6);
  if (because !== undefined) {
    option.writeUInt16BE(extendedError, 0);
    option.writeUInt16BE(2 + text.length, 2);
    option.writeUInt16BE(because.code, 4);
  }
  const fixed = Buffer.alloc(11);
  fixed.writeUInt16BE(recordTypes.OPT, 1);
  fixed.writeUInt16BE(largestDatagram, 3);
  fixed.writeUInt32BE((((code >> 4) << 24) | (asked.edns?.dnssecOk === true ? dnssecOkBit : 0)) >>> 0, 5);
  fixed.writeUInt16BE(option.length + text.length, 9);
  return [fixed, option, text];
}

/** The answer that says only that, such as a refusal or a failure. */
export function failure(asked: Asked, code: keyof typeof responseCodes): Buffer {
  return writeAnswer(asked, { code: responseCodes[code] }, smallestDatagram);
}

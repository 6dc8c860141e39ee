import {
  flagBits,
  headerLength,
  MessageError,
  readRecord,
  recordTypes,
  type ResourceRecord,
} from "./message.ts";

/** What a resolver answered to a query of ours. */
export interface ResolverAnswer {
  readonly message: Buffer;
  readonly flags: number;
  readonly code: number;
  readonly truncated: boolean;
  /** Records of the answer section. */
  readonly records: readonly ResourceRecord[];
  readonly answers: number;
  readonly authorities: number;
  /** Offset behind the answer section, and behind the authority section. */
  readonly answerEnd: number;
  readonly authorityEnd: number;
}

/**
 * Reads an answer to the query with this id and question.
 * @returns `undefined` for anything else: an answer to another question is a forgery, or too late (RFC 5452 section
 *   9.1); `respelled` when only letters differ in case, as from a server that does not keep them
 * @throws {MessageError} when it is the answer and cannot be read
 */
export function readAnswer(
  message: Buffer,
  id: number,
  question: Buffer,
): ResolverAnswer | "respelled" | undefined {
  const questionEnd = headerLength + question.length;
  if (message.length < questionEnd || message.readUInt16BE(0) !== id) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & (flagBits.response | flagBits.opcode)) !== flagBits.response) return undefined;
  if (message.readUInt16BE(4) !== 1) return undefined;
  const echoed = message.subarray(headerLength, questionEnd);
  if (!echoed.equals(question)) return isSameName(echoed, question) ? "respelled" : undefined;
  const answers = message.readUInt16BE(6);
  const authorities = message.readUInt16BE(8);
  const truncated = (flags & flagBits.truncated) !== 0;
  const code = flags & flagBits.responseCode;
  const facts = { message, flags, code, answers, authorities };
  // What is cut is asked for again over TCP, so nobody looks at its records.
  if (truncated) return { ...facts, truncated, records: [], answerEnd: 0, authorityEnd: 0 };
  const answerSection = readSection(message, questionEnd, answers);
  const authoritySection = readSection(message, answerSection.end, authorities);
  const additional = readSection(message, authoritySection.end, message.readUInt16BE(10));
  const opt = additional.records.find(({ type }) => type === recordTypes.OPT);
  if (opt !== undefined && opt.ttl >>> 24 !== 0) throw new MessageError("an extended response code");
  return {
    ...facts,
    truncated,
    records: answerSection.records,
    answerEnd: answerSection.end,
    authorityEnd: authoritySection.end,
  };
}

function readSection(
  message: Buffer,
  start: number,
  count: number,
): { records: ResourceRecord[]; end: number } {
  const records: ResourceRecord[] = [];
  let end = start;
  for (let left = count; left > 0; left--) {
    const record = readRecord(message, end);
    records.push(record);
    end = record.end;
  }
  return { records, end };
}

/** Whether two questions differ in the case of letters only; type and class are no letters. */
export function isSameName(left: Buffer, right: Buffer): boolean {
  const lower = (question: Buffer): string =>
    question
      .subarray(0, -4)
      .toString("latin1")
      .replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
  return left.subarray(-4).equals(right.subarray(-4)) && lower(left) === lower(right);
}

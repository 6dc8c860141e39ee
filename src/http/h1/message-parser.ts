import type { Headers } from "../headers.ts";
import type { RequestHead, ResponseHead } from "../message.ts";
import { ChunkedBody } from "./chunked.ts";
import type { Refuse } from "./errors.ts";
import { FieldLines } from "./fields.ts";
import { CR, LF } from "./grammar.ts";
import { KeptBytes } from "./kept-bytes.ts";
import type { H1Limits } from "./limits.ts";
import type { StartLine } from "./start-line.ts";

/** What a parser tells its owner. None of these may call the parser's `execute`. */
export interface MessageEvents<Head> {
  onHead(head: Head): void;
  /** The bytes are a part of the chunk that was fed, not a copy. */
  onBody(bytes: Buffer): void;
  /** The message is complete; `trailers` is undefined when it had none. */
  onEnd(trailers: Headers | undefined): void;
}

/** idle: nothing of the next message has arrived. */
export type Phase = "idle" | "head" | "body";

/** What comes after a head that has no body. */
export type After = "end" | "anotherHead" | "otherProtocol";

// In this order: what `phase` calls idle, then what it calls head, then the body.
const betweenMessages = 0;
const afterInterim = 1;
const inEmptyLine = 2;
const inStartLine = 3;
const inFields = 4;
const inBody = 5;
const inChunks = 6;
const inTrailers = 7;
const inBodyUntilClose = 8;
/** The bytes that follow are of another protocol. */
const switched = 9;
/** It has thrown, or the peer has closed. */
const dead = 10;

const stepAfter: Record<After, number> = {
  end: betweenMessages,
  anotherHead: afterInterim,
  otherProtocol: switched,
};

const emptyLineLength = 2;

/** What requests and responses have in common: one pass over the bytes, however they are cut into chunks. */
export abstract class MessageParser<Head extends RequestHead | ResponseHead> {
  protected readonly refuse: Refuse;
  readonly #limits: H1Limits;
  readonly #events: MessageEvents<Head>;
  readonly #onBody: (bytes: Buffer) => void;
  readonly #startLine: StartLine;
  readonly #fields: FieldLines;
  /** What arrived of a head or trailer section in earlier chunks. */
  readonly #kept = new KeptBytes();
  #step = betweenMessages;
  /** Where the field lines begin in the section being read. */
  #fieldsStart = 0;
  /** Bytes still missing of a body with a length. */
  #remaining = 0;
  #chunks: ChunkedBody | undefined;
  #emptyLineSeen = false;

  constructor(limits: H1Limits, events: MessageEvents<Head>, startLine: StartLine, refuse: Refuse) {
    this.#limits = limits;
    this.#events = events;
    this.#onBody = (bytes) => events.onBody(bytes);
    this.#startLine = startLine;
    this.#fields = new FieldLines(limits.maxHeaderCount, refuse);
    this.refuse = refuse;
  }

  get phase(): Phase {
    if (this.#step <= inEmptyLine || this.#step >= switched) return "idle";
    return this.#step <= inFields ? "head" : "body";
  }

  /**
   * Feeds bytes.
   * @returns how many were consumed: all of them, except that it stops right after the end of a message
   * @throws {H1Error} the parser is dead after that
   */
  execute(chunk: Buffer): number {
    try {
      return this.#execute(chunk);
    } catch (error) {
      this.#step = dead;
      throw error;
    }
  }

  /**
   * The peer closed its side.
   * @throws {H1Error} when that cuts a message. Between messages it is fine, also when a response is expected:
   *   the owner knows what it is waiting for.
   */
  finish(): void {
    const step = this.#step;
    this.#step = dead;
    if (step === inBodyUntilClose) this.#events.onEnd(undefined);
    else if (step === inStartLine || step === inFields) {
      throw this.refuse(400, "malformed_request", "the connection was closed inside the head");
    } else if (step >= inBody && step < switched) {
      throw this.refuse(400, "body_incomplete", "the connection was closed inside the body");
    }
  }

  /** Makes the head of what the start line and the fields say. */
  protected abstract readHead(text: string, headers: Headers): Head;
  /** Whether an empty line before the start line is forgiven (RFC 9112 section 2.2). */
  protected abstract readonly forgivesEmptyLine: boolean;
  /** What comes after this head, which has no body. */
  protected abstract after(head: Head): After;
  /** The first byte of a head, or of an empty line before it, has arrived. */
  protected abstract beforeHead(): void;
  /** Takes out the fields a trailer section may not have, or refuses them. */
  protected abstract checkTrailers(trailers: Headers): void;

  #execute(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      const step = this.#step;
      switch (step) {
        case betweenMessages:
        case afterInterim:
          this.beforeHead();
          if (chunk[at] === CR && this.forgivesEmptyLine && !this.#emptyLineSeen) {
            this.#emptyLineSeen = true;
            this.#step = inEmptyLine;
            at++;
          } else {
            this.#emptyLineSeen = false;
            this.#step = inStartLine;
          }
          break;
        case inEmptyLine:
          if (chunk[at] !== LF)
            throw this.refuse(400, "malformed_request", "a bare CR before the request line");
          this.#step = betweenMessages;
          at++;
          break;
        case inStartLine:
        case inFields:
          at = this.#head(chunk, at);
          if (this.#isMessageOver()) return at;
          break;
        case inBody: {
          const from = at;
          at = Math.min(chunk.length, from + this.#remaining);
          this.#remaining -= at - from;
          const bytes = at - from === chunk.length ? chunk : chunk.subarray(from, at);
          if (this.#remaining > 0) {
            this.#events.onBody(bytes);
            return at;
          }
          this.#step = betweenMessages;
          this.#events.onBody(bytes);
          this.#events.onEnd(undefined);
          return at;
        }
        case inChunks: {
          const chunks = this.#chunks as ChunkedBody;
          at = chunks.execute(chunk, at, this.#onBody);
          if (!chunks.complete) return at;
          this.#chunks = undefined;
          this.#fieldsStart = 0;
          this.#step = inTrailers;
          break;
        }
        case inTrailers:
          at = this.#trailers(chunk, at);
          if (this.#isMessageOver()) return at;
          break;
        case inBodyUntilClose:
          this.#events.onBody(at === 0 ? chunk : chunk.subarray(at));
          return chunk.length;
        case switched:
          return at;
        default:
          throw new Error("bytes for a parser that has thrown or was told that the peer closed");
      }
    }
    return at;
  }

  #isMessageOver(): boolean {
    return this.#step === betweenMessages || this.#step === switched;
  }

  /** Reads on in a head. Returns the position after it, or after the chunk when it is not complete. */
  #head(chunk: Buffer, from: number): number {
    const shift = this.#kept.length - from;
    let at = from;
    if (this.#step === inStartLine) {
      const limit = this.#limits.maxStartLine;
      const stop = Math.min(chunk.length, limit + emptyLineLength - shift);
      at = this.#startLine.scan(chunk, from, stop, shift);
      if (at < 0) {
        if (stop < chunk.length) {
          throw this.refuse(414, "uri_too_long", `the start line is longer than ${limit} bytes`);
        }
        this.#kept.append(chunk, from, chunk.length);
        return chunk.length;
      }
      this.#fieldsStart = at + shift;
      this.#step = inFields;
    }
    const end = this.#section(chunk, from, at);
    if (end < 0) return chunk.length;
    const text = this.#kept.take(chunk, from, end);
    const head = this.readHead(text, this.#fields.read(text, this.#fieldsStart));
    this.#begin(head);
    return end;
  }

  /** Tells of a head, and of the end where no body follows. */
  #begin(head: Head): void {
    const framing = head.framing;
    if (framing.kind === "chunked") {
      this.#chunks = new ChunkedBody(this.#limits.maxChunkHeader, this.refuse);
      this.#step = inChunks;
    } else if (framing.kind === "close") {
      this.#step = inBodyUntilClose;
    } else if (framing.kind === "length" && framing.length > 0) {
      this.#remaining = framing.length;
      this.#step = inBody;
    } else {
      const next = this.after(head);
      this.#step = stepAfter[next];
      this.#events.onHead(head);
      if (next === "end") this.#events.onEnd(undefined);
      return;
    }
    this.#events.onHead(head);
  }

  #trailers(chunk: Buffer, from: number): number {
    const end = this.#section(chunk, from, from);
    if (end < 0) return chunk.length;
    const text = this.#kept.take(chunk, from, end);
    const trailers = this.#fields.read(text, 0);
    this.checkTrailers(trailers);
    this.#step = betweenMessages;
    this.#events.onEnd(trailers.size === 0 ? undefined : trailers);
    return end;
  }

  /**
   * Scans field lines from `at` on, within the limit. When they do not end in this chunk, keeps what arrived
   * from `from` on and returns -1.
   */
  #section(chunk: Buffer, from: number, at: number): number {
    const limit = this.#limits.maxHeaderBytes;
    const shift = this.#kept.length - from;
    const stop = Math.min(chunk.length, this.#fieldsStart + limit + emptyLineLength - shift);
    const end = this.#fields.scan(chunk, at, stop, shift);
    if (end >= 0) return end;
    if (stop < chunk.length) {
      throw this.refuse(431, "headers_too_large", `the field lines are longer than ${limit} bytes`);
    }
    this.#kept.append(chunk, from, chunk.length);
    return -1;
  }
}

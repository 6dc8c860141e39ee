import type { Headers } from "../../../src/http/headers.ts";
import { H1Error } from "../../../src/http/h1/errors.ts";
import { defaultH1Limits, type H1Limits } from "../../../src/http/h1/limits.ts";
import { RequestParser, ResponseParser } from "../../../src/http/h1/parser.ts";
import type { RequestHead, ResponseHead } from "../../../src/http/message.ts";

export type Pair = [name: string, value: string];
type Plain<Head> = Omit<Head, "headers"> & { headers: Pair[] };

/** One head and what followed it, in a form that deepEqual compares. */
export interface Message<Head> {
  head: Plain<Head>;
  /** One character for each byte. */
  body: string;
  /** `undefined` while the message has no end. */
  trailers: Pair[] | "none" | undefined;
}

export interface Recording<Head> {
  messages: Message<Head>[];
  refusal: { status: number; reason: string; message: string } | undefined;
  /** Bytes that the parser left because the message before them was the last. */
  rest: string;
  /** Where in the input each message ended. */
  ends: number[];
}

/** Lengths of the pieces the input arrives in, used over and over; one piece when absent. */
export type Cuts = readonly number[];

export interface FeedOptions {
  limits?: Partial<H1Limits>;
  cuts?: Cuts | undefined;
  /** The peer closes after the input. Default true. */
  closes?: boolean;
}

/** Everything a request parser makes of the input; like a server, it stops after a request without keep-alive. */
export function feedRequests(input: Buffer, options: FeedOptions = {}): Recording<RequestHead> {
  const recorder = new Recorder<RequestHead>();
  const parser = new RequestParser({ ...defaultH1Limits, ...options.limits }, recorder);
  return recorder.feed(parser, input, options, () => recorder.last?.keepAlive !== false);
}

/** Everything a response parser makes of the input, as the answers to requests of these methods. */
export function feedResponses(
  input: Buffer,
  methods: readonly string[] = ["GET"],
  options: FeedOptions = {},
): Recording<ResponseHead> {
  const recorder = new Recorder<ResponseHead>();
  const parser = new ResponseParser({ ...defaultH1Limits, ...options.limits }, recorder);
  const waiting = [...methods];
  const expectNext = (): boolean => {
    const method = waiting.shift();
    if (method === undefined || recorder.last?.status === 101) return false;
    parser.expect(method);
    return true;
  };
  expectNext();
  return recorder.feed(parser, input, options, expectNext);
}

class Recorder<Head extends RequestHead | ResponseHead> {
  readonly messages: Message<Head>[] = [];
  readonly ends: number[] = [];
  last: Head | undefined;
  #ended = 0;

  onHead(head: Head): void {
    this.last = head;
    const headers = [...head.headers];
    this.messages.push({ head: { ...head, headers }, body: "", trailers: undefined });
  }

  onBody(bytes: Buffer): void {
    if (bytes.length === 0) throw new Error("an empty piece of a body");
    (this.messages.at(-1) as Message<Head>).body += bytes.toString("latin1");
  }

  onEnd(trailers: Headers | undefined): void {
    const message = this.messages.at(-1) as Message<Head>;
    if (message.trailers !== undefined) throw new Error("a message ended twice");
    message.trailers = trailers === undefined ? "none" : [...trailers];
    this.#ended++;
  }

  feed(
    parser: { execute(chunk: Buffer): number; finish(): void },
    input: Buffer,
    options: FeedOptions,
    goesOn: () => boolean,
  ): Recording<Head> {
    const recording: Recording<Head> = {
      messages: this.messages,
      refusal: undefined,
      rest: "",
      ends: this.ends,
    };
    try {
      const rest = this.#feed(parser, input, options.cuts ?? [input.length], goesOn);
      recording.rest = input.toString("latin1", rest);
      if (rest === input.length && options.closes !== false) parser.finish();
    } catch (error) {
      if (!(error instanceof H1Error)) throw error;
      recording.refusal = { status: error.status, reason: error.reason, message: error.message };
    }
    return recording;
  }

  #feed(
    parser: { execute(chunk: Buffer): number },
    input: Buffer,
    cuts: Cuts,
    goesOn: () => boolean,
  ): number {
    let at = 0;
    for (let cut = 0; at < input.length; cut++) {
      // A copy of its own, overwritten afterwards: whoever kept a part of it will notice.
      const piece = Buffer.from(input.subarray(at, at + (cuts[cut % cuts.length] as number)));
      let used = 0;
      while (used < piece.length) {
        const ended = this.#ended;
        const consumed = parser.execute(piece.subarray(used));
        used += consumed;
        if (this.#ended > ended) this.ends.push(at + used);
        if (this.#ended > ended ? !goesOn() : consumed === 0) return at + used;
        if (this.#ended === ended && used < piece.length) {
          if (!isUpgrade(this.last)) throw new Error("the parser stopped inside a message");
          return at + used;
        }
      }
      at += piece.length;
      piece.fill(0x21);
    }
    return at;
  }
}

function isUpgrade(head: RequestHead | ResponseHead | undefined): boolean {
  return head !== undefined && "status" in head && head.status === 101;
}

/** Lines with CRLF between and after them. */
export function lines(...parts: string[]): Buffer {
  return Buffer.from(parts.map((part) => `${part}\r\n`).join(""), "latin1");
}

import { compressedFlag, EnvelopeReader } from "../http/envelopes.ts";
import type { Automaton } from "../scrub/automaton.ts";
import { type Coding, decodeWhole } from "../scrub/codings.ts";
import { type OnForm, scanAll, StreamScanner } from "./scan.ts";

/** Bytes of a compressed message, and of what it decodes to; what is larger is not searched. */
const maxCompressed = 1024 * 1024;
const maxDecoded = 4 * 1024 * 1024;

/** Finds the forms in a stream of messages of which some are compressed, each by itself (gRPC, Connect). */
export class MessageScanner {
  readonly #automaton: Automaton;
  readonly #onForm: OnForm;
  readonly #coding: Coding;
  /** For messages that are not compressed. */
  readonly #plain: StreamScanner;
  readonly #reader: EnvelopeReader;
  /** The compressed message under way; `undefined` for any other. */
  #parts: Uint8Array[] | undefined;
  #size = 0;

  constructor(automaton: Automaton, onForm: OnForm, coding: Coding) {
    this.#automaton = automaton;
    this.#onForm = onForm;
    this.#coding = coding;
    this.#plain = new StreamScanner(automaton, onForm);
    this.#reader = new EnvelopeReader({
      prefix: (_bytes, flags) => {
        this.#parts = (flags & compressedFlag) === 0 ? undefined : [];
        this.#size = 0;
      },
      payload: (bytes, isLast) => this.#onPayload(bytes, isLast),
    });
  }

  write(bytes: Uint8Array): void {
    this.#reader.write(bytes);
  }

  /** The stream is complete. */
  end(): void {
    this.#plain.end();
  }

  #onPayload(bytes: Uint8Array, isLast: boolean): void {
    if (this.#parts === undefined) {
      this.#plain.write(bytes);
      if (isLast) this.#plain.end();
      return;
    }
    this.#size += bytes.length;
    if (this.#size > maxCompressed) this.#parts = [];
    // A copy: the bytes belong to whoever reads the connection.
    else this.#parts.push(Uint8Array.from(bytes));
    if (isLast && this.#size <= maxCompressed) this.#decode(Buffer.concat(this.#parts));
  }

  #decode(message: Buffer): void {
    const decoded = decodeWhole(this.#coding, message, maxDecoded);
    if (decoded !== undefined) scanAll(this.#automaton, decoded, decoded.length, this.#onForm);
  }
}

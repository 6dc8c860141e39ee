import { type Automaton, isMostly, type Match, type Suspended } from "./automaton.ts";
import type { Exposed } from "./forms.ts";
import { fit, type Replacement, replacementFor } from "./replacement.ts";

/** How a stream is scrubbed. */
export interface RewriterOptions {
  /** What is looked for now; another one once a value rotates, in the middle of a stream too. */
  readonly automaton: () => Automaton;
  /** Takes the output. Bytes without a match are those that came in, not copies. */
  readonly emit: (bytes: Uint8Array) => void;
  /** Told of every form that was replaced. */
  readonly found: (exposed: Exposed) => void;
  /** Writes as many bytes as it reads: for formats whose parts are counted, and lengths that were announced. */
  readonly keepLength?: boolean;
  /** `text/event-stream`: no byte of an event waits for the next event. */
  readonly events?: boolean;
}

/** Silence after which a stream is flushed: what has not come by then is not a part of what has, or comes later. */
const settleMs = 20;
/** Symbols of a beginning that are sent after that. Nearly any letter may begin some form, and a reader may wait for it. */
const maxSentBegun = 2;

/**
 * Replaces the forms of exposed values in a stream, wherever it is cut. Bytes are held back only while a form may have begun: from the
 * first byte of that form on, and never more than {@link Automaton.longest} of them.
 *
 * After 20 ms of silence a beginning of one or two symbols is sent all the same, as it is with a prompt; the form is still looked for, and what is
 * left of it replaced. Base64 that nothing but padding can follow counts as ended then.
 *
 * A stream that ends inside a form: at least half of the value, of {@link minScrubbedBytes} symbols or more, counts as the value; less goes out as it is.
 */
export class Rewriter {
  readonly #options: RewriterOptions;
  #automaton: Automaton | undefined;
  #held: Uint8Array | undefined;
  #suspended: Suspended | undefined;
  /** How many of the bytes held were sent after a silence. */
  #sent = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RewriterOptions) {
    this.#options = options;
  }

  /** Bytes held back. */
  get held(): number {
    return (this.#held?.length ?? 0) - this.#sent;
  }

  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#run(this.#join(bytes), "open");
  }

  /** The stream is complete. */
  end(): void {
    if (this.#held !== undefined) this.#run(this.#held, "complete");
    this.cancel();
  }

  /** The stream will never be complete; what is held is dropped. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#held = undefined;
    this.#suspended = undefined;
    this.#sent = 0;
  }

  #join(bytes: Uint8Array): Uint8Array {
    return this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
  }

  #run(bytes: Uint8Array, ending: Ending): void {
    clearTimeout(this.#timer);
    const automaton = this.#options.automaton();
    if (automaton !== this.#automaton) {
      this.#automaton = automaton;
      this.#suspended = undefined;
    }
    const rest = this.#scan(automaton, bytes, ending);
    this.#held = rest === bytes.length ? undefined : bytes.subarray(rest);
  }

  /** Emits all that is decided; returns where that ends. */
  #scan(automaton: Automaton, bytes: Uint8Array, ending: Ending): number {
    const { emit, found, events } = this.#options;
    let suspended = this.#suspended;
    this.#suspended = undefined;
    let emitted = this.#sent;
    this.#sent = 0;
    let at = 0;
    let mode = ending;
    for (;;) {
      const match = automaton.find(bytes, at, bytes.length, suspended);
      suspended = undefined;
      if (match === undefined) break;
      const decided = this.#decide(match, bytes, mode);
      if (mode === "settle") mode = "open";
      if (decided === "none") {
        at = match.start + 1;
        continue;
      }
      if (match.start > emitted) emit(bytes.subarray(emitted, match.start));
      const sent = Math.max(0, emitted - match.start);
      emitted = match.start;
      if (decided !== "wait") {
        emit(this.#options.keepLength === true ? decided.text.subarray(sent) : decided.text);
        found(decided.exposed);
        emitted = at = decided.end;
        continue;
      }
      const event = events === true ? eventEnd(bytes, match.start) : 0;
      if (event === 0) {
        this.#sent = sent;
        this.#suspend(match);
        return match.start;
      }
      this.#sent = sent;
      this.#scan(automaton, bytes.subarray(match.start, event), "complete");
      emitted = at = event;
    }
    if (emitted === 0) emit(bytes);
    else if (emitted < bytes.length) emit(bytes.subarray(emitted));
    return bytes.length;
  }

  #suspend({ start, form, end, style, open }: Match): void {
    const complete = form === undefined ? [] : [{ form, at: form.text.length, next: end, style }];
    this.#suspended = [...open, ...complete].map((thread) => ({ ...thread, next: thread.next - start }));
    const isShort = open.every(({ at }) => at <= maxSentBegun);
    if (open.length === 0 || (isShort && form === undefined)) {
      this.#timer = setTimeout(() => this.#onSilence(), settleMs).unref();
    }
  }

  #onSilence(): void {
    const held = this.#held;
    if (held === undefined) return;
    if (this.#suspended?.every(({ at, form: { text } }) => at === text.length)) {
      this.#run(held, "settle");
      return;
    }
    if (this.#sent < held.length) this.#options.emit(held.subarray(this.#sent));
    this.#sent = held.length;
  }

  #decide(match: Match, bytes: Uint8Array, mode: Ending): Decided {
    const { start, form, end, style, open } = match;
    const { keepLength = false } = this.#options;
    if (open.length > 0) {
      if (mode !== "complete") return "wait";
      const begun = open.find(isMostly);
      if (begun !== undefined) {
        const { exposed } = begun.form;
        const whole = Buffer.from(exposed.replacement, "latin1");
        const text = keepLength ? fit(whole, bytes.length - start) : whole;
        return { text, end: bytes.length, exposed };
      }
    }
    if (form === undefined) return "none";
    const replacement = replacementFor({ form, start, end, style }, bytes, mode !== "open", keepLength);
    return replacement === undefined ? "wait" : { ...replacement, exposed: form.exposed };
  }
}

/** What may follow: more, nothing, or so far nothing for {@link settleMs}. */
type Ending = "open" | "complete" | "settle";
type Decided = "none" | "wait" | (Replacement & { readonly exposed: Exposed });

/** Position behind the last blank line that ends after another position; 0 where there is none. */
function eventEnd(bytes: Uint8Array, after: number): number {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = 0;
  for (const blank of ["\n\n", "\n\r\n", "\r\r"]) {
    const at = text.lastIndexOf(blank);
    if (at >= 0) end = Math.max(end, at + blank.length);
  }
  return end > after ? end : 0;
}

/**
 * All of something at once.
 * @returns the same bytes where nothing was found
 */
export function scrubBytes(
  bytes: Uint8Array,
  automaton: Automaton,
  found: (exposed: Exposed) => void,
  keepLength = false,
): Uint8Array {
  if (!automaton.test(bytes)) return bytes;
  const parts: Uint8Array[] = [];
  let changed = false;
  const rewriter = new Rewriter({
    automaton: () => automaton,
    emit: (part) => void parts.push(part),
    found(exposed) {
      changed = true;
      found(exposed);
    },
    keepLength,
  });
  rewriter.write(bytes);
  rewriter.end();
  return changed ? Buffer.concat(parts) : bytes;
}

/** The same for the value of a field, one character for each byte. */
export function scrubText(text: string, automaton: Automaton, found: (exposed: Exposed) => void): string {
  const bytes = Buffer.from(text, "latin1");
  const scrubbed = scrubBytes(bytes, automaton, found);
  return scrubbed === bytes ? text : Buffer.from(scrubbed).toString("latin1");
}

import type { Automaton, Suspended } from "../scrub/automaton.ts";
import type { Exposed } from "../scrub/forms.ts";

/** Told of every form that was found, and where it begins. */
export type OnForm = (exposed: Exposed, start: number) => void;

/** Finds every form in bytes of which there are no more; of forms that overlap, the first. */
export function scanAll(automaton: Automaton, bytes: Uint8Array, end: number, onForm: OnForm): void {
  for (let at = 0; at < end; ) {
    const match = automaton.find(bytes, at, end);
    if (match === undefined) return;
    if (match.form === undefined) at = match.start + 1;
    else {
      onForm(match.form.exposed, match.start);
      at = match.end;
    }
  }
}

/** Finds the forms in a stream, wherever it is cut. Only the beginning of what may become one is kept, never more than {@link Automaton.longest}. */
export class StreamScanner {
  readonly #automaton: Automaton;
  readonly #onForm: OnForm;
  #held: Uint8Array | undefined;
  #suspended: Suspended | undefined;

  constructor(automaton: Automaton, onForm: OnForm) {
    this.#automaton = automaton;
    this.#onForm = onForm;
  }

  write(chunk: Uint8Array): void {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    let suspended = this.#suspended;
    this.#held = undefined;
    this.#suspended = undefined;
    for (let at = 0; at < bytes.length; ) {
      const match = this.#automaton.find(bytes, at, bytes.length, suspended);
      suspended = undefined;
      if (match === undefined) return;
      const { start, form, end, style, open } = match;
      if (open.length > 0) {
        const complete = form === undefined ? [] : [{ form, at: form.text.length, next: end, style }];
        this.#suspended = [...open, ...complete].map((thread) => ({ ...thread, next: thread.next - start }));
        // A copy: the chunk belongs to whoever reads the connection.
        this.#held = Uint8Array.from(bytes.subarray(start));
        return;
      }
      if (form === undefined) at = start + 1;
      else {
        this.#onForm(form.exposed, start);
        at = end;
      }
    }
  }

  /** The stream is complete. */
  end(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#suspended = undefined;
    if (held !== undefined) scanAll(this.#automaton, held, held.length, this.#onForm);
  }
}

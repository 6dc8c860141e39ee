import type { PlaceholderUse } from "../pipeline/types.ts";
import { Automaton } from "../scrub/automaton.ts";
import { type Exposed, minScrubbedBytes } from "../scrub/forms.ts";
import type { KnownValues } from "./known-values.ts";

/** Entries that share one placeholder: what one of them does not allow, another may. */
export interface Placeholder {
  readonly secret: string;
  readonly uses: readonly PlaceholderUse[];
  /** The name of a variable, which documentation, code and searches mention too. */
  readonly isName: boolean;
  /** A single word, which stands in many a text: bodies are not searched for it. */
  readonly isWord: boolean;
}

/** What requests are searched for: the placeholders of one pipeline, and all values known. */
export class Watch {
  readonly #needles: readonly Exposed[];
  readonly #placeholders = new Map<string, Placeholder>();
  readonly #known: KnownValues;
  #automaton: Automaton | undefined;
  #version = -1;

  constructor(uses: readonly PlaceholderUse[], known: KnownValues) {
    this.#known = known;
    for (const [text, alike] of Map.groupBy(uses, ({ placeholder }) => placeholder)) {
      if (text.length < minScrubbedBytes) continue;
      const [{ secret }] = alike as [PlaceholderUse];
      const isWord = /^[A-Za-z]+$/.test(text);
      this.#placeholders.set(text, {
        secret,
        uses: alike,
        isName: isWord || /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/.test(text),
        isWord,
      });
    }
    this.#needles = [...this.#placeholders].map(([value, { secret: name }]) => ({
      value,
      name,
      replacement: value,
    }));
  }

  /** Made anew once a value has changed; `undefined` where there is nothing to look for. */
  get automaton(): Automaton | undefined {
    if (this.#version !== this.#known.version) {
      this.#version = this.#known.version;
      // A value that is the placeholder of another entry, as of a proxy behind this one, is swapped like any.
      const values = this.#known.values.filter(({ value }) => !this.#placeholders.has(value));
      const automaton = new Automaton([...this.#needles, ...values]);
      this.#automaton = automaton.isEmpty ? undefined : automaton;
    }
    return this.#automaton;
  }

  /** The placeholder that was found; `undefined` where it was a real value. */
  placeholder(found: Exposed): Placeholder | undefined {
    return this.#placeholders.get(found.value);
  }
}

import type { Path } from "../config/issues.ts";

/** A place in a text; both numbers from 1, the column in UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Finds a key or its value; where nothing stands at the path, the nearest thing around it. */
export type LocateToml = (path: Path, part?: "key" | "value") => Place;

interface Offsets {
  readonly key: number;
  readonly value: number;
}

/**
 * Where every key and every element of a list stands in a TOML 1.0 text. The parser in use tells the place of an error of
 * syntax only; this walks over a text that it has accepted, so nothing is checked here.
 */
export function locateToml(text: string): LocateToml {
  const offsets = new Walker(text).walk();
  return (path, part = "value") => {
    for (let length = path.length; length > 0; length--) {
      const found = offsets.get(JSON.stringify(path.slice(0, length)));
      if (found !== undefined) return placeOf(text, length === path.length ? found[part] : found.key);
    }
    return { line: 1, column: 1 };
  };
}

/** Line and column of an offset. */
export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  const lastBreak = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: offset - lastBreak };
}

class Walker {
  readonly #text: string;
  readonly #offsets = new Map<string, Offsets>();
  /** Tables made with `[[name]]`: how many there are so far. */
  readonly #lists = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  walk(): ReadonlyMap<string, Offsets> {
    let table: Path = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      if (this.#text[this.#at] === "[") table = this.#header();
      else this.#pair(table);
    }
    return this.#offsets;
  }

  /** `[a.b]` or `[[a.b]]`; gives the path of the table that the following pairs are in. */
  #header(): Path {
    const start = this.#at;
    const isList = this.#text.startsWith("[[", start);
    this.#at += isList ? 2 : 1;
    const keys = this.#dottedKey();
    this.#at = this.#text.indexOf("]", this.#at) + (isList ? 2 : 1);
    let path: Path = [];
    for (const [index, { name }] of keys.entries()) {
      path = [...path, name];
      const id = JSON.stringify(path);
      if (isList && index === keys.length - 1) this.#lists.set(id, (this.#lists.get(id) ?? 0) + 1);
      this.#record(path, start, start);
      const count = this.#lists.get(id);
      if (count === undefined) continue;
      path = [...path, count - 1];
      this.#record(path, start, start);
    }
    return path;
  }

  /** `a.b = value` below a table. */
  #pair(table: Path): void {
    const keys = this.#dottedKey();
    this.#skipSpace();
    this.#at++; // the equals sign
    this.#skipSpace();
    let path = table;
    for (const { name, offset } of keys) {
      path = [...path, name];
      this.#record(path, offset, this.#at);
    }
    this.#value(path);
  }

  #dottedKey(): { readonly name: string; readonly offset: number }[] {
    const keys = [];
    for (;;) {
      this.#skipSpace();
      const offset = this.#at;
      keys.push({ name: this.#key(), offset });
      this.#skipSpace();
      if (this.#text[this.#at] !== ".") return keys;
      this.#at++;
    }
  }

  #key(): string {
    const start = this.#at;
    const quote = this.#text[start];
    if (quote === '"' || quote === "'") {
      this.#skipString();
      const raw = this.#text.slice(start + 1, this.#at - 1);
      return quote === '"' && raw.includes("\\") ? unescape(raw) : raw;
    }
    while (/[A-Za-z0-9_-]/.test(this.#text[this.#at] ?? "")) this.#at++;
    if (this.#at === start) this.#at++; // cannot happen in an accepted text; an end all the same
    return this.#text.slice(start, this.#at);
  }

  #value(path: Path): void {
    switch (this.#text[this.#at]) {
      case '"':
      case "'":
        return this.#skipString();
      case "[":
        return this.#list("]", (index) => {
          const element = [...path, index];
          this.#record(element, this.#at, this.#at);
          this.#value(element);
        });
      case "{":
        return this.#list("}", () => this.#pair(path));
      default:
        while (this.#at < this.#text.length && !/[,\]}#\n]/.test(this.#text[this.#at] as string)) this.#at++;
    }
  }

  #list(end: string, element: (index: number) => void): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      if (this.#text[this.#at] === end) break;
      element(index);
      this.#skipBlank();
      if (this.#text[this.#at] === ",") this.#at++;
    }
    this.#at++;
  }

  #skipString(): void {
    const quote = this.#text[this.#at] as string;
    const long = this.#text.startsWith(quote.repeat(3), this.#at);
    const end = long ? quote.repeat(3) : quote;
    this.#at += end.length;
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at)) {
      this.#at += quote === '"' && this.#text[this.#at] === "\\" ? 2 : 1;
    }
    this.#at += end.length;
    if (!long) return;
    // A long text may end with quotes of its own: `""""` is one and the end.
    while (this.#text[this.#at] === quote) this.#at++;
  }

  /** White space, line ends and comments. */
  #skipBlank(): void {
    for (;;) {
      while (/\s/.test(this.#text[this.#at] ?? "")) this.#at++;
      if (this.#text[this.#at] !== "#") return;
      const end = this.#text.indexOf("\n", this.#at);
      this.#at = end < 0 ? this.#text.length : end;
    }
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  /** The first mention counts: `[tool.x]` names `tool` too, as may a header before it. */
  #record(path: Path, key: number, value: number): void {
    const id = JSON.stringify(path);
    if (!this.#offsets.has(id)) this.#offsets.set(id, { key, value });
  }
}

/** Escapes of a quoted key; those that JSON lacks are rare enough there to stay as they are written. */
function unescape(raw: string): string {
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}

// What the workload gets hold of, searched for credentials in every spelling. Nothing here is shared with the scrubber:
// where it knows the forms of a value, this undoes every escape it knows and looks at what is left.
import { Canary } from "../e2e/harness/canary.ts";

/** Layers of escapes that are undone: JSON in a form field in HTML is three. */
const layers = 4;

/** A canary that also keeps what arrives, until it was searched. */
export class Hunt extends Canary {
  readonly #values = new Map<string, string>();
  readonly #streams: Buffer[][] = [];

  /** A credential to look for. */
  hunt(label: string, value: string): void {
    this.#values.set(label, value);
  }

  /** One stream: its pieces are searched together. */
  override listen(place: string): (chunk: Uint8Array) => void {
    const stream: Buffer[] = [];
    this.#streams.push(stream);
    const hear = super.listen(place);
    return (chunk) => {
      hear(chunk);
      stream.push(Buffer.from(chunk));
    };
  }

  /** A text by itself: a body without its framing, a header without its compression. */
  take(text: Uint8Array | string): void {
    this.#streams.push([Buffer.from(text as string)]);
  }

  /** Spellings of credentials in what arrived since the last time. */
  found(): string[] {
    const texts = this.#streams.splice(0).map((stream) => Buffer.concat(stream));
    return [...this.#values].flatMap(([label, value]) =>
      [...new Set(texts.flatMap((text) => spellings(text, value)))].map(
        (spelling) => `${label} as ${spelling}`,
      ),
    );
  }
}

/** How a value is spelled in a text: `raw`, `hexadecimal`, `base64`, each perhaps below escapes; empty where it is not in it. */
export function spellings(text: Uint8Array, value: string): string[] {
  const found: string[] = [];
  let plain = Buffer.from(text).toString("latin1");
  for (let layer = 0; layer < layers; layer++) {
    const below = layer === 0 ? "" : ` below ${layer} of escapes`;
    if (plain.includes(value)) found.push(`raw${below}`);
    const together = plain.replace(/[\r\n]/g, "");
    if (together.toLowerCase().includes(Buffer.from(value, "latin1").toString("hex"))) {
      found.push(`hexadecimal${below}`);
    }
    const letters = together.replaceAll("-", "+").replaceAll("_", "/");
    if (cores(value).some((core) => letters.includes(core))) found.push(`base64${below}`);
    const next = unescape(plain);
    if (next === plain) break;
    plain = next;
  }
  return found;
}

/** The letters of base64 that only the value decides, at each of the three alignments. */
function cores(value: string): string[] {
  return [0, 1, 2].map((before) => {
    const letters = Buffer.from("\0".repeat(before) + value, "latin1").toString("base64");
    const first = Math.ceil((before * 8) / 6);
    return letters.slice(first, Math.floor(((before + value.length) * 8) / 6));
  });
}

const named: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  sol: "/",
  plus: "+",
  equals: "=",
};

/** One layer of percent, JSON, JavaScript and HTML escapes undone. */
function unescape(text: string): string {
  const code = (digits: string, base: number): string =>
    String.fromCharCode(Number.parseInt(digits, base) & 0xff);
  return text
    .replace(/%([0-9a-f]{2})/gi, (_, digits: string) => code(digits, 16))
    .replace(/\\u([0-9a-f]{4})|\\x([0-9a-f]{2})/gi, (_, four?: string, two?: string) =>
      code(four ?? two ?? "", 16),
    )
    .replace(/\\([\\/"'])/g, "$1")
    .replace(/\\[rn]/g, "")
    .replace(/&#x0*([0-9a-f]+);|&#0*(\d+);/gi, (_, hexadecimal?: string, decimal?: string) =>
      hexadecimal === undefined ? code(decimal ?? "", 10) : code(hexadecimal, 16),
    )
    .replace(/&([a-z]+);/g, (entity, name: string) => named[name] ?? entity);
}

// I14: every credential of a suite is unique, and nothing the proxy lets out may hold one.
import { randomBytes } from "node:crypto";

interface Needle {
  readonly label: string;
  readonly bytes: Buffer;
}

/** Watches everything that leaves the proxy towards anyone but the upstream the credential is for. */
export class Canary {
  readonly #needles: Needle[] = [];
  readonly #found = new Set<string>();
  /** Bytes searched; a watch that saw nothing proves nothing. */
  searched = 0;

  /** A new credential. Its value occurs nowhere else. */
  secret(label: string): string {
    const value = `canary-${label}-${randomBytes(15).toString("base64url")}`;
    this.watch(label, value);
    return value;
  }

  /** Looks for a value and its usual encodings from now on. */
  watch(label: string, value: string): void {
    const bytes = Buffer.from(value);
    // Of base64 only what does not depend on where in the text the value stands.
    const spellings = [
      value,
      bytes.toString("hex"),
      bytes.toString("base64").slice(0, -4),
      encodeURIComponent(value),
    ];
    for (const spelling of new Set(spellings)) this.#needles.push({ label, bytes: Buffer.from(spelling) });
  }

  /** A reader of one stream: finds a value also where it is cut in two. */
  listen(place: string): (chunk: Uint8Array) => void {
    let tail = Buffer.alloc(0);
    return (chunk) => {
      const text = Buffer.concat([tail, chunk]);
      this.search(place, text);
      tail = Buffer.from(text.subarray(Math.max(0, text.length - 256)));
    };
  }

  search(place: string, text: Uint8Array): void {
    this.searched += text.length;
    const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    for (const needle of this.#needles) {
      if (bytes.includes(needle.bytes)) this.#found.add(`${needle.label} in ${place}`);
    }
  }

  /** Throws when a credential was seen. */
  check(): void {
    if (this.#found.size > 0) throw new Error(`I14: a credential got out: ${[...this.#found].join(", ")}`);
    if (this.#needles.length > 0 && this.searched === 0) throw new Error("the canary has searched nothing");
  }
}

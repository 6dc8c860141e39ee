// I14: every credential of a suite is unique, and nothing the proxy lets out may hold one, however it is written.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { forbidden } from "../../scrub/encoders.ts";

interface Needle {
  readonly label: string;
  readonly bytes: Buffer;
}

/** Bytes at the beginning of a form by which it is looked for: all credentials made here begin alike. */
const keyLength = 6;

/** Watches everything that leaves the proxy towards anyone but the upstream the credential is for. */
export class Canary {
  /** By how they begin. */
  readonly #needles = new Map<string, { readonly key: Buffer; readonly all: Needle[] }>();
  readonly #labels = new Map<string, string>();
  readonly #found = new Set<string>();
  #longest = 0;
  /** Bytes searched; a watch that saw nothing proves nothing. */
  searched = 0;

  /** A new credential. Its value occurs nowhere else. */
  secret(label: string): string {
    const value = `canary-${label}-${randomBytes(15).toString("base64url")}`;
    this.watch(label, value);
    return value;
  }

  /**
   * Looks for a value from now on, in every form that text is written in.
   * @throws Error where another credential has the same value: nobody could tell which of them got out
   */
  watch(label: string, value: string): void {
    const other = this.#labels.get(value);
    if (other !== undefined && other !== label) throw new Error(`${label} and ${other} have the same value`);
    this.#labels.set(value, label);
    for (const form of forbidden(Buffer.from(value).toString("latin1"))) {
      const bytes = Buffer.from(form, "latin1");
      const key = bytes.subarray(0, keyLength);
      const group = this.#needles.get(key.toString("latin1")) ?? { key, all: [] };
      this.#needles.set(key.toString("latin1"), group);
      group.all.push({ label, bytes });
      this.#longest = Math.max(this.#longest, bytes.length);
    }
  }

  /** A reader of one stream: finds a value also where it is cut in two. */
  listen(place: string): (chunk: Uint8Array) => void {
    let tail = Buffer.alloc(0);
    return (chunk) => {
      const text = Buffer.concat([tail, chunk]);
      this.search(place, text);
      tail = Buffer.from(text.subarray(Math.max(0, text.length - this.#longest)));
    };
  }

  search(place: string, text: Uint8Array): void {
    this.searched += text.length;
    const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    for (const { key, all } of this.#needles.values()) {
      const at = bytes.indexOf(key);
      if (at < 0) continue;
      const rest = bytes.subarray(at);
      for (const needle of all) {
        if (rest.includes(needle.bytes)) this.#found.add(`${needle.label} in ${place}`);
      }
    }
  }

  /** Searches what Linux shows of a process to others, and of those it started: command line and environment. */
  searchProcess(pid: number): void {
    if (process.platform !== "linux") return;
    try {
      for (const name of ["cmdline", "environ"]) {
        this.search(`/proc/PID/${name}`, readFileSync(`/proc/${pid}/${name}`));
      }
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").match(/\d+/g) ?? [];
      for (const child of children) this.searchProcess(Number(child));
    } catch (error) {
      // It may just have ended, for a test of just that.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }

  /** Searches every file below a folder. */
  searchFolder(folder: string): void {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) this.searchFolder(path);
      else if (entry.isFile()) this.search(`the file ${entry.name}`, readFileSync(path));
    }
  }

  /** Throws when a credential was seen. */
  check(): void {
    if (this.#found.size > 0) throw new Error(`I14: a credential got out: ${[...this.#found].join(", ")}`);
    if (this.#needles.size > 0 && this.searched === 0) throw new Error("the canary has searched nothing");
  }
}

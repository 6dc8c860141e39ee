import type { Socket } from "node:net";
import { latin1Write } from "./latin1.ts";

/** Bytes gathered before they are written although the tick is not over. */
const flushAt = 16 * 1024;
/** Pieces up to this size are copied together into one write; larger ones go as they are. */
const joinUpTo = 16 * 1024;

/**
 * What a connection writes within one tick leaves in one write: head, body and last chunk of a small answer
 * are one TLS record and one system call, although three callers wrote them.
 */
export class Output {
  readonly #socket: Socket;
  readonly #flushSoon: () => void;
  #parts: (string | Uint8Array)[] = [];
  #size = 0;
  #scheduled = false;
  /** Bytes handed to the socket so far. */
  written = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#flushSoon = () => {
      this.#scheduled = false;
      this.flush();
    };
  }

  /** Takes latin1 text or bytes; false when the peer reads too slowly and `drain` has to be awaited. */
  write(part: string | Uint8Array): boolean {
    this.#parts.push(part);
    this.#size += part.length;
    if (this.#size >= flushAt) return this.flush();
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(this.#flushSoon);
    }
    return !this.#socket.writableNeedDrain;
  }

  /** Hands everything to the socket now. */
  flush(): boolean {
    const parts = this.#parts;
    if (parts.length === 0) return !this.#socket.writableNeedDrain;
    const size = this.#size;
    this.#parts = [];
    this.#size = 0;
    if (this.#socket.destroyed || this.#socket.writableEnded) return true;
    this.written += size;
    if (parts.length === 1) {
      const only = parts[0] as string | Uint8Array;
      return typeof only === "string" ? this.#socket.write(only, "latin1") : this.#socket.write(only);
    }
    return size <= joinUpTo * 2 ? this.#socket.write(joined(parts, size)) : this.#writeApart(parts);
  }

  #writeApart(parts: (string | Uint8Array)[]): boolean {
    this.#socket.cork();
    let ready = true;
    for (const part of parts) {
      ready = typeof part === "string" ? this.#socket.write(part, "latin1") : this.#socket.write(part);
    }
    this.#socket.uncork();
    return ready;
  }
}

function joined(parts: (string | Uint8Array)[], size: number): Buffer {
  const buffer = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    if (typeof part === "string") latin1Write(buffer, part, at);
    else buffer.set(part, at);
    at += part.length;
  }
  return buffer;
}

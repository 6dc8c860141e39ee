import type { Socket } from "node:net";
import { latin1Write } from "./latin1.ts";

/** Bytes gathered before they are written whatever else may follow: four TLS records. */
const flushAt = 64 * 1024;
/** Up to this much is copied together for one write; more goes out in its pieces, still in one system call. */
const joinUpTo = 16 * 1024;
/** Bytes that may wait in the socket before the source is asked to pause (I12). */
const maxWaiting = 256 * 1024;

/** Connections with something to write at the end of the event loop's turn. */
let waiting: Output[] = [];

function flushWaiting(): void {
  const outputs = waiting;
  waiting = [];
  for (const output of outputs) output.flush();
}

/**
 * What a connection writes within one turn of the event loop leaves in one write: head, body and last chunk of a
 * small answer are one TLS record and one system call, and so are the pieces of a large body, which node hands
 * over one record at a time.
 *
 * All connections write at the end of the turn, one after the other. Written in between reads, each write would
 * wake a peer that has gone to sleep since the last one, and waking costs more than writing does.
 */
export class Output {
  readonly #socket: Socket;
  #parts: (string | Uint8Array)[] = [];
  #size = 0;
  /** Bytes taken so far. */
  written = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Takes latin1 text or bytes; false when the peer reads too slowly and `drain` has to be awaited. */
  write(part: string | Uint8Array): boolean {
    this.written += part.length;
    if (this.#parts.push(part) === 1 && waiting.push(this) === 1) setImmediate(flushWaiting);
    this.#size += part.length;
    return this.#size >= flushAt ? this.flush() : this.#ready;
  }

  /** Hands everything to the socket now. */
  flush(): boolean {
    const parts = this.#parts;
    if (parts.length > 0) {
      const size = this.#size;
      this.#parts = [];
      this.#size = 0;
      if (this.#socket.destroyed || this.#socket.writableEnded) return true;
      this.#send(parts, size);
    }
    return this.#ready;
  }

  /** Past its own mark, which is lower, the socket is sure to say `drain` once all of it is gone. */
  get #ready(): boolean {
    return !this.#socket.writableNeedDrain || this.#socket.writableLength < maxWaiting;
  }

  #send(parts: (string | Uint8Array)[], size: number): void {
    const socket = this.#socket;
    if (parts.length > 1 && size <= joinUpTo) {
      socket.write(joined(parts, size));
      return;
    }
    if (parts.length > 1) socket.cork();
    for (const part of parts) {
      if (typeof part === "string") socket.write(part, "latin1");
      else socket.write(part);
    }
    if (parts.length > 1) socket.uncork();
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

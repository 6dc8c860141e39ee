/** Limits of an HTTP/2 connection; `docs/limits.md` lists them with their owners. */
export interface H2Limits {
  /** Bytes of `:path`. Over it: 414. */
  readonly maxStartLine: number;
  /** Bytes of all fields of a message together, trailers counted anew. Over it: 431. */
  readonly maxHeaderBytes: number;
  /** Number of fields. Over it: 431. */
  readonly maxHeaderCount: number;
  /** Requests of one client connection at a time; another is refused with REFUSED_STREAM. */
  readonly maxStreams: number;
  /** Streams of one client connection that may be reset in a second, whoever was made to reset them. */
  readonly maxResets: number;
}

export const defaultH2Limits = { maxStreams: 128, maxResets: 200 } as const;

/** Bytes of a request body that wait for an upstream, for each stream; also what an upstream may send ahead. */
export const streamWindow = 256 * 1024;
/** The same for a whole client connection, whose streams all go to one host. */
export const connectionWindow = 1024 * 1024;
/** Body bytes on their way from an upstream on one connection; they do not wait for their readers (see `streamWindow`). */
export const clientWindow = 1024 * 1024;
/** Requests on one connection to an upstream at a time, however many it takes. */
export const maxOwnStreams = 128;
/** Bytes of a dynamic table (RFC 7541), the peer's and ours. */
export const hpackTableSize = 4096;
/** Frames of one header block. */
export const maxContinuations = 64;
/**
 * Frames in a second that ask for work and carry no message: SETTINGS, PING, PRIORITY, empty DATA, unknown ones, and
 * WINDOW_UPDATE beyond two for each frame of data sent (CVE-2019-9511 to 9518).
 */
export const maxControlFrames = 1000;

/** Counts what happens within a second. */
export class Rate {
  readonly #limit: number;
  #since = 0;
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns false when it was once too often */
  count(): boolean {
    const now = performance.now();
    if (now - this.#since > 1000) {
      this.#since = now;
      this.#count = 0;
    }
    return ++this.#count <= this.#limit;
  }

  /** Allows so many more in this second. */
  allow(more: number): void {
    this.#count = Math.max(0, this.#count - more);
  }
}

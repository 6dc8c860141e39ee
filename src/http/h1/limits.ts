/** Limits of the HTTP/1.1 codec; `docs/limits.md` lists them with their owners. */
export interface H1Limits {
  /** Bytes of the request line or status line. Over it: 414 for a request. */
  readonly maxStartLine: number;
  /** Bytes of all header fields together, trailers counted anew. Over it: 431. */
  readonly maxHeaderBytes: number;
  /** Number of header fields. Over it: 431. */
  readonly maxHeaderCount: number;
  /** Bytes of one chunk header, extensions included. Over it: 400. */
  readonly maxChunkHeader: number;
}

export const defaultH1Limits: H1Limits = {
  maxStartLine: 16 * 1024,
  maxHeaderBytes: 64 * 1024,
  maxHeaderCount: 128,
  maxChunkHeader: 256,
};

import type { Authority } from "./authority.ts";

/** A request target taken apart (RFC 9112 section 3.2); nothing of it was decoded or moved. */
export interface Target {
  readonly form: "origin" | "absolute" | "authority" | "asterisk";
  /** Only in absolute form. */
  readonly scheme: "http" | "https" | undefined;
  /** In absolute and authority form. */
  readonly authority: Authority | undefined;
  /** Path as it goes upstream, byte for byte: `/` where an absolute form has none, empty for authority form. */
  readonly path: string;
  /** Without the question mark; `undefined` when there was none, empty for a bare `?`. */
  readonly query: string | undefined;
  /**
   * The form of `path` that rules see (I3): escapes of unreserved characters decoded, other escapes in upper
   * case. Equal for every spelling that RFC 3986 section 6.2.2 calls equivalent.
   */
  readonly canonicalPath: string;
}

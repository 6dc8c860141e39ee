/** A header block that cannot be decoded: the connection's state is lost with it (RFC 7541 section 3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

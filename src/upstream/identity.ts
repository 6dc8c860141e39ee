import type { SecureContext } from "node:tls";
import type { Authority } from "../http/authority.ts";

/** What TLS connections to a host are made with: whom we trust there, and who we say we are. */
export interface TlsIdentity {
  /** Connections and sessions of one identity are never used for another (I10). No space in it. */
  readonly id: string;
  readonly context: SecureContext;
}

/**
 * The identity for a host; `undefined` where it has none of its own.
 * @param certificate whether a client certificate may be presented
 * @throws {UpstreamError} client_certificate_unavailable, at once or later
 */
export type IdentityOf = (
  authority: Authority,
  certificate: boolean,
) => TlsIdentity | undefined | Promise<TlsIdentity | undefined>;

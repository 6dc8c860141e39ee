import type { Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import { LRUCache } from "lru-cache";
import type { Authority } from "../http/authority.ts";
import { UpstreamError } from "./error.ts";
import type { TlsIdentity } from "./identity.ts";

export interface HandshakeOptions {
  readonly authority: Authority;
  readonly alpn: readonly string[];
  /** In place of the roots that hold for all hosts. */
  readonly identity?: TlsIdentity | undefined;
  readonly signal: AbortSignal;
}

/** The client's side of TLS with upstreams and proxies: the peer is verified, always. */
export interface TlsClient {
  /**
   * @param socket connected; belongs to the TLS connection from now on, and is destroyed when this fails
   * @throws {UpstreamError} upstream_tls_failed, or the signal's reason
   */
  handshake(socket: Socket, options: HandshakeOptions): Promise<TLSSocket>;
  /** Handshakes that resumed a session. */
  readonly resumed: number;
}

/** Authorities whose last session is remembered (I12). */
const maxSessions = 1024;

/** @param secureContext roots, at least TLS 1.2; node's own when `undefined` */
export function createTlsClient(secureContext: SecureContext | undefined): TlsClient {
  const context = secureContext ?? createSecureContext({ minVersion: "TLSv1.2" });
  // A resumed handshake does not show the certificate again, so a session is good only for the name it was made with.
  const sessions = new LRUCache<string, Buffer>({ max: maxSessions });
  let resumed = 0;

  return {
    get resumed() {
      return resumed;
    },
    handshake(plain, { authority, alpn, identity, signal }) {
      // A session speaks for the client certificate it was made with, too.
      const key = identity === undefined ? authority.text : `${authority.text} ${identity.id}`;
      const session = sessions.get(key);
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          plain.destroy();
          reject(signal.reason as Error);
          return;
        }
        // Errors of the wrapped socket are reported by the TLS socket; nothing may be thrown for them besides.
        plain.on("error", ignore);
        const socket = connect({
          socket: plain,
          secureContext: identity?.context ?? context,
          // Says so even where NODE_TLS_REJECT_UNAUTHORIZED=0 is in the environment.
          rejectUnauthorized: true,
          // RFC 6066 section 3: no address in server_name. The certificate must then have the address.
          ...(authority.host.kind === "name" ? { servername: authority.host.name } : {}),
          host: authority.host.name,
          ALPNProtocols: [...alpn],
          ...(session ? { session } : {}),
        });
        const fail = (error: Error): void => {
          signal.removeEventListener("abort", onAbort);
          sessions.delete(key);
          socket.destroy();
          reject(error);
        };
        const onAbort = (): void => fail(signal.reason as Error);
        const onError = (error: Error): void => fail(tlsFailure(error, authority));
        const onClose = (): void => fail(tlsFailure(new Error("closed"), authority));
        signal.addEventListener("abort", onAbort);
        socket.on("error", onError);
        socket.on("close", onClose);
        // TLS 1.3 sends its tickets after the handshake, as often as it likes.
        socket.on("session", (ticket) => sessions.set(key, ticket));
        const onSecure = (): void => {
          // "error" or "close" follows, or has come.
          if (socket.destroyed) return;
          signal.removeEventListener("abort", onAbort);
          socket.off("error", onError);
          socket.off("close", onClose);
          if (socket.isSessionReused()) resumed++;
          resolve(socket);
        };
        // OpenSSL is still at work in this event: node crashes where the socket is reset in it, or in a promise of it.
        socket.once("secureConnect", () => setImmediate(onSecure));
      });
    },
  };
}

function ignore(): void {}

const addCa = "if it is meant to be trusted, add its CA with tls.upstream_ca";

/** In words: what the operator has to do about it. */
const certificateErrors: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: `is not trusted (self-signed); ${addCa}`,
  SELF_SIGNED_CERT_IN_CHAIN: `is not trusted (its root is not among the trusted ones); ${addCa}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `is not trusted (unknown issuer); ${addCa}`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `is not trusted (unknown issuer, or the server leaves out an intermediate); ${addCa}`,
  UNABLE_TO_GET_ISSUER_CERT: `is not trusted (incomplete chain); ${addCa}`,
  CERT_UNTRUSTED: `is not trusted; ${addCa}`,
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet; the clocks may differ",
  CERT_REVOKED: "is revoked",
  ERR_TLS_CERT_ALTNAME_INVALID: "is for other names",
  HOSTNAME_MISMATCH: "is for other names",
  INVALID_PURPOSE: "is not meant for servers",
  INVALID_CA: "was issued by a certificate that is no CA",
  CERT_SIGNATURE_FAILURE: "has a wrong signature",
  CA_MD_TOO_WEAK: "is signed with a hash that is too weak",
  EE_KEY_TOO_SMALL: "has a key that is too short",
};

/** Codes begin with these; the first that fits is taken. */
const handshakeErrors: readonly (readonly [prefix: string, text: string])[] = [
  ["ERR_SSL_UNSUPPORTED_PROTOCOL", "it does not speak TLS 1.2 or 1.3"],
  ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "it does not speak TLS 1.2 or 1.3"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS on this port"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "it does not speak TLS on this port"],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "it wants a client certificate"],
  ["ERR_SSL_TLSV1_UNRECOGNIZED_NAME", "it does not know this name"],
  [
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "it agrees to none of our ciphers, or wants a client certificate",
  ],
  ["ERR_SSL_", "the handshake failed"],
  ["ECONNRESET", "it closed the connection in the handshake"],
];

/** Puts an error of a TLS connection into words; also for alerts that arrive after the handshake. */
export function tlsFailure(error: Error, authority: Authority): UpstreamError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const name = authority.host.name;
  const certificate = certificateErrors[code];
  const handshake = handshakeErrors.find(([prefix]) => code.startsWith(prefix))?.[1];
  return new UpstreamError({
    reason: "upstream_tls_failed",
    leg: "tls",
    status: 502,
    message: certificate
      ? `The certificate of ${name} ${certificate}.`
      : `TLS with ${authority.text} failed: ${handshake ?? "it closed the connection in the handshake"}.`,
    detail: code === "" ? undefined : code,
  });
}

/** An error that OpenSSL reports on an established connection. */
export function isTlsError(error: Error): boolean {
  return ((error as NodeJS.ErrnoException).code ?? "").startsWith("ERR_SSL_");
}

// Ends TLS on an accepted connection whose ClientHello was read already.
import type { Socket } from "node:net";
import { TLSSocket, type SecureContext } from "node:tls";

export interface TerminateOptions {
  /** The leaf of the host that the connection is for. */
  readonly context: SecureContext;
  /** Application protocols spoken here, best first; a client that offers only others is refused (RFC 7301 3.2). */
  readonly alpn: readonly string[];
  /** From now to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
}

export type HandshakeFailure =
  /** The client does not accept our certificate. */
  | "untrusted"
  /** No TLS version, cipher suite or application protocol in common. */
  | "unsupported"
  | "timeout"
  /** The client left without a word. */
  | "closed"
  | "failed";

/** A handshake that came to nothing. The message is for the operator and holds no data of the client. */
export class TlsHandshakeError extends Error {
  override readonly name = "TlsHandshakeError";
  readonly failure: HandshakeFailure;
  /** Alert that the client sent, in OpenSSL's words: `unknown ca`. */
  readonly alert: string | undefined;

  constructor(failure: HandshakeFailure, message: string, alert?: string) {
    super(message);
    this.failure = failure;
    this.alert = alert;
  }
}

/**
 * Serves the TLS handshake with `options.context` on `socket`. `head` is what was read from the socket already;
 * nothing may be listening for the socket's data any more. Gives the TLS socket after the handshake. Rejects with
 * TlsHandshakeError, and `socket` is closed then.
 *
 * The TLS socket destroys itself on an error; its owner need only watch for `close`.
 */
export function terminate(socket: Socket, head: Buffer, options: TerminateOptions): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  if (socket.destroyed) {
    reject(closedEarly());
    return promise;
  }
  socket.pause();
  if (head.length > 0) socket.unshift(head);
  // Made directly, for a tls.Server chooses contexts by server name, which a client of an IP address does not send.
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: options.context,
    ...(options.alpn.length === 0 ? {} : { ALPNProtocols: [...options.alpn] }),
  });
  const fail = (error: TlsHandshakeError) => {
    settle();
    secure.destroy();
    reject(error);
  };
  const timer = setTimeout(() => {
    fail(new TlsHandshakeError("timeout", `no complete handshake in ${options.handshakeTimeoutMs} ms`));
  }, options.handshakeTimeoutMs).unref();
  const onSecure = () => {
    settle();
    takeOver(secure);
    resolve(secure);
  };
  const onError = (error: HandshakeError) => fail(explain(error, options.alpn));
  const onClose = () => fail(closedEarly());
  const settle = () => {
    clearTimeout(timer);
    secure.removeListener("secure", onSecure).removeListener("error", onError);
    secure.removeListener("end", onClose).removeListener("close", onClose);
  };
  // Stays: an error must neither go unheard nor leave the connection open, whoever owns it by then.
  secure.on("error", () => secure.destroy());
  secure.once("secure", onSecure).once("error", onError).once("end", onClose).once("close", onClose);
  return promise;
}

/**
 * Does what tls.Server does at this point. Without it errors after the handshake are swallowed and the connection
 * hangs, and http2.performServerHandshake waits for a handshake that is over.
 */
function takeOver(secure: TLSSocket): void {
  const internals = secure as unknown as { _releaseControl(): boolean; secureConnecting: boolean };
  internals._releaseControl();
  internals.secureConnecting = false;
}

interface HandshakeError extends NodeJS.ErrnoException {
  /** OpenSSL's text for the cause: `tlsv1 alert unknown ca`, `no shared cipher`. */
  readonly reason?: string;
}

function closedEarly(): TlsHandshakeError {
  return new TlsHandshakeError("closed", "the client closed the connection in the middle of the handshake");
}

/** Alerts of clients that reject a certificate (RFC 8446 6.2); which one is the client library's habit. */
const refusals = new Set(["unknown ca", "bad certificate", "certificate unknown", "unsupported certificate"]);

function explain(error: HandshakeError, alpn: readonly string[]): TlsHandshakeError {
  if (error.syscall !== undefined) return closedEarly(); // ECONNRESET, EPIPE
  const reason = error.reason ?? "";
  const alert = / alert (.+)$/.exec(reason)?.[1];
  if (alert !== undefined && refusals.has(alert)) {
    const message = `the client refused our certificate (${alert}); make it trust ca.crt`;
    return new TlsHandshakeError("untrusted", message, alert);
  }
  if (alert === "certificate expired") {
    const message = "the client finds our certificate expired; compare its clock with this machine's";
    return new TlsHandshakeError("untrusted", message, alert);
  }
  if (alert !== undefined) {
    return new TlsHandshakeError("failed", `the client ended the handshake (${alert})`, alert);
  }
  switch (reason) {
    case "unsupported protocol":
      return new TlsHandshakeError("unsupported", "the client speaks no TLS version from 1.2 up");
    case "no shared cipher":
    case "no suitable signature algorithm":
      return new TlsHandshakeError("unsupported", `no cipher suite in common (${reason})`);
    case "no application protocol":
      return new TlsHandshakeError("unsupported", `the client's ALPN offers none of ${alpn.join(", ")}`);
    case "":
      return new TlsHandshakeError("failed", "the handshake failed");
    default:
      return new TlsHandshakeError("failed", `the handshake failed (${reason})`);
  }
}

/** Alert descriptions (RFC 8446 6) for what is refused before a handshake. */
export const alerts = {
  handshakeFailure: 40,
  accessDenied: 49,
  decodeError: 50,
  internalError: 80,
  unrecognizedName: 112,
} as const;

/** Answers a ClientHello with a fatal alert, unencrypted as it must be then, and closes the connection. */
export function sendAlert(socket: Socket, alert: number): void {
  const fatal = 2;
  socket.end(Buffer.of(21, 3, 3, 0, 2, fatal, alert));
  socket.destroySoon();
}

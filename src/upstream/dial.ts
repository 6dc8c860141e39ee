import type { Socket } from "node:net";
import type { Authority } from "../http/authority.ts";
import { H1Error } from "../http/h1/errors.ts";
import type { H1Limits } from "../http/h1/limits.ts";
import { UpstreamError } from "./error.ts";
import type { ChooseProxy, ForwardProxy } from "./forward-proxy.ts";
import type { TlsIdentity } from "./identity.ts";
import type { Denial, Guard } from "./guard.ts";
import { ConnectRefusedError, openTunnel } from "./http-connect.ts";
import { PrefaceClosedError } from "./preface.ts";
import { type Resolver, resolveFailure } from "./resolver.ts";
import { openSocks5, Socks5Error } from "./socks5.ts";
import { connectTcp } from "./tcp.ts";
import type { TlsClient } from "./tls-client.ts";

export interface DialOptions {
  /** `exchange`: for HTTP, with TLS where the scheme says so; `stream`: the same, for another protocol; `raw`: never TLS. */
  readonly mode: "exchange" | "stream" | "raw";
  readonly alpn: readonly string[];
  /** For TLS with the upstream, where it has one of its own. */
  readonly identity?: TlsIdentity | undefined;
  /** Nobody wants the connection any more. */
  readonly signal: AbortSignal | undefined;
  /** The operator named this destination: the deny list is not for it, only the proxy's own listeners are. */
  readonly trusted?: boolean;
}

/** A connection as it was made. */
export interface Dialed {
  readonly socket: Socket;
  /** `ip:port` connected to. */
  readonly address: string;
  readonly tls: string | undefined;
  /** The HTTP proxy at the other end, which wants requests in absolute-form (RFC 9112 section 3.2.2). */
  readonly httpProxy: ForwardProxy | undefined;
}

/**
 * Makes a connection: resolve, check, connect, forward proxy, TLS.
 * @throws {UpstreamError}
 */
export type Dial = (scheme: "http" | "https", authority: Authority, options: DialOptions) => Promise<Dialed>;

export interface DialerOptions {
  readonly guard: Guard;
  readonly resolver: Resolver;
  readonly chooseProxy: ChooseProxy;
  readonly tlsClient: TlsClient;
  readonly connectMs: number;
  readonly limits: H1Limits;
}

/** How long our own view of a name is waited for where the forward proxy resolves it anyway. */
const localViewMs = 2000;

export function createDialer(dialer: DialerOptions): Dial {
  const { guard, resolver, tlsClient } = dialer;

  const checked = (
    authority: Authority,
    addresses: readonly string[],
    trusted: boolean,
  ): readonly string[] => {
    const allowed: string[] = [];
    let first: Denial | undefined;
    for (const address of addresses) {
      const denial = trusted
        ? guard.checkLoop(address, authority.port)
        : guard.check(address, authority.port);
      if (denial) first ??= denial;
      else allowed.push(address);
    }
    if (allowed.length === 0 && first) throw denialError(first, authority);
    return allowed;
  };

  const addressesOf = async (authority: Authority): Promise<readonly string[]> =>
    authority.host.kind === "name" ? resolver.resolve(authority.host.name) : [authority.host.name];

  /** The time to connect has to do for the look-up too, but whoever uses it up gets the blame. */
  const resolved = async (authority: Authority, signal: AbortSignal): Promise<readonly string[]> => {
    try {
      return await abortable(addressesOf(authority), signal);
    } catch (error) {
      const late = error instanceof UpstreamError && error.reason === "upstream_connect_timeout";
      throw late ? resolveFailure(authority.host.name, "the resolver did not answer in time") : error;
    }
  };

  const tcp = async (
    authority: Authority,
    addresses: readonly string[],
    mode: DialOptions["mode"],
    signal: AbortSignal,
  ): Promise<Socket> => {
    try {
      return await connectTcp(addresses, {
        port: authority.port,
        allowHalfOpen: mode !== "exchange",
        signal,
      });
    } catch (error) {
      throw error instanceof UpstreamError ? error : connectFailure(error as Error, authority);
    }
  };

  const direct = async (authority: Authority, options: DialOptions, signal: AbortSignal): Promise<Socket> => {
    const addresses = checked(authority, await resolved(authority, signal), options.trusted === true);
    return tcp(authority, addresses, options.mode, signal);
  };

  /**
   * What we know about the target's addresses where the forward proxy connects to it. A name that only the
   * proxy can resolve is the proxy's business; one that is known to be denied is refused here all the same.
   */
  const localView = async (authority: Authority, trusted: boolean): Promise<string | undefined> => {
    if (authority.host.kind !== "name") return checked(authority, [authority.host.name], trusted)[0];
    let addresses: readonly string[];
    try {
      addresses = await abortable(addressesOf(authority), AbortSignal.timeout(localViewMs));
    } catch {
      return undefined;
    }
    return checked(authority, addresses, trusted)[0];
  };

  const throughProxy = async (
    proxy: ForwardProxy,
    scheme: "http" | "https",
    authority: Authority,
    options: DialOptions,
    signal: AbortSignal,
  ): Promise<Dialed> => {
    const target = await localView(authority, options.trusted === true);
    let socket: Socket | undefined;
    try {
      const at = { host: proxy.host, port: proxy.port, text: `${proxy.host.name}:${proxy.port}` };
      socket = await direct(at, { ...options, trusted: true }, signal);
      const address = peerOf(socket);
      if (proxy.kind === "https") {
        socket = await tlsClient.handshake(socket, { authority: at, alpn: ["http/1.1"], signal });
      }
      if (proxy.kind === "socks5" || proxy.kind === "socks5h") {
        // socks5 is for addresses resolved here, but what cannot be resolved here may be known there.
        const host = proxy.kind === "socks5" ? (target ?? authority.host.name) : authority.host.name;
        await openSocks5(socket, proxy, host, authority.port, signal);
      } else if (scheme === "http" && options.mode === "exchange") {
        return { socket, address, tls: undefined, httpProxy: proxy };
      } else await openTunnel(socket, proxy, authority, dialer.limits, signal);
      return { socket, address, tls: undefined, httpProxy: undefined };
    } catch (error) {
      socket?.destroy();
      throw signal.aborted ? (signal.reason as Error) : proxyFailure(error as Error, authority);
    }
  };

  return async (scheme, authority, options) => {
    const connecting = withDeadline(dialer.connectMs, options.signal, () => connectTimeout(authority));
    let dialed: Dialed;
    try {
      const proxy = dialer.chooseProxy(scheme, authority);
      if (proxy) dialed = await throughProxy(proxy, scheme, authority, options, connecting.signal);
      else {
        const socket = await direct(authority, options, connecting.signal);
        dialed = { socket, address: peerOf(socket), tls: undefined, httpProxy: undefined };
      }
    } finally {
      connecting.done();
    }
    if (scheme === "http" || options.mode === "raw") return dialed;
    const shaking = withDeadline(dialer.connectMs, options.signal, () => tlsTimeout(authority));
    try {
      const { alpn, identity } = options;
      const handshake = { authority, alpn, identity, signal: shaking.signal };
      const socket = await tlsClient.handshake(dialed.socket, handshake);
      return { ...dialed, socket, tls: socket.getProtocol() ?? undefined };
    } finally {
      shaking.done();
    }
  };
}

/** A signal that aborts when the time is up or when `parent` does; `done` lets go of both. */
function withDeadline(
  ms: number,
  parent: AbortSignal | undefined,
  late: () => UpstreamError,
): { signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  const timer = Number.isFinite(ms) ? setTimeout(() => controller.abort(late()), ms) : undefined;
  const onAbort = (): void => controller.abort(parent?.reason);
  if (parent?.aborted) onAbort();
  parent?.addEventListener("abort", onAbort);
  return {
    signal: controller.signal,
    done() {
      clearTimeout(timer);
      parent?.removeEventListener("abort", onAbort);
    },
  };
}

/** Stops waiting when the signal aborts; what is waited for goes on for others. */
async function abortable<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([value, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function peerOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.includes(":") ? `[${address}]:${socket.remotePort}` : `${address}:${socket.remotePort}`;
}

function denialError({ reason, detail }: Denial, authority: Authority): UpstreamError {
  const message =
    reason === "proxy_loop"
      ? `${authority.text} is this proxy itself.`
      : `${authority.host.name} is at an address that this proxy does not connect to.`;
  return new UpstreamError({ reason, leg: "connect", status: 403, message, detail });
}

const connectErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there, or a firewall refuses",
  ECONNRESET: "the connection was reset",
  EHOSTUNREACH: "the host is unreachable",
  ENETUNREACH: "the network is unreachable",
  EADDRNOTAVAIL: "this machine has no free port or no address to connect from",
  EMFILE: "this proxy has no free file descriptor",
  EACCES: "the system does not allow it",
  EPERM: "the system does not allow it",
};

function connectFailure(error: Error, authority: Authority): UpstreamError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (code === "ETIMEDOUT") return connectTimeout(authority);
  return new UpstreamError({
    reason: "upstream_connect_failed",
    leg: "connect",
    status: 502,
    message: `No connection to ${authority.text}: ${connectErrors[code] ?? "it failed"}.`,
    detail: error.message,
    code,
  });
}

function connectTimeout(authority: Authority): UpstreamError {
  return new UpstreamError({
    reason: "upstream_connect_timeout",
    leg: "connect",
    status: 504,
    message: `${authority.text} did not accept a connection in time.`,
  });
}

function tlsTimeout(authority: Authority): UpstreamError {
  return new UpstreamError({
    reason: "upstream_tls_failed",
    leg: "tls",
    status: 504,
    message: `${authority.text} did not finish the TLS handshake in time.`,
  });
}

/** The proxy's name and address stay in the detail: they are none of the workload's business. */
function proxyFailure(error: Error, authority: Authority): UpstreamError {
  if (error instanceof UpstreamError && error.reason === "proxy_loop") {
    const message = "The forward proxy set for this proxy is this proxy itself.";
    return new UpstreamError({
      reason: "proxy_loop",
      leg: "proxy",
      status: 403,
      message,
      detail: error.detail,
    });
  }
  const isSafe =
    error instanceof ConnectRefusedError || error instanceof Socks5Error || error instanceof H1Error;
  const what = isSafe
    ? error.message
    : error instanceof PrefaceClosedError
      ? "it closed the connection"
      : "it cannot be reached";
  return new UpstreamError({
    reason: "upstream_proxy_failed",
    leg: "proxy",
    status: 502,
    message: `The forward proxy did not open a connection to ${authority.text}: ${what}.`,
    detail: error instanceof UpstreamError ? `${error.message} ${error.detail ?? ""}`.trim() : error.message,
  });
}

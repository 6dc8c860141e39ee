import { connect, isIPv6, type Socket } from "node:net";

export interface TcpOptions {
  readonly port: number;
  /** The other side may end its direction without ours being ended for it. */
  readonly allowHalfOpen: boolean;
  /** Aborted when nobody wants the connection any more, or time is up. */
  readonly signal: AbortSignal;
}

/** Head start of an attempt over the next one (RFC 8305 section 5). */
const headStartMs = 250;
/** Addresses tried of one name. */
const maxAttempts = 10;
const probeAfterMs = 30_000;

/**
 * Connects to the first address that answers, see {@link firstToConnect}.
 * @param addresses checked already; at least one
 */
export function connectTcp(addresses: readonly string[], options: TcpOptions): Promise<Socket> {
  const open = (host: string): Socket =>
    connect({
      host,
      port: options.port,
      allowHalfOpen: options.allowHalfOpen,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: probeAfterMs,
    });
  return firstToConnect(addresses, open, options.signal);
}

/**
 * Tries addresses, the families by turns and each with a head start over the next (RFC 8305), and gives the first
 * socket that connects; the others are destroyed.
 * @param open begins to connect
 * @throws the first attempt's error when all fail, or the signal's reason
 */
export function firstToConnect(
  addresses: readonly string[],
  open: (address: string) => Socket,
  signal: AbortSignal,
): Promise<Socket> {
  const queue = interleaved(addresses).slice(0, maxAttempts);
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const attempts = new Set<Socket>();
    let firstError: Error | undefined;
    let timer: NodeJS.Timeout | undefined;

    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      for (const socket of attempts) socket.destroy();
      attempts.clear();
      queue.length = 0;
    };
    const onAbort = (): void => {
      settle();
      reject(signal.reason as Error);
    };
    const next = (): void => {
      clearTimeout(timer);
      const address = queue.shift();
      if (address !== undefined) {
        attempt(address);
        if (queue.length > 0) timer = setTimeout(next, headStartMs);
      } else if (attempts.size === 0) {
        settle();
        reject(firstError);
      }
    };
    const attempt = (address: string): void => {
      const socket = open(address);
      attempts.add(socket);
      const onError = (error: Error): void => {
        if (!attempts.delete(socket)) return;
        firstError ??= error;
        next();
      };
      // Stays when the attempt has lost: a socket destroyed while it connects may still report an error.
      socket.on("error", onError);
      socket.once("connect", () => {
        if (!attempts.delete(socket)) return;
        settle();
        socket.off("error", onError);
        resolve(socket);
      });
    };
    signal.addEventListener("abort", onAbort);
    next();
  });
}

/** Families by turns, beginning with that of the first address (RFC 8305 section 4). */
function interleaved(addresses: readonly string[]): string[] {
  const first = addresses.filter((address) => isIPv6(address) === isIPv6(addresses[0] ?? ""));
  const second = addresses.filter((address) => !first.includes(address));
  const longest = Math.max(first.length, second.length);
  const result: string[] = [];
  for (let index = 0; index < longest; index++) {
    for (const family of [first, second]) {
      const address = family[index];
      if (address !== undefined) result.push(address);
    }
  }
  return result;
}

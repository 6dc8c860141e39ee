import type { Socket } from "node:net";

/** A connection that speaks HTTP, whatever version. */
export interface HttpConnection {
  /** Takes no more requests, and closes when those under way are answered. */
  drain(): void;
}

/** Every open client connection: the limit on their number, and the drain. */
export class Connections {
  /** Connections at a time; those that are open stay when it shrinks. */
  limit: number;
  /** Connections taken so far. */
  accepted = 0;
  readonly #sockets = new Set<Socket>();
  readonly #http = new Set<HttpConnection>();
  #draining = false;
  #onEmpty: (() => void) | undefined;

  constructor(limit: number) {
    this.limit = limit;
  }

  get size(): number {
    return this.#sockets.size;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Counts a connection that was accepted; false when there are too many and it has to be closed. */
  admit(socket: Socket): boolean {
    if (this.#draining || this.#sockets.size >= this.limit) return false;
    this.accepted++;
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#onEmpty?.();
    });
    return true;
  }

  /** A connection speaks HTTP from now on and can be drained. */
  serve(connection: HttpConnection): void {
    this.#http.add(connection);
    if (this.#draining) connection.drain();
  }

  forget(connection: HttpConnection): void {
    this.#http.delete(connection);
  }

  /**
   * Lets exchanges under way finish; whatever is still open after `timeoutMs` is cut.
   * @returns number of connections that had to be cut
   */
  async drain(timeoutMs: number): Promise<number> {
    this.#draining = true;
    for (const connection of this.#http) connection.drain();
    if (this.#sockets.size === 0) return 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    const left = this.#sockets.size;
    if (left === 0) return 0;
    const cut = Promise.withResolvers<void>();
    this.#onEmpty = cut.resolve;
    for (const socket of this.#sockets) socket.destroy();
    await cut.promise;
    // What is inside TLS learns of it a little later; whoever was cut has its record written then (I13).
    await new Promise(setImmediate);
    return left;
  }
}

import type { UpstreamConnection } from "./connection.ts";
import type { UpstreamLimits } from "./types.ts";

/**
 * Unused connections, the last used first: it is the least likely to have been closed meanwhile, and the
 * others grow old and go. Those in use are not limited here; each belongs to a client connection, and those are.
 */
export class Pool {
  readonly #limits: UpstreamLimits;
  readonly #stacks = new Map<string, UpstreamConnection[]>();
  /** All that are in a stack, the longest unused first. */
  readonly #idle = new Set<UpstreamConnection>();
  #settling: UpstreamConnection[] = [];
  #closed = false;

  constructor(limits: UpstreamLimits) {
    this.#limits = limits;
  }

  /** Connections that the next request may have. */
  get idle(): number {
    return this.#idle.size;
  }

  /** Connections that nothing is on, but whose turn has not ended. */
  get settling(): number {
    return this.#settling.length;
  }

  take(key: string): UpstreamConnection | undefined {
    const stack = this.#stacks.get(key);
    if (stack === undefined) return undefined;
    for (;;) {
      const connection = stack.pop();
      if (stack.length === 0) this.#stacks.delete(key);
      if (connection === undefined) return undefined;
      this.#idle.delete(connection);
      if (connection.usable) return connection;
      connection.destroy();
    }
  }

  /**
   * Takes a connection back, to be used from the next turn of the event loop on. By then everything that arrived
   * together with its last response was looked at, so a response that nobody asked for is not taken for the next
   * one's (attack 32).
   */
  settle(connection: UpstreamConnection): void {
    if (this.#closed) {
      connection.destroy();
      return;
    }
    if (this.#settling.push(connection) === 1) setImmediate(this.#settled);
  }

  /** Forgets a connection that is gone. */
  remove(connection: UpstreamConnection): void {
    if (!this.#idle.delete(connection)) return;
    const stack = this.#stacks.get(connection.key);
    if (stack === undefined) return;
    stack.splice(stack.indexOf(connection), 1);
    if (stack.length === 0) this.#stacks.delete(connection.key);
  }

  /** Closes what is unused, and from now on everything that becomes so. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#idle, ...this.#settling]) connection.destroy();
    this.#idle.clear();
    this.#stacks.clear();
  }

  readonly #settled = (): void => {
    const connections = this.#settling;
    this.#settling = [];
    for (const connection of connections) {
      if (connection.usable && !this.#closed) this.#keep(connection);
      else connection.destroy();
    }
  };

  #keep(connection: UpstreamConnection): void {
    const { idlePerHost, idleTotal } = this.#limits;
    if (idlePerHost < 1 || idleTotal < 1) {
      connection.destroy();
      return;
    }
    const stack = this.#stacks.get(connection.key);
    const oldest = stack !== undefined && stack.length >= idlePerHost ? stack[0] : undefined;
    if (oldest !== undefined) this.#drop(oldest);
    else if (this.#idle.size >= idleTotal) this.#dropOldest();
    connection.rest();
    this.#idle.add(connection);
    const current = this.#stacks.get(connection.key);
    if (current === undefined) this.#stacks.set(connection.key, [connection]);
    else current.push(connection);
  }

  #dropOldest(): void {
    for (const connection of this.#idle) {
      this.#drop(connection);
      return;
    }
  }

  #drop(connection: UpstreamConnection): void {
    this.remove(connection);
    connection.destroy();
  }
}

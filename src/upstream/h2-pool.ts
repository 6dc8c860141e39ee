import { LRUCache } from "lru-cache";
import type { ClientExchange } from "./exchange.ts";
import type { H2Connection } from "./h2-connection.ts";

/** What an upstream was seen to speak, where that decides how it is dialled. */
export type Spoken = "http/1.1" | "h2" | "only h2" | "only http/1.1";

/** Upstreams whose version is remembered (I12). */
const maxKnown = 1024;
/** An upstream that was changed is seen to have been, after a while. */
const keepKnownMs = 600_000;

/** Connections that speak HTTP/2, and the exchanges that wait for one to be made. */
export class H2Pool {
  readonly #connections = new Map<string, H2Connection[]>();
  readonly #idle = new Set<H2Connection>();
  readonly #idleTotal: number;
  /** Exchanges that share a connection which is being made, by its key. */
  readonly #waiting = new Map<string, ClientExchange[]>();
  readonly #known = new LRUCache<string, Spoken>({ max: maxKnown, ttl: keepKnownMs });

  constructor(idleTotal: number) {
    this.#idleTotal = idleTotal;
  }

  /** Every connection that takes exchanges. */
  get connections(): H2Connection[] {
    return [...this.#connections.values()].flat();
  }

  /** Connections that nothing is on. */
  get idle(): number {
    return this.#idle.size;
  }

  /** @param origin host and port, and what else decides whom the connection is with */
  spoken(origin: string): Spoken | undefined {
    return this.#known.get(origin);
  }

  learn(origin: string, spoken: Spoken): void {
    this.#known.set(origin, spoken);
  }

  /**
   * A connection that takes another exchange now.
   * @param tunnels the server has said that it takes extended CONNECT
   */
  take(key: string, tunnels = false): H2Connection | undefined {
    const fits = ({ http }: H2Connection) => http.free && (!tunnels || http.takesConnect === true);
    const connection = this.#connections.get(key)?.find(fits);
    if (connection !== undefined) this.#idle.delete(connection);
    return connection;
  }

  /** Waits for the connection that is being made; false when none is, and the caller makes it. */
  join(key: string, exchange: ClientExchange): boolean {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) waiting.push(exchange);
    else this.#waiting.set(key, []);
    return waiting !== undefined;
  }

  /** The connection was made, or could not be: gives those who waited for it. */
  land(key: string): ClientExchange[] {
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    return waiting.filter(({ over }) => !over);
  }

  add(connection: H2Connection): void {
    const same = this.#connections.get(connection.key);
    if (same === undefined) this.#connections.set(connection.key, [connection]);
    else same.push(connection);
  }

  /** Keeps a connection that nothing is on; the longest unused one goes when there are too many. */
  rest(connection: H2Connection): void {
    this.#idle.add(connection);
    if (this.#idle.size <= this.#idleTotal) return;
    for (const oldest of this.#idle) {
      oldest.retire();
      return;
    }
  }

  /** Forgets a connection that takes no more exchanges. */
  remove(connection: H2Connection): void {
    this.#idle.delete(connection);
    const same = this.#connections.get(connection.key);
    const at = same?.indexOf(connection) ?? -1;
    if (same === undefined || at < 0) return;
    same.splice(at, 1);
    if (same.length === 0) this.#connections.delete(connection.key);
  }
}

import { lookup as systemLookup, Resolver as StubResolver } from "node:dns/promises";
import { isIP } from "node:net";
import { LRUCache } from "lru-cache";
import { UpstreamError } from "./error.ts";

/** Turns names into addresses; nobody else in the proxy resolves upstream names (I11). */
export interface Resolver {
  /**
   * Addresses of a canonical name, IPv4 and IPv6, in the order to try them; never empty.
   * @throws {UpstreamError} upstream_resolve_failed
   */
  resolve(name: string): readonly string[] | Promise<readonly string[]>;
  close(): void;
}

export interface ResolverOptions {
  /** `ip:port`, `[ip]:port` or `ip` of a DNS server; `undefined` means the system's resolver, hosts file included. */
  readonly server: string | undefined;
  /** Milliseconds for one name. */
  readonly timeoutMs: number;
  /**
   * Milliseconds an answer is kept. The system's resolver tells no TTL, so this is short: long enough to spare a burst
   * of connections the look-up, too short for anyone to notice that a name has moved.
   */
  readonly keepMs: number;
}

/** Names remembered, and names being looked up (I12); more of the latter are refused. */
const maxKept = 1024;
const maxPending = 256;
/** How much longer the other family is waited for once one has answered (RFC 8305 section 3). */
const otherFamilyMs = 50;

/** RFC 6761 section 6.3: these never go to a DNS server, whose answer could be any address. */
const loopback = ["127.0.0.1", "::1"];

/**
 * @throws {TypeError} when `server` is not an address with an optional port
 */
export function createResolver(options: ResolverOptions): Resolver {
  const ask =
    options.server === undefined ? { query: askSystem, close() {} } : askServer(options.server, options);
  const kept = new LRUCache<string, readonly string[]>({ max: maxKept, ttl: options.keepMs });
  const pending = new Map<string, Promise<readonly string[]>>();

  const start = async (name: string): Promise<readonly string[]> => {
    try {
      const addresses = await inTime(ask.query(name), options.timeoutMs);
      if (addresses.length === 0) throw resolveFailure(name, "it has no address");
      kept.set(name, addresses);
      return addresses;
    } catch (error) {
      throw error instanceof UpstreamError ? error : resolveFailure(name, why(error), codeOf(error));
    } finally {
      pending.delete(name);
    }
  };

  return {
    resolve(name) {
      if (name === "localhost" || name.endsWith(".localhost")) return loopback;
      const known = kept.get(name) ?? pending.get(name);
      if (known !== undefined) return known;
      if (pending.size >= maxPending) throw resolveFailure(name, "too many other names are being resolved");
      const flight = start(name);
      pending.set(name, flight);
      return flight;
    },
    close() {
      kept.clear();
      ask.close();
    },
  };
}

interface Queries {
  query(name: string): Promise<readonly string[]>;
  close(): void;
}

/** getaddrinfo occupies a thread of libuv's pool, which gives such slow work half of its threads at most. */
async function askSystem(name: string): Promise<readonly string[]> {
  const answers = await systemLookup(name, { all: true, order: "verbatim" });
  return answers.map(({ address }) => address);
}

function askServer(server: string, { timeoutMs }: ResolverOptions): Queries {
  const stub = new StubResolver({ timeout: Math.max(250, Math.floor(timeoutMs / 4)), tries: 3 });
  try {
    if (isIP(server) === 0 && !/^(?:[0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$/.test(server))
      throw new TypeError();
    stub.setServers([server]);
  } catch {
    throw new TypeError(
      `${JSON.stringify(server)} is not the address of a DNS server; write IP:PORT, such as 10.0.0.2:53`,
    );
  }
  return {
    async query(name) {
      const v6 = settled(stub.resolve6(name));
      const v4 = settled(stub.resolve4(name));
      const first = await Promise.race([v6, v4]);
      if (first.addresses.length > 0) {
        await Promise.race([Promise.all([v6, v4]), pause(otherFamilyMs)]);
        const [six, four] = await Promise.all([soFar(v6), soFar(v4)]);
        return [...six.addresses, ...four.addresses];
      }
      const [six, four] = await Promise.all([v6, v4]);
      const addresses = [...six.addresses, ...four.addresses];
      // A name without AAAA is normal, so it is the A record's error that says what is wrong.
      if (addresses.length === 0) throw four.error;
      return addresses;
    },
    close: () => stub.cancel(),
  };
}

interface Settled {
  readonly addresses: readonly string[];
  readonly error?: unknown;
}

async function settled(query: Promise<string[]>): Promise<Settled> {
  try {
    return { addresses: await query };
  } catch (error) {
    return { addresses: [], error };
  }
}

/** What a query has answered by now. */
function soFar(query: Promise<Settled>): Promise<Settled> {
  return Promise.race([query, Promise.resolve({ addresses: [] })]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

class ResolveTimeout extends Error {}

async function inTime<Value>(value: Promise<Value>, ms: number): Promise<Value> {
  if (!Number.isFinite(ms)) return value;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ResolveTimeout()), ms);
  });
  try {
    return await Promise.race([value, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param what ends the sentence "NAME could not be resolved: ..." */
export function resolveFailure(name: string, what: string, detail?: string): UpstreamError {
  return new UpstreamError({
    reason: "upstream_resolve_failed",
    leg: "resolve",
    status: 502,
    message: `${name} could not be resolved: ${what}.`,
    detail,
  });
}

function why(error: unknown): string {
  if (error instanceof ResolveTimeout) return "the resolver did not answer in time";
  switch (codeOf(error)) {
    case "ENOTFOUND":
    case "ENODATA":
      return "no such name";
    case "ETIMEOUT":
    case "EAI_AGAIN":
      return "the resolver did not answer";
    case "ESERVFAIL":
      return "the resolver failed";
    case "ECONNREFUSED":
      return "the resolver cannot be reached";
    case "EREFUSED":
      return "the resolver refused to answer";
    default:
      return "the resolver gave no usable answer";
  }
}

function codeOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

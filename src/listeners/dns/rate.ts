import { LRUCache } from "lru-cache";
import { addressBytes } from "../../http/ip-literal.ts";

/** Says of each query whether it may be answered. */
export interface RateLimit {
  /** @param address of the client */
  take(address: string): boolean;
}

export interface RateOptions {
  /** Queries a second in all, and of one client; a client that was quiet may send a second's worth at once. */
  readonly inAll: number;
  readonly perClient: number;
  /** Milliseconds on a clock that does not jump; for tests. */
  readonly now?: () => number;
}

/** Clients whose rate is remembered (I12); one that was forgotten begins anew, within the rate of all. */
const maxClients = 4096;

interface Bucket {
  tokens: number;
  filledAt: number;
}

export function createRateLimit({ inAll, perClient, now = () => performance.now() }: RateOptions): RateLimit {
  const all: Bucket = { tokens: inAll, filledAt: now() };
  const clients = new LRUCache<string, Bucket>({ max: maxClients });
  const draw = (bucket: Bucket, rate: number, time: number): boolean => {
    bucket.tokens = Math.min(rate, bucket.tokens + ((time - bucket.filledAt) / 1000) * rate);
    bucket.filledAt = time;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  };
  return {
    take(address) {
      const time = now();
      const key = clientKey(address);
      let bucket = clients.get(key);
      if (bucket === undefined) {
        bucket = { tokens: perClient, filledAt: time };
        clients.set(key, bucket);
      }
      // One client over its rate does not use up that of all.
      return draw(bucket, perClient, time) && draw(all, inAll, time);
    },
  };
}

/** A client may have as many IPv6 addresses of its /64 as it likes. */
function clientKey(address: string): string {
  const bytes = addressBytes(address);
  return bytes?.length === 16 ? Buffer.from(bytes.subarray(0, 8)).toString("hex") : address;
}

// Proxy-Authorization ──▶ who sends the request. A token is verified once and remembered until it expires.
import { LRUCache } from "lru-cache";
import type { Caller } from "../pipeline/types.ts";
import type { SigningKeys } from "./keys.ts";
import { maxTokenLength, tokenPrefix, verifyToken } from "./token.ts";

/** Decides who a request is from, by the keys and the configuration of one load. */
export interface CallerGate {
  /**
   * Checks the value of `Proxy-Authorization`: `Basic` with a token as password (RFC 7617) or `Bearer` with a token
   * (RFC 6750).
   * @returns the caller; `true` for anyone where nothing has to be proved; `false` for everything else, whatever is wrong
   */
  authenticate(proxyAuthorization: string | undefined): Caller | boolean;
  /** Whether what a connection has proved, perhaps to an earlier gate, still holds: tunnels may outlive their token. */
  stands(caller: Caller | undefined): boolean;
}

export interface CallerGateOptions {
  /** `undefined` where no key is configured: then no token can be right. */
  readonly keys: SigningKeys | undefined;
  /** `proxy.require_caller` */
  readonly required: boolean;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Callers remembered (I12). Only who has a valid token gets in. */
const maxRemembered = 1024;
/** Longest header value that is looked at: base64 makes a token a third longer, and there is a user name. */
const maxHeaderLength = maxTokenLength * 2;

export function callerGate({ keys, required, now = Date.now }: CallerGateOptions): CallerGate {
  const accepted = [keys?.current, keys?.previous].filter((key) => key !== undefined);
  const ids = new Set(accepted.map(({ id }) => id));
  // Found by the whole value: a table with a secret hash seed tells nothing of how much of a guess was right.
  const remembered = new LRUCache<string, Caller>({ max: maxRemembered });

  const isLive = ({ proof }: Caller): boolean => proof !== undefined && proof.expiresAt > now();

  const verify = (token: string): Caller | false => {
    for (const { key, id } of accepted) {
      const claims = verifyToken(token, key, now());
      if (claims === undefined) continue;
      const { name, tools, expiresAt } = claims;
      return { name, tools, proof: { expiresAt: expiresAt * 1000, keyId: id } };
    }
    return false;
  };

  return {
    authenticate(proxyAuthorization) {
      if (proxyAuthorization === undefined) return !required;
      const known = remembered.get(proxyAuthorization);
      if (known !== undefined) return isLive(known) && known;
      if (proxyAuthorization.length > maxHeaderLength) return false;
      const token = tokenIn(proxyAuthorization);
      // Without a key other credentials for a proxy mean nothing here, as in iron-proxy; a token cannot be checked.
      if (keys === undefined) return !required && token?.startsWith(`${tokenPrefix}.`) !== true;
      const caller = token !== undefined && verify(token);
      if (caller !== false) remembered.set(proxyAuthorization, caller);
      return caller;
    },
    stands: (caller) =>
      caller?.proof === undefined ? !required : ids.has(caller.proof.keyId) && isLive(caller),
  };
}

/** The token of either scheme; the names of schemes have no case (RFC 9110 section 11.1). */
function tokenIn(proxyAuthorization: string): string | undefined {
  const [, scheme = "", credentials = ""] = /^(basic|bearer) +([\w.~+/=-]+)$/i.exec(proxyAuthorization) ?? [];
  if (scheme === "") return undefined;
  if (scheme.toLowerCase() === "bearer") return credentials;
  const pair = Buffer.from(credentials, "base64").toString("latin1");
  const colon = pair.indexOf(":");
  return colon < 0 ? undefined : pair.slice(colon + 1);
}

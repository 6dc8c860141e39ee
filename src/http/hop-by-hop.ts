import type { Headers } from "./headers.ts";

/** Fields that belong to one connection (RFC 9110 section 7.6.1), and those older software treats so. */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "upgrade",
]);

/** Fields that `Connection` may name without any effect: dropping them would change what the message says. */
const notRemovable = new Set(["host", "content-length", "transfer-encoding"]);

/**
 * Removes what must not travel on: hop-by-hop fields and those that `Connection` names. `TE` keeps its only end
 * to end meaning, `trailers`. Framing fields stay where they are; the writer makes their values anew (I9).
 *
 * Runs before any credential is attached: `Connection: authorization` removes the workload's own field, never
 * the credential (I6, attack 38).
 */
export function stripHopByHop(headers: Headers): void {
  let named: string[] | undefined;
  for (let index = headers.size - 1; index >= 0; index--) {
    const key = headers.keyAt(index);
    if (!hopByHop.has(key)) continue;
    const value = headers.valueAt(index);
    if (key === "te" && hasToken(value, "trailers")) {
      headers.setValueAt(index, "trailers");
      continue;
    }
    if (key === "connection" && value !== "keep-alive" && value !== "close") {
      named = [...(named ?? []), ...tokens(value)];
    }
    headers.removeAt(index);
  }
  if (named === undefined) return;
  for (const name of named) {
    if (!notRemovable.has(name) && name !== "te") headers.delete(name);
  }
}

/**
 * Whether these fields say that the connection speaks this protocol from now on, or is asked to: `Upgrade` names it, and
 * `Connection` says that `Upgrade` is meant for this connection (RFC 9110 section 7.8).
 * @param protocol in lower case
 */
export function switchesTo(headers: Headers, protocol: string): boolean {
  return fieldHasToken(headers, "upgrade", protocol) && fieldHasToken(headers, "connection", "upgrade");
}

/** Whether any field of this name has the token in its list; `key` and `token` are lower case. */
export function fieldHasToken(headers: Headers, key: string, token: string): boolean {
  for (let index = headers.indexOf(key); index >= 0; index = headers.indexOf(key, index + 1)) {
    if (hasToken(headers.valueAt(index), token)) return true;
  }
  return false;
}

/** Members of a comma list of tokens, in lower case (RFC 9110 section 5.6.1). */
export function tokens(value: string): string[] {
  return value
    .split(",")
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "");
}

/** True when the list has the token; parameters do not count. */
export function hasToken(value: string, token: string): boolean {
  return tokens(value).some((member) => member === token || member.startsWith(`${token};`));
}

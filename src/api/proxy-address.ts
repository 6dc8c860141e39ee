import type { Config } from "../config/types.ts";

/** Where sandboxes find the proxy. */
export interface ProxyAddress {
  /** Host in the spellings that clients compare with NO_PROXY. */
  readonly names: readonly string[];
  urlWith(token: string | undefined): string;
}

/** A URL that is none of a proxy. The message says what one looks like and repeats nothing of it. */
export class ProxyAddressError extends Error {
  override readonly name = "ProxyAddressError";
}

const advice = "write http://HOST:PORT, without a user; the token is put there";

/** @throws {ProxyAddressError} */
export function proxyAddress(text: string): ProxyAddress {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new ProxyAddressError(`the proxy's address is no URL; ${advice}`);
  }
  if (
    url.username !== "" ||
    url.password !== "" ||
    url.pathname !== "/" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw new ProxyAddressError(`the proxy's address has more than a host and a port; ${advice}`);
  }
  const { protocol, host, hostname } = url;
  const port = url.port === "" ? `:${protocol === "https:" ? 443 : 80}` : "";
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    names: bare === hostname ? [hostname] : [bare, hostname],
    urlWith: (token) => `${protocol}//${token === undefined ? "" : `sbx:${token}@`}${host}${port}`,
  };
}

/**
 * The address of a configuration's tunnel listener as seen from this machine.
 * @throws {ProxyAddressError} where the configuration does not say which port it is
 */
export function addressOf({ proxy }: Config): ProxyAddress {
  const at = proxy.tunnelListen;
  if (at === "off" || at.port === 0) {
    throw new ProxyAddressError(
      "the configuration has no tunnel listener on a fixed port; name the proxy with --proxy",
    );
  }
  const host = at.host === undefined || at.host === "0.0.0.0" || at.host === "::" ? "127.0.0.1" : at.host;
  return proxyAddress(`http://${host.includes(":") ? `[${host}]` : host}:${at.port}`);
}

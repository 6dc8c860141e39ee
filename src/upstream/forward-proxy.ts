import { type Authority, type Host, hostFromConfig, isLoopbackHost } from "../http/authority.ts";
import { addressForms, findNetwork, type Network, parseNetwork } from "./network.ts";
import type { ForwardProxyOptions } from "./types.ts";

/** A proxy of the operator's network that upstreams are reached through. */
export interface ForwardProxy {
  readonly kind: "http" | "https" | "socks5" | "socks5h";
  readonly host: Host;
  readonly port: number;
  readonly credentials: ProxyCredentials | undefined;
}

/** User name and password of a forward proxy's URL; private, so that no inspection shows them (I14). */
export class ProxyCredentials {
  readonly #username: string;
  readonly #password: string;

  constructor(username: string, password: string) {
    this.#username = username;
    this.#password = password;
  }

  /** Value of a Proxy-Authorization field (RFC 7617 section 2). */
  basic(): string {
    return `Basic ${Buffer.from(`${this.#username}:${this.#password}`, "utf8").toString("base64")}`;
  }

  /**
   * Message of the user name and password method (RFC 1929 section 2).
   * @throws {RangeError} when one of them has no place in it
   */
  socks(): Buffer {
    const username = Buffer.from(this.#username, "utf8");
    const password = Buffer.from(this.#password, "utf8");
    if (username.length > 255 || password.length > 255) {
      throw new RangeError("SOCKS5 takes user names and passwords of up to 255 bytes");
    }
    return Buffer.concat([Buffer.of(1, username.length), username, Buffer.of(password.length), password]);
  }
}

/** Says which forward proxy a connection goes through; `undefined` is straight to the upstream. */
export type ChooseProxy = (scheme: "http" | "https", authority: Authority) => ForwardProxy | undefined;

/**
 * @throws {TypeError} for a proxy URL that cannot be used; the message has no part of it (I14)
 */
export function createChooser(options: ForwardProxyOptions): ChooseProxy {
  const http = parseProxy(options.httpProxy, "http_proxy");
  const https = parseProxy(options.httpsProxy, "https_proxy");
  const direct = parseNoProxy(options.noProxy ?? "");
  return (scheme, authority) => {
    const proxy = scheme === "http" ? http : https;
    // A forward proxy's localhost is another machine, so these never mean one behind it.
    if (proxy === undefined || isLoopbackHost(authority.host) || direct(authority)) return undefined;
    return proxy;
  };
}

const defaultPorts = { http: 80, https: 443, socks5: 1080, socks5h: 1080 } as const;

function parseProxy(text: string | undefined, key: string): ForwardProxy | undefined {
  if (text === undefined || text === "") return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  const kind = url?.protocol.slice(0, -1);
  if (!url || !(kind === "http" || kind === "https" || kind === "socks5" || kind === "socks5h")) {
    throw new TypeError(
      `proxy.upstream_proxy.${key} is not a URL such as http://proxy.example.com:3128; the schemes are http, https, socks5 and socks5h`,
    );
  }
  try {
    return {
      kind,
      host: hostFromConfig(url.hostname),
      port: url.port === "" ? defaultPorts[kind] : Number(url.port),
      credentials: credentialsOf(url),
    };
  } catch {
    throw new TypeError(`proxy.upstream_proxy.${key} names a host, or has escapes, that are not valid`);
  }
}

function credentialsOf(url: URL): ProxyCredentials | undefined {
  if (url.username === "" && url.password === "") return undefined;
  return new ProxyCredentials(decodeURIComponent(url.username), decodeURIComponent(url.password));
}

type MatchAuthority = (authority: Authority) => boolean;

/**
 * Comma list of `*`, addresses, networks in CIDR notation, names (which stand for their subdomains too), and `.suffix`
 * or `*.suffix` (subdomains only); each but a network may end in `:port`. An entry that is none of these matches nothing:
 * the list mostly comes from an environment that was made for other programs.
 */
function parseNoProxy(list: string): MatchAuthority {
  const entries = list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .map((entry) => parseEntry(entry.toLowerCase()));
  return (authority) => entries.some((matches) => matches(authority));
}

function parseEntry(entry: string): MatchAuthority {
  if (entry === "*") return () => true;
  const network = networkOf(entry);
  if (network) return ({ host }) => host.kind !== "name" && holds(network, host);
  const [, text = entry, portText] = /^(\[[^\]]*\]|[^:]*):([0-9]+)$/.exec(entry) ?? [];
  const port = portText === undefined ? undefined : Number(portText);
  const matches = matchHost(text);
  return (authority) => (port === undefined || port === authority.port) && matches(authority.host);
}

function networkOf(entry: string): Network | undefined {
  if (!entry.includes("/")) return undefined;
  try {
    return parseNetwork(entry);
  } catch {
    return undefined;
  }
}

function holds(network: Network, host: Host): boolean {
  return findNetwork([network], addressForms(host.name).slice(0, 1)) !== undefined;
}

function matchHost(text: string): (host: Host) => boolean {
  const subdomainsOnly = text.startsWith(".") || text.startsWith("*.");
  const host = hostOf(text.replace(/^\*?\./, ""));
  if (host === undefined) return () => false;
  if (host.kind !== "name") return ({ name }) => !subdomainsOnly && name === host.name;
  return ({ name }) => name.endsWith(`.${host.name}`) || (!subdomainsOnly && name === host.name);
}

function hostOf(text: string): Host | undefined {
  try {
    return hostFromConfig(text);
  } catch {
    return undefined;
  }
}

import { domainToASCII, domainToUnicode } from "node:url";
import { addressBytes, addressText } from "./ip-literal.ts";
import { mixesScripts } from "./scripts.ts";

/** A host in canonical form: the only spelling that is compared, dialled, logged and certified (I1). */
export interface Host {
  /** Lower case, no trailing dot, no brackets: `api.example.com`, `192.0.2.1`, `2001:db8::1`. */
  readonly name: string;
  readonly kind: "name" | "ipv4" | "ipv6";
}

/** The one verified `host:port` that a request is for (I1). */
export interface Authority {
  readonly host: Host;
  readonly port: number;
  /** `host:port`, IPv6 in brackets; equal authorities have equal text. */
  readonly text: string;
}

/** A host or authority that is refused. The message says what is wrong and never repeats what was sent. */
export class AuthorityError extends Error {
  override readonly name = "AuthorityError";
}

export const defaultPorts = { http: 80, https: 443 } as const;

/**
 * Host of a message, a tunnel or a ClientHello, in canonical form. It is checked against a grammar (letters,
 * digits, hyphen and underscore in labels, RFC 1123 section 2.1; IP literals, RFC 3986 section 3.2.2) and refused, never
 * repaired: every repair is a second spelling that some other parser reads differently (attacks 7 to 13).
 *
 * @param text `api.example.com`, `192.0.2.1`, `[2001:db8::1]`, or an IPv6 address without brackets
 * @throws AuthorityError
 */
export function parseHost(text: string): Host {
  if (text.startsWith("[")) return bracketedHost(text);
  const address = text.includes(":") ? addressBytes(text) : undefined;
  if (address) return hostOfAddress(address);
  return namedHost(text);
}

/**
 * Authority as Host, `:authority`, CONNECT and absolute-form targets carry it (RFC 9110 section 7.2).
 *
 * @param defaultPort filled in where the text has no port; `undefined` makes a port mandatory
 * @throws AuthorityError
 */
export function parseAuthority(text: string, defaultPort: number | undefined): Authority {
  const known = seen.get(text);
  if (known && (known.hasPort || known.authority.port === defaultPort)) return known.authority;
  // The text is mostly a slice of a whole request head; a copy keeps the cache from holding on to that.
  return parseAndRemember(Buffer.from(text, "utf8").toString("utf8"), defaultPort);
}

/**
 * @param port 1 to 65535
 * @throws AuthorityError for any other port
 */
export function makeAuthority(host: Host, port: number): Authority {
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new AuthorityError("the port is not a number from 1 to 65535");
  }
  const text = host.kind === "ipv6" ? `[${host.name}]:${port}` : `${host.name}:${port}`;
  return { host, port, text };
}

/**
 * Host written by a person: besides what {@link parseHost} takes, a name in any one script, which IDNA (UTS 46)
 * turns into its `xn--` form. A label that mixes scripts (`аpple` with a Cyrillic first letter) is refused
 * (attack 10); whoever means it writes the `xn--` form.
 *
 * @throws AuthorityError
 */
export function hostFromConfig(text: string): Host {
  if (isAscii(text)) return parseHost(text);
  // domainToASCII decodes percent-escapes and reads numbers as addresses; neither may come of a name.
  if (/[^A-Za-z0-9._\u0080-\u{10ffff}-]/u.test(text)) {
    throw new AuthorityError("the host has a character that no name may have");
  }
  const ascii = domainToASCII(text);
  if (ascii === "") throw new AuthorityError("the host is not a valid internationalised name");
  const host = parseHost(ascii);
  if (host.kind !== "name") throw new AuthorityError("an IP address must be written in ASCII digits");
  if (domainToUnicode(host.name).split(".").some(mixesScripts)) {
    throw new AuthorityError(
      "a label of the host mixes letters of several scripts, as look-alike names do; write its xn-- form if it is meant",
    );
  }
  return host;
}

/** This machine, whatever the resolver says: plain HTTP to it leaves no wire to listen on (I6). */
export function isLoopbackHost(host: Host): boolean {
  if (host.kind === "ipv4") return host.name.startsWith("127.");
  if (host.kind === "ipv6") return host.name === "::1";
  return host.name === "localhost" || host.name.endsWith(".localhost");
}

/**
 * Texts parsed so far: a connection sends the same Host with every request. The workload chooses them, so the
 * number is bounded, and what is refused is never kept (I12).
 */
const seen = new Map<string, { readonly hasPort: boolean; readonly authority: Authority }>();
const maxSeen = 1024;

function parseAndRemember(text: string, defaultPort: number | undefined): Authority {
  const colon = portColon(text);
  const hasPort = colon >= 0;
  const host = parseAuthorityHost(hasPort ? text.slice(0, colon) : text);
  const port = hasPort ? parsePort(text.slice(colon + 1)) : defaultPort;
  if (port === undefined) throw new AuthorityError("the port is missing; write host:port");
  const authority = makeAuthority(host, port);
  if (seen.size >= maxSeen) seen.clear();
  seen.set(text, { hasPort, authority });
  return authority;
}

/** Position of the colon before the port, or -1. A colon inside brackets belongs to the address. */
function portColon(text: string): number {
  const colon = text.lastIndexOf(":");
  return colon > text.lastIndexOf("]") ? colon : -1;
}

function parseAuthorityHost(text: string): Host {
  if (text.includes("@")) throw new AuthorityError("user information before the host is not allowed");
  if (text.includes(":") && !text.startsWith("[")) {
    throw new AuthorityError("the host has more than one colon; an IPv6 address needs brackets");
  }
  return parseHost(text);
}

function parsePort(text: string): number {
  // Five digits at most and no leading zero: one spelling for each port.
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new AuthorityError("the port is not a number from 1 to 65535");
  return Number(text);
}

function bracketedHost(text: string): Host {
  const inner = text.slice(1, -1);
  const address = text.endsWith("]") && inner.includes(":") ? addressBytes(inner) : undefined;
  if (!address) throw new AuthorityError("only an IPv6 address without a zone may stand in brackets");
  return hostOfAddress(address);
}

function hostOfAddress(address: Uint8Array): Host {
  return { name: addressText(address), kind: address.length === 4 ? "ipv4" : "ipv6" };
}

function namedHost(text: string): Host {
  // Before lower-casing, which makes an ASCII k of the Kelvin sign.
  if (!isAscii(text)) throw new AuthorityError("the host has a character that is not ASCII");
  const name = (text.endsWith(".") ? text.slice(0, -1) : text).toLowerCase();
  if (name === "") throw new AuthorityError("the host is empty");
  if (name.length > 253) throw new AuthorityError("the host is longer than 253 characters");
  const labels = name.split(".");
  for (const label of labels) checkLabel(label);
  if (!isNumeric(labels.at(-1) as string)) return { name, kind: "name" };
  // 2130706433, 0x7f.1, 0177.0.0.1 and 127.1 are 127.0.0.1 to some resolvers and names to others (attack 11).
  if (!addressBytes(name)) {
    throw new AuthorityError("the host looks like an IP address but is not four decimal numbers with dots");
  }
  return { name, kind: "ipv4" };
}

/**
 * Checks one label of a name in lower case.
 *
 * @throws AuthorityError
 */
export function checkLabel(label: string): void {
  if (label === "") throw new AuthorityError("the host has an empty label");
  if (label.length > 63) throw new AuthorityError("the host has a label of more than 63 characters");
  if (!/^[a-z0-9_-]+$/.test(label))
    throw new AuthorityError("the host has a character that no name may have");
  if (label.startsWith("-") || label.endsWith("-")) {
    throw new AuthorityError("the host has a label that begins or ends with a hyphen");
  }
}

/** A last label that the "ends in a number" check of resolvers and browsers takes for an IPv4 part. */
export function isNumeric(label: string): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(label);
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

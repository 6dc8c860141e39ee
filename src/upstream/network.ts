import { addressBytes } from "../http/ip-literal.ts";

/** A range of addresses. */
export interface Network {
  /** 4 or 16. */
  readonly bytes: Uint8Array;
  readonly bits: number;
  readonly text: string;
}

/**
 * @param text CIDR notation, such as `10.0.0.0/8`
 * @throws {TypeError}
 */
export function parseNetwork(text: string): Network {
  const slash = text.lastIndexOf("/");
  const bytes = slash < 0 ? undefined : addressBytes(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (bytes === undefined || !/^[0-9]{1,3}$/.test(length)) {
    throw new TypeError(`${JSON.stringify(text)} is not a network in CIDR notation such as 10.0.0.0/8`);
  }
  // An IPv4-mapped network (::ffff:10.0.0.0/104) came back as IPv4.
  const bits = Number(length) - (bytes.length === 4 && text.includes(":") ? 96 : 0);
  if (bits < 0 || bits > bytes.length * 8) {
    throw new TypeError(`${JSON.stringify(text)} has a prefix length that its address does not have`);
  }
  return { bytes, bits, text };
}

/** The first network that holds one of the addresses. */
export function findNetwork(networks: readonly Network[], forms: readonly Uint8Array[]): Network | undefined {
  return networks.find((network) => forms.some((form) => contains(network, form)));
}

function contains({ bytes, bits }: Network, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false;
  const whole = bits >> 3;
  for (let at = 0; at < whole; at++) {
    if (bytes[at] !== address[at]) return false;
  }
  const rest = bits & 7;
  return rest === 0 || (byteAt(bytes, whole) ^ byteAt(address, whole)) >> (8 - rest) === 0;
}

/**
 * The address as bytes, together with every IPv4 address that a gateway, tunnel or translator would take out of it
 * (attack 12). Empty when the text is no IP address.
 */
export function addressForms(text: string): Uint8Array[] {
  // A zone says by which interface, never to whom: fe80::1%eth0 is fe80::1.
  const zone = text.indexOf("%");
  const bytes = addressBytes(zone < 0 ? text : text.slice(0, zone));
  if (bytes === undefined) return [];
  return bytes.length === 4 ? [bytes] : [bytes, ...embeddedAddresses(bytes)];
}

function embeddedAddresses(bytes: Uint8Array): Uint8Array[] {
  const last = bytes.slice(12);
  // ::/96 (RFC 4291 section 2.5.5.1, deprecated), except the unspecified and the loopback address.
  if (startsWith(bytes, zeros12)) return last[0] === 0 ? [] : [last];
  // ::ffff:0:0:0/96, stateless translation (RFC 7915 section 2.2).
  if (startsWith(bytes, translatedPrefix)) return [last];
  // 64:ff9b::/96, NAT64 (RFC 6052 section 2.1).
  if (startsWith(bytes, nat64Prefix)) return [last];
  if (startsWith(bytes, nat64LocalPrefix)) return nat64LocalAddresses(bytes);
  // 2002::/16, 6to4 (RFC 3056 section 2).
  if (startsWith(bytes, sixToFourPrefix)) return [bytes.slice(2, 6)];
  // 2001::/32, Teredo: the server, and the client with its bits inverted (RFC 4380 section 4).
  if (startsWith(bytes, teredoPrefix)) return [bytes.slice(4, 8), last.map((byte) => byte ^ 0xff)];
  return [];
}

const zeros12 = new Uint8Array(12);
const translatedPrefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0);
const nat64Prefix = Uint8Array.of(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0);
const nat64LocalPrefix = Uint8Array.of(0, 0x64, 0xff, 0x9b, 0, 1);
const sixToFourPrefix = Uint8Array.of(0x20, 0x02);
const teredoPrefix = Uint8Array.of(0x20, 0x01, 0, 0);

/**
 * 64:ff9b:1::/48 is for networks to cut up as they like (RFC 8215), and where the IPv4 address stands depends on the
 * length they chose (RFC 6052 section 2.2). All places are looked at; one that begins with 0 is padding of another layout.
 */
function nat64LocalAddresses(bytes: Uint8Array): Uint8Array[] {
  const layouts = [
    [6, 7, 9, 10],
    [7, 9, 10, 11],
    [9, 10, 11, 12],
    [12, 13, 14, 15],
  ];
  return layouts
    .map((places) => Uint8Array.from(places, (place) => byteAt(bytes, place)))
    .filter((address) => address[0] !== 0);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

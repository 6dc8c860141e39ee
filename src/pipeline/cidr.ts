import { addressBytes } from "../http/ip-literal.ts";
import { PatternError } from "./glob.ts";

/** A network: the first `bits` bits of 4 or 16 bytes. */
export interface Cidr {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/**
 * @param text `10.0.0.0/8` or `2001:db8::/32`; IPv4-mapped networks compare as IPv4
 * @throws PatternError
 */
export function parseCidr(text: string): Cidr {
  const [, address = "", length = ""] = /^([^/]+)\/([0-9]{1,3})$/.exec(text) ?? [];
  const bytes = addressBytes(address);
  if (!bytes) {
    throw new PatternError(
      `parsing CIDR ${JSON.stringify(text)}: not an address with a prefix length, as 10.0.0.0/8 is`,
    );
  }
  const mapped = bytes.length === 4 && address.includes(":");
  const bits = Number(length) - (mapped ? 96 : 0);
  if (bits < 0 || bits > bytes.length * 8) {
    const range = mapped ? "96 to 128" : `0 to ${bytes.length * 8}`;
    throw new PatternError(`parsing CIDR ${JSON.stringify(text)}: the prefix length must be from ${range}`);
  }
  return { bytes, bits };
}

/** @param address 4 or 16 bytes, as {@link addressBytes} gives them */
export function cidrContains(cidr: Cidr, address: Uint8Array): boolean {
  if (address.length !== cidr.bytes.length) return false;
  const whole = cidr.bits >> 3;
  for (let at = 0; at < whole; at++) if (address[at] !== cidr.bytes[at]) return false;
  const rest = cidr.bits & 7;
  if (rest === 0) return true;
  const difference = (address[whole] as number) ^ (cidr.bytes[whole] as number);
  return difference >> (8 - rest) === 0;
}

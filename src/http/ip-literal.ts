import { isIPv4, isIPv6 } from "node:net";

/**
 * Bytes of an IP address: 4 for IPv4, 16 for IPv6. IPv4-mapped IPv6 (`::ffff:192.0.2.1`) gives the 4 bytes of
 * the address that a connection would really go to (attack 12). `undefined` for everything else: short,
 * octal and hexadecimal IPv4, zone ids and brackets included.
 */
export function addressBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  // A zone names an interface of one machine; the same address without it would compare as another.
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const bytes = ipv6Bytes(text);
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

/** Text of 4 or 16 bytes: dotted quad, or the one spelling of RFC 5952 section 4. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  const gap = longestZeroRun(groups);
  if (gap.length < 2) return hex(groups);
  return `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}`;
}

/** `text` has passed isIPv6 and has no zone, so only its shape is left to read. */
function ipv6Bytes(text: string): Uint8Array {
  const [left = "", right] = text.split("::");
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.every((byte, index) => (index < 10 ? byte === 0 : index < 12 ? byte === 0xff : true));
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  });
  return best;
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(":");
}

import { networkInterfaces } from "node:os";
import { addressForms, findNetwork, parseNetwork } from "./network.ts";
import type { OwnAddress } from "./types.ts";

/** Why an address may not be connected to; `detail` names it, for the operator only. */
export interface Denial {
  readonly reason: "upstream_address_denied" | "proxy_loop";
  readonly detail: string;
}

/** Decides on addresses, after names were resolved and before anything is sent (I11). */
export interface Guard {
  /** @param address text of an IP address; anything else is denied */
  check(address: string, port: number): Denial | undefined;
  /** The proxy's own listeners alone, for connections the operator asked for. */
  checkLoop(address: string, port: number): Denial | undefined;
}

export interface GuardOptions {
  readonly denyCidrs: readonly string[];
  readonly allowMetadata: boolean;
  ownAddresses(): readonly OwnAddress[];
}

/**
 * Where clouds hand out the credentials of the machine itself: EC2 and most others, EC2 over IPv6, ECS, EKS, GCP over
 * IPv6, Alibaba, Azure.
 */
const metadataAddresses = [
  "169.254.169.254",
  "fd00:ec2::254",
  "169.254.170.2",
  "169.254.170.23",
  "fd20:ce::254",
  "100.100.100.200",
  "168.63.129.16",
];

/**
 * @throws {TypeError} for an entry that is not a network in CIDR notation
 */
export function createGuard(options: GuardOptions): Guard {
  const networks = options.denyCidrs.map(parseNetwork);
  const metadata = metadataAddresses.map((address) =>
    parseNetwork(`${address}/${address.includes(":") ? 128 : 32}`),
  );
  const checkLoop = (address: string, port: number): Denial | undefined => {
    const own = options.ownAddresses().filter((listener) => listener.port === port);
    // Listing the interfaces asks the kernel; ports seldom match, so that is seldom done.
    if (own.length === 0) return undefined;
    const forms = addressForms(address);
    const loops = own.some((listener) => forms.some((form) => reaches(form, listener.address)));
    return loops
      ? { reason: "proxy_loop", detail: `${address}:${port} is a listener of this proxy` }
      : undefined;
  };
  return {
    check(address, port) {
      const forms = addressForms(address);
      if (forms.length === 0) return { reason: "upstream_address_denied", detail: "not an IP address" };
      const meta = findNetwork(metadata, forms);
      if (meta && !options.allowMetadata) return denied(`${address} is a cloud metadata address`);
      const network = findNetwork(networks, forms);
      // allow_metadata is for exactly these addresses, so only an entry for exactly this address outweighs it.
      if (network && (!meta || network.bits === network.bytes.length * 8)) {
        return denied(`${address} is in ${network.text}`);
      }
      return checkLoop(address, port);
    },
    checkLoop,
  };
}

function denied(what: string): Denial {
  return { reason: "upstream_address_denied", detail: `denied by upstream_deny_cidrs: ${what}` };
}

/** Whether a connection to the address would arrive at a listener bound there. */
function reaches(address: Uint8Array, listener: string): boolean {
  if (isUnspecified(address)) return true;
  const bound = addressForms(listener)[0];
  if (bound === undefined) return false;
  if (!isUnspecified(bound)) return equal(address, bound);
  return isLoopback(address) || localAddresses().some((local) => equal(address, local));
}

function localAddresses(): Uint8Array[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ address }) => addressForms(address).slice(0, 1));
}

function isUnspecified(bytes: Uint8Array): boolean {
  return bytes.length === 4 ? bytes[0] === 0 : bytes.every((byte) => byte === 0);
}

function isLoopback(bytes: Uint8Array): boolean {
  if (bytes.length === 4) return bytes[0] === 127;
  return bytes.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

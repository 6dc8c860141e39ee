// What a SOCKS5 client says before its tunnel is open (RFC 1928, RFC 1929). Every message says how long it is, so none
// is longer than 513 bytes.

export const socksVersion = 5;

export const socksMethod = { none: 0, password: 2, unacceptable: 0xff } as const;

/** RFC 1928 section 6. */
export const socksReply = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;

const connectCommand = 1;
const passwordVersion = 1;
const addressType = { ipv4: 1, name: 3, ipv6: 4 } as const;

/** A message, and how many bytes it took. */
export interface Read<Message> {
  readonly message: Message;
  readonly length: number;
}

/** Bytes that are no such message. The text never repeats what was sent (I14). */
export class SocksError extends Error {
  override readonly name = "SocksError";
  /** What to answer, where the protocol has an answer. */
  readonly reply: number | undefined;

  constructor(message: string, reply?: number) {
    super(message);
    this.reply = reply;
  }
}

/**
 * Methods that a client offers.
 * @returns `undefined` while bytes are missing
 * @throws {SocksError}
 */
export function readGreeting(bytes: Buffer): Read<readonly number[]> | undefined {
  const count = bytes[1];
  if (bytes.length > 0) expectVersion(bytes[0], socksVersion, "greeting");
  if (count === undefined || bytes.length < 2 + count) return undefined;
  return { message: [...bytes.subarray(2, 2 + count)], length: 2 + count };
}

/**
 * User and password (RFC 1929).
 * @returns `undefined` while bytes are missing
 * @throws {SocksError}
 */
export function readCredentials(bytes: Buffer): Read<{ user: Buffer; password: Buffer }> | undefined {
  if (bytes.length > 0) expectVersion(bytes[0], passwordVersion, "credentials");
  const userLength = bytes[1];
  if (userLength === undefined) return undefined;
  const passwordAt = 2 + userLength;
  const passwordLength = bytes[passwordAt];
  if (passwordLength === undefined) return undefined;
  const length = passwordAt + 1 + passwordLength;
  if (bytes.length < length) return undefined;
  const user = bytes.subarray(2, passwordAt);
  return { message: { user, password: bytes.subarray(passwordAt + 1, length) }, length };
}

/**
 * Host, as text that is not checked yet, and port of a CONNECT.
 * @returns `undefined` while bytes are missing
 * @throws {SocksError} with the reply for another command, or for an address of an unknown type
 */
export function readRequest(bytes: Buffer): Read<{ host: string; port: number }> | undefined {
  if (bytes.length > 0) expectVersion(bytes[0], socksVersion, "request");
  const type = bytes[3];
  if (type === undefined) return undefined;
  const addressAt = type === addressType.name ? 5 : 4;
  const addressLength = type === addressType.name ? bytes[4] : fixedLength(type);
  if (addressLength === undefined) return undefined;
  const portAt = addressAt + addressLength;
  if (bytes.length < portAt + 2) return undefined;
  if (bytes[1] !== connectCommand) {
    throw new SocksError(
      "only CONNECT is supported, not BIND or UDP ASSOCIATE",
      socksReply.commandNotSupported,
    );
  }
  const host = hostText(type, bytes.subarray(addressAt, portAt));
  return { message: { host, port: bytes.readUInt16BE(portAt) }, length: portAt + 2 };
}

/** A reply to a request; the address we are bound to is none of the client's business. */
export function socksAnswer(reply: number): Buffer {
  return Buffer.of(socksVersion, reply, 0, addressType.ipv4, 0, 0, 0, 0, 0, 0);
}

/** The answer to a greeting. */
export function methodAnswer(method: number): Buffer {
  return Buffer.of(socksVersion, method);
}

/** The answer to credentials. */
export function credentialsAnswer(good: boolean): Buffer {
  return Buffer.of(passwordVersion, good ? 0 : 1);
}

function expectVersion(byte: number | undefined, version: number, what: string): void {
  if (byte !== version) throw new SocksError(`the SOCKS ${what} does not begin with version ${version}`);
}

function fixedLength(type: number): number {
  if (type === addressType.ipv4) return 4;
  if (type === addressType.ipv6) return 16;
  throw new SocksError("unknown type of address", socksReply.addressTypeNotSupported);
}

function hostText(type: number, bytes: Buffer): string {
  if (type === addressType.name) return bytes.toString("latin1");
  if (type === addressType.ipv4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return groups.join(":");
}

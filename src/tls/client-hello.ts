// Reads the ClientHello that opens a TLS connection, without taking part in the handshake (RFC 8446 4.1.2).

export interface ClientHello {
  readonly kind: "hello";
  /** The server name as sent (RFC 6066 section 3), not canonical yet; `undefined` when it names none. */
  readonly serverName: string | undefined;
  /** Application protocols offered, in the client's order (RFC 7301). */
  readonly alpn: readonly string[];
  /** Protocol versions offered, as numbers (0x0304 is TLS 1.3), without GREASE. */
  readonly versions: readonly number[];
  /**
   * It carries an outer encrypted ClientHello, whose real name only the holder of a key could read (attack 16).
   * Browsers send a meaningless one to every server (GREASE), so it proves nothing: `serverName` is what
   * counts, and a client that meant another name ends the handshake itself.
   */
  readonly echOuter: boolean;
}

export type ClientHelloResult =
  | { readonly kind: "incomplete" }
  | { readonly kind: "invalid"; readonly message: string }
  | ClientHello;

/** Bytes of a whole ClientHello, record headers included (I12). Post-quantum key shares take about 2 kB. */
export const maxClientHello = 64 * 1024;

const recordHeaderLength = 5;
const handshakeHeaderLength = 4;
const contentType = { handshake: 22 } as const;
const handshakeType = { clientHello: 1 } as const;
const extensionType = {
  serverName: 0,
  alpn: 16,
  supportedVersions: 43,
  encryptedClientHello: 0xfe0d,
} as const;
const incomplete: ClientHelloResult = { kind: "incomplete" };

class Malformed extends Error {}

/** Reads the ClientHello from the first bytes of a connection. Never throws. */
export function readClientHello(bytes: Buffer): ClientHelloResult {
  return new ClientHelloReader().push(bytes);
}

/**
 * The same for bytes that arrive in pieces. Each byte is looked at once, so single bytes and records of one byte
 * each cost no more than the same bytes at once.
 */
export class ClientHelloReader {
  readonly #header = Buffer.alloc(recordHeaderLength);
  #headerFilled = 0;
  /** Bytes of the record's fragment that have not arrived. */
  #fragmentLeft = 0;
  /** The handshake message, which may span records (attack 16); filled up to `#length`. */
  #message = Buffer.allocUnsafe(2048);
  #length = 0;
  #received = 0;
  #result: ClientHelloResult = incomplete;

  /** Takes the next bytes. Once the answer is not `incomplete` it is final. */
  push(chunk: Buffer): ClientHelloResult {
    if (this.#result.kind !== "incomplete") return this.#result;
    try {
      this.#result = this.#read(chunk);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#result = { kind: "invalid", message: `ClientHello: ${error.message}` };
    }
    return this.#result;
  }

  #read(chunk: Buffer): ClientHelloResult {
    let at = 0;
    while (at < chunk.length) {
      if (this.#fragmentLeft === 0) {
        const copied = chunk.copy(this.#header, this.#headerFilled, at);
        this.#headerFilled += copied;
        at += this.#count(copied);
        checkRecordHeader(this.#header.subarray(0, this.#headerFilled));
        if (this.#headerFilled < recordHeaderLength) return incomplete;
        this.#headerFilled = 0;
        this.#fragmentLeft = this.#header.readUInt16BE(3);
      }
      const end = Math.min(chunk.length, at + this.#fragmentLeft);
      this.#append(chunk.subarray(at, end));
      this.#fragmentLeft -= this.#count(end - at);
      at = end;
      if (this.#isComplete())
        return parseClientHello(this.#message.subarray(handshakeHeaderLength, this.#length));
    }
    return incomplete;
  }

  #count(bytes: number): number {
    this.#received += bytes;
    if (this.#received > maxClientHello) throw new Malformed("longer than 64 kB");
    return bytes;
  }

  #append(bytes: Buffer): void {
    const length = this.#length + bytes.length;
    if (length > this.#message.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#message.length * 2));
      this.#message.copy(larger, 0, 0, this.#length);
      this.#message = larger;
    }
    bytes.copy(this.#message, this.#length);
    this.#length = length;
  }

  #isComplete(): boolean {
    if (this.#length > 0 && this.#message[0] !== handshakeType.clientHello) {
      throw new Malformed("the first message is not a ClientHello");
    }
    if (this.#length < handshakeHeaderLength) return false;
    const end = handshakeHeaderLength + this.#message.readUIntBE(1, 3);
    if (end > maxClientHello) throw new Malformed("longer than 64 kB");
    if (this.#length < end) return false;
    // RFC 8446 5.1: a message before a change of keys ends its record.
    if (this.#length > end || this.#fragmentLeft > 0) throw new Malformed("more bytes follow in its record");
    return true;
  }
}

/** RFC 8446 5.1, for as much of the five bytes as has arrived: what is not TLS is refused at its first byte. */
function checkRecordHeader(header: Buffer): void {
  const [type, major] = header;
  if (type !== contentType.handshake) throw new Malformed("the connection does not open with TLS");
  if (major !== undefined && major !== 3) throw new Malformed("unknown version of the record protocol");
  if (header.length < recordHeaderLength) return;
  const length = header.readUInt16BE(3);
  if (length === 0) throw new Malformed("empty record");
  if (length > 2 ** 14) throw new Malformed("record longer than 16 kB");
}

/** A window on bytes that is read front to back. Reading past its end throws Malformed. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number, field: string): Buffer {
    if (length > this.left) throw new Malformed(`${field} is cut short`);
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  uint(size: 1 | 2, field: string): number {
    return this.take(size, field).readUIntBE(0, size);
  }

  /** A vector (RFC 8446 3.4) whose length takes `size` bytes; it must be of `least` to `most` bytes. */
  vector(size: 1 | 2, field: string, least = 0, most = 0xffff): Cursor {
    const length = this.uint(size, field);
    if (length < least || length > most) throw new Malformed(`${field} has a length of ${length}`);
    return new Cursor(this.take(length, field));
  }

  rest(): Buffer {
    return this.take(this.left, "");
  }

  end(field: string): void {
    if (this.left > 0) throw new Malformed(`${field} has bytes too many`);
  }
}

function parseClientHello(body: Buffer): ClientHello {
  const hello = new Cursor(body);
  const legacyVersion = hello.uint(2, "version");
  hello.take(32, "random");
  hello.vector(1, "session id", 0, 32);
  if (hello.vector(2, "cipher suites", 2).left % 2 !== 0)
    throw new Malformed("cipher suites are of odd length");
  hello.vector(1, "compression methods", 1);
  const extensions = readExtensions(hello);
  hello.end("the message");
  const names = extensions.get(extensionType.serverName);
  const protocols = extensions.get(extensionType.alpn);
  const versions = extensions.get(extensionType.supportedVersions);
  return {
    kind: "hello",
    serverName: names && readServerName(names),
    alpn: protocols === undefined ? [] : readProtocols(protocols),
    versions: versions === undefined ? [legacyVersion] : readVersions(versions),
    // 0 marks the outer form; the inner form (1) exists only encrypted (draft-ietf-tls-esni section 5).
    echOuter: extensions.get(extensionType.encryptedClientHello)?.[0] === 0,
  };
}

/** Contents by type. TLS 1.2 clients may send none at all. */
function readExtensions(hello: Cursor): Map<number, Buffer> {
  const extensions = new Map<number, Buffer>();
  if (hello.left === 0) return extensions;
  const list = hello.vector(2, "the list of extensions");
  while (list.left > 0) {
    const type = list.uint(2, "extension type");
    // RFC 8446 4.2. Another TLS stack could take the other of the two server names.
    if (extensions.has(type)) throw new Malformed(`extension ${type} appears twice`);
    extensions.set(type, list.vector(2, `extension ${type}`).rest());
  }
  return extensions;
}

/** RFC 6066 section 3: a list of names, of which one type exists and of that type only one may stand. */
function readServerName(content: Buffer): string {
  const extension = new Cursor(content);
  const list = extension.vector(2, "server_name", 1);
  extension.end("server_name");
  if (list.uint(1, "server_name") !== 0) throw new Malformed("server_name has a name of unknown type");
  const name = list.vector(2, "server_name", 1, 255).rest();
  if (list.left > 0) throw new Malformed("server_name has more than one name");
  if (name.some((byte) => byte <= 0x20 || byte >= 0x7f))
    throw new Malformed("server_name is not a host name");
  return name.toString("latin1");
}

/** RFC 7301 section 3.1. */
function readProtocols(content: Buffer): string[] {
  const extension = new Cursor(content);
  const list = extension.vector(2, "ALPN", 2);
  extension.end("ALPN");
  const protocols: string[] = [];
  while (list.left > 0) protocols.push(list.vector(1, "ALPN", 1).rest().toString("latin1"));
  return protocols;
}

/** RFC 8446 4.2.1. */
function readVersions(content: Buffer): number[] {
  const extension = new Cursor(content);
  const list = extension.vector(1, "supported_versions", 2);
  extension.end("supported_versions");
  const versions: number[] = [];
  while (list.left > 0) versions.push(list.uint(2, "supported_versions"));
  return versions.filter((version) => !isGrease(version));
}

/** RFC 8701: 0x0a0a, 0x1a1a, ... 0xfafa mean nothing, on purpose. */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}

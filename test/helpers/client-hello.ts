// Writes ClientHellos, right and wrong, byte by byte.

/** An extension: its type and its content. */
export type Extension = readonly [type: number, content: Buffer];

export interface HelloParts {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly cipherSuites?: Buffer;
  readonly compression?: Buffer;
  /** `null` leaves the list out, as old TLS 1.2 clients do. */
  readonly extensions?: readonly Extension[] | null;
  /** Put behind the list of extensions. */
  readonly after?: Buffer;
}

/** A vector: its length in `size` bytes, then its content. */
export function vector(size: 1 | 2 | 3, ...content: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(content);
  const length = Buffer.alloc(size);
  length.writeUIntBE(bytes.length, 0, size);
  return Buffer.concat([length, bytes]);
}

export function uint16(...values: readonly number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}

export function serverName(...names: readonly (string | Buffer)[]): Extension {
  const entries = names.map((name) => Buffer.concat([Buffer.of(0), vector(2, Buffer.from(name))]));
  return [0, vector(2, ...entries)];
}

export function alpn(...protocols: readonly string[]): Extension {
  return [16, vector(2, ...protocols.map((protocol) => vector(1, Buffer.from(protocol, "latin1"))))];
}

export function supportedVersions(...versions: readonly number[]): Extension {
  return [43, vector(1, uint16(...versions))];
}

/** X25519, the key share that every TLS 1.3 server takes; with `padding` bytes as a larger one in front. */
export function keyShare(padding = 0): Extension {
  const x25519 = Buffer.concat([uint16(0x001d), vector(2, Buffer.alloc(32, 9))]);
  const other =
    padding === 0 ? Buffer.alloc(0) : Buffer.concat([uint16(0x1a1a), vector(2, Buffer.alloc(padding))]);
  return [51, vector(2, other, x25519)];
}

/** What a TLS 1.3 server needs besides a name. */
export const essentials: readonly Extension[] = [
  [10, vector(2, uint16(0x1a1a, 0x001d))],
  [13, vector(2, uint16(0x0403, 0x0804, 0x0401))],
  supportedVersions(0x1a1a, 0x0304, 0x0303),
  keyShare(),
];

/** The handshake message, without record headers. */
export function helloMessage(parts: HelloParts = {}): Buffer {
  const { extensions = [...essentials, serverName("api.example.com")] } = parts;
  const list = extensions?.map(([type, content]) => Buffer.concat([uint16(type), vector(2, content)])) ?? [];
  return Buffer.concat([
    Buffer.of(1),
    vector(
      3,
      uint16(parts.version ?? 0x0303),
      Buffer.alloc(32, 7),
      vector(1, parts.sessionId ?? Buffer.alloc(32, 5)),
      vector(2, parts.cipherSuites ?? uint16(0x2a2a, 0x1301, 0x1302, 0xc02b)),
      vector(1, parts.compression ?? Buffer.of(0)),
      extensions === null ? Buffer.alloc(0) : vector(2, ...list),
      parts.after ?? Buffer.alloc(0),
    ),
  ]);
}

/** A message cut into records of at most `size` bytes. */
export function records(message: Buffer, size = 2 ** 14): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}

/** A whole ClientHello as it goes on the wire. */
export function helloBytes(parts: HelloParts = {}): Buffer {
  return records(helloMessage(parts));
}

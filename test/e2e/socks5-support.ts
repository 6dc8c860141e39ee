// What the tests of SOCKS5 say to the proxy (RFC 1928, RFC 1929).
import assert from "node:assert/strict";
import type { Client } from "./harness/client.ts";
import { within } from "./harness/wait.ts";

/** A greeting that offers no authentication. */
export const anyone = Buffer.of(5, 1, 0);

export function credentials(user: string, password: string): Buffer {
  return Buffer.concat([
    Buffer.of(1, user.length),
    Buffer.from(user),
    Buffer.of(password.length),
    Buffer.from(password),
  ]);
}

/** A request for a name, or for an address where the type says so. */
export function request(host: string | Buffer, port: number, { command = 1, type = 3 } = {}): Buffer {
  const bytes = Buffer.from(host as string);
  const end = Buffer.alloc(2);
  end.writeUInt16BE(port);
  const length = type === 3 ? [bytes.length] : [];
  return Buffer.concat([Buffer.of(5, command, 0, type, ...length), bytes, end]);
}

/** Sends a request after the greeting, and gives the reply's code. */
export async function ask(client: Client, message: Buffer): Promise<number | undefined> {
  client.send(anyone);
  assert.deepEqual([...(await client.reader.take(2))], [5, 0]);
  client.send(message);
  const reply = await within("a SOCKS reply", client.reader.take(10));
  if (reply.length > 0) assert.deepEqual([...reply].toSpliced(1, 1), [5, 0, 1, 0, 0, 0, 0, 0, 0]);
  return reply[1];
}

import type { Socket } from "node:net";
import type { Authority } from "../http/authority.ts";
import { addressBytes } from "../http/ip-literal.ts";
import type { ForwardProxy } from "./forward-proxy.ts";
import { PrefaceReader } from "./preface.ts";

/** What a SOCKS5 server answered instead of opening the connection; safe to show. */
export class Socks5Error extends Error {
  override readonly name = "Socks5Error";
}

const version = 5;
const noAuthentication = 0;
const usernamePassword = 2;
const noneAcceptable = 0xff;
const connectCommand = 1;
const addressTypes = { ipv4: 1, name: 3, ipv6: 4 } as const;

/** RFC 1928 section 6. */
const replies: Readonly<Record<number, string>> = {
  1: "it failed",
  2: "its rules do not allow it",
  3: "the network is unreachable",
  4: "the host is unreachable",
  5: "the connection was refused",
  6: "the connection timed out",
  7: "it does not know the command",
  8: "it does not know the type of address",
};

/**
 * Opens a connection through a SOCKS5 server (RFC 1928, with user name and password of RFC 1929).
 * @param host name or address that the server is asked to connect to
 * @throws {Socks5Error} or what went wrong with the socket
 */
export async function openSocks5(
  socket: Socket,
  proxy: ForwardProxy,
  host: string,
  port: Authority["port"],
  signal: AbortSignal,
): Promise<void> {
  const reader = new PrefaceReader(socket, signal);
  try {
    await agreeOnMethod(socket, reader, proxy);
    socket.write(Buffer.concat([Buffer.of(version, connectCommand, 0), destination(host), portBytes(port)]));
    const [replyVersion, reply, , type] = await reader.exactly(4);
    if (replyVersion !== version) throw new Socks5Error("it does not speak SOCKS5");
    if (reply !== 0) throw new Socks5Error(replies[reply ?? 0] ?? "it gave an unknown reason");
    await reader.exactly((await boundLength(reader, type)) + 2);
  } finally {
    reader.release();
  }
}

async function agreeOnMethod(socket: Socket, reader: PrefaceReader, proxy: ForwardProxy): Promise<void> {
  const { credentials } = proxy;
  socket.write(
    credentials
      ? Buffer.of(version, 2, noAuthentication, usernamePassword)
      : Buffer.of(version, 1, noAuthentication),
  );
  const [greeting, method] = await reader.exactly(2);
  if (greeting !== version) throw new Socks5Error("it does not speak SOCKS5");
  if (method === noAuthentication) return;
  if (method === noneAcceptable) {
    throw new Socks5Error(
      credentials ? "it takes none of our ways to log in" : "it wants a user name and password",
    );
  }
  if (method !== usernamePassword || !credentials)
    throw new Socks5Error("it chose a way to log in that was not offered");
  socket.write(credentials.socks());
  const [, status] = await reader.exactly(2);
  if (status !== 0) throw new Socks5Error("it does not accept the user name and password");
}

function destination(host: string): Buffer {
  const bytes = addressBytes(host);
  if (bytes)
    return Buffer.concat([Buffer.of(bytes.length === 4 ? addressTypes.ipv4 : addressTypes.ipv6), bytes]);
  const name = Buffer.from(host, "latin1");
  return Buffer.concat([Buffer.of(addressTypes.name, name.length), name]);
}

function portBytes(port: number): Buffer {
  return Buffer.of(port >> 8, port & 0xff);
}

/** Bytes of the address the server connected from. */
async function boundLength(reader: PrefaceReader, type: number | undefined): Promise<number> {
  switch (type) {
    case addressTypes.ipv4:
      return 4;
    case addressTypes.ipv6:
      return 16;
    case addressTypes.name:
      return (await reader.exactly(1))[0] ?? 0;
    default:
      throw new Socks5Error("its reply has an unknown type of address");
  }
}

// client ── UDP or TCP, one port ──▶ DNS listener ──▶ responder ──▶ the same way back

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from "node:net";
import { bindProblem, type Listener, ListenError } from "../tcp.ts";
import type { Responder } from "./responder.ts";

/** Connections over TCP at a time (I12); a further one is closed. */
const maxConnections = 128;
/** Those of one client, so that none can keep the others from asking. */
const maxOfClient = 32;
/** Questions of one connection that are being answered; no more are read until then. */
const maxAtOnce = 16;
/** Bytes of a query over TCP; those of stub resolvers have less than 300. */
const maxQueryBytes = 4096;
/** Silence of a connection, and time for one question, in milliseconds (RFC 7766 section 6.2.3). */
const idleMs = 10_000;
/** Ports that are tried where the system chooses one for UDP and somebody else has it for TCP. */
const portAttempts = 8;

export interface DnsAddress {
  readonly host: string | undefined;
  readonly port: number;
}

/**
 * Binds one port for UDP and TCP and answers on it.
 * @throws {ListenError}
 */
export async function listenDns(at: DnsAddress, responder: Responder): Promise<Listener> {
  for (let left = portAttempts; ; left--) {
    const udp = await bindUdp(at);
    const { address: ip, port } = udp.address();
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    try {
      await bindTcp(server, { host: ip, port });
    } catch (error) {
      udp.close();
      if (at.port === 0 && (error as NodeJS.ErrnoException).code === "EADDRINUSE" && left > 1) continue;
      throw new ListenError(bindProblem("dns.listen (TCP)", at, error as NodeJS.ErrnoException));
    }
    answerUdp(udp, responder);
    const connections = answerTcp(server, responder);
    return {
      address: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`,
      ip,
      port,
      close() {
        udp.close();
        server.close();
        for (const socket of connections) socket.destroy();
      },
    };
  }
}

async function bindUdp(at: DnsAddress): Promise<UdpSocket> {
  try {
    if (at.host !== undefined) {
      const { address, family } = await lookup(at.host);
      return await bound(family === 6 ? "udp6" : "udp4", { address, port: at.port });
    }
    try {
      return await bound("udp6", { port: at.port });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
      return await bound("udp4", { port: at.port });
    }
  } catch (error) {
    throw new ListenError(bindProblem("dns.listen (UDP)", at, error as NodeJS.ErrnoException));
  }
}

async function bound(type: "udp4" | "udp6", at: { address?: string; port: number }): Promise<UdpSocket> {
  const socket = createSocket({ type });
  try {
    socket.bind(at);
    await once(socket, "listening");
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

async function bindTcp(server: Server, at: DnsAddress): Promise<AddressInfo> {
  server.listen({ port: at.port, host: at.host, ipv6Only: false });
  await once(server, "listening");
  return server.address() as AddressInfo;
}

function answerUdp(socket: UdpSocket, responder: Responder): void {
  let open = true;
  // What cannot be sent is as good as lost on the way; the client asks again.
  const send = (answer: Buffer | undefined, { port, address }: RemoteInfo): void => {
    if (answer !== undefined && open) socket.send(answer, port, address, () => {});
  };
  socket.on("close", () => {
    open = false;
  });
  socket.on("error", () => {});
  socket.on("message", (message, peer) => {
    // Port 0 cannot be answered, and nobody honest has it.
    if (peer.port === 0) return;
    const answer = responder.respond(message, { ip: plain(peer.address), port: peer.port, transport: "udp" });
    if (answer instanceof Promise) void answer.then((late) => send(late, peer));
    else send(answer, peer);
  });
}

function answerTcp(server: Server, responder: Responder): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  const ofClient = new Map<string, number>();
  server.on("error", () => {});
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    const ip = plain(socket.remoteAddress ?? "");
    const others = ofClient.get(ip) ?? 0;
    if (connections.size >= maxConnections || others >= maxOfClient) {
      socket.destroy();
      return;
    }
    connections.add(socket);
    ofClient.set(ip, others + 1);
    socket.once("close", () => {
      connections.delete(socket);
      const left = (ofClient.get(ip) ?? 1) - 1;
      if (left === 0) ofClient.delete(ip);
      else ofClient.set(ip, left);
    });
    serveConnection(socket, responder);
  });
  return connections;
}

/** Questions of a connection, each behind its length (RFC 7766 section 8); answers leave as they are ready. */
function serveConnection(socket: Socket, responder: Responder): void {
  const client = {
    ip: plain(socket.remoteAddress ?? ""),
    port: socket.remotePort ?? 0,
    transport: "tcp",
  } as const;
  let held: Buffer = Buffer.alloc(0);
  /** When the question that is not complete began. */
  let begunAt = 0;
  let waiting = 0;
  let ended = false;
  const send = (answer: Buffer | undefined): void => {
    if (answer === undefined || !socket.writable) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    // A client that does not read is not asked for more either.
    if (!socket.write(Buffer.concat([length, answer]))) socket.pause();
  };
  const read = (): void => {
    while (waiting < maxAtOnce && held.length >= 2) {
      const size = held.readUInt16BE(0);
      if (size > maxQueryBytes) {
        socket.destroy();
        return;
      }
      if (held.length < 2 + size) break;
      const answer = responder.respond(held.subarray(2, 2 + size), client);
      held = held.subarray(2 + size);
      begunAt = performance.now();
      if (!(answer instanceof Promise)) {
        send(answer);
        continue;
      }
      waiting++;
      void answer.then((late) => {
        waiting--;
        send(late);
        read();
        if (ended && waiting === 0) socket.end();
      });
    }
    if (waiting >= maxAtOnce) socket.pause();
    else if (!socket.writableNeedDrain) socket.resume();
  };
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on("drain", read);
  socket.on("end", () => {
    ended = true;
    // A client that has nothing more to ask still wants its answers.
    if (waiting === 0) socket.end();
  });
  socket.on("data", (chunk: Buffer) => {
    if (held.length === 0) begunAt = performance.now();
    // A byte now and then is silence, too.
    else if (performance.now() > begunAt + idleMs) socket.destroy();
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    read();
  });
}

/** IPv4 addresses as such, also on a socket for both families. */
function plain(address: string): string {
  const text = address.startsWith("::ffff:") ? address.slice(7) : address;
  return isIPv6(text) ? (text.split("%")[0] as string) : text;
}

// A DNS server of ours, a resolver behind it, and clients: messages are written and read by dns-packet.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after } from "node:test";
import * as packet from "dns-packet";
import type { AuditRecord } from "../../../src/audit/types.ts";
import { type DnsServer, startDnsServer } from "../../../src/listeners/dns/server.ts";
import { Pipeline } from "../../../src/pipeline/pipeline.ts";
import type { Transform } from "../../../src/pipeline/types.ts";
import { dnsOf } from "../../helpers/config.ts";

export interface Kit {
  readonly server: DnsServer;
  readonly records: AuditRecord[];
  readonly warnings: string[];
}

/** Names that policy admits, and those it was asked about. */
export interface TestPolicy {
  readonly admits: (host: string, port: number) => boolean;
  readonly asked?: string[];
  readonly late?: boolean;
}

/** @param dns the section, without its first line */
export async function start(
  dns: string,
  policy: TestPolicy = { admits: () => true },
  isOwn: (address: string, port: number) => boolean = () => false,
): Promise<Kit> {
  const records: AuditRecord[] = [];
  const warnings: string[] = [];
  const transform: Transform = {
    name: "allowlist",
    onTunnel({ authority }) {
      policy.asked?.push(authority.text);
      const verdict = policy.admits(authority.host.name, authority.port)
        ? undefined
        : ({ kind: "reject", status: 403, reason: "host_not_allowed" } as const);
      return policy.late === true ? Promise.resolve(verdict) : verdict;
    },
  };
  const pipeline = new Pipeline([transform]);
  let ids = 0;
  const server = await startDnsServer({ host: "127.0.0.1", port: 0 }, dnsOf(dns), {
    context: {
      pipeline: () => pipeline,
      audit: {
        write: (record) => void records.push(record),
        writeFinding() {},
        healthy: true,
        reopen() {},
        close: async () => {},
      },
      nextId: () => `id-${++ids}`,
      debug() {},
    },
    ports: [8443],
    isOwn,
    warn: (message) => void warnings.push(message),
  });
  after(() => server.close());
  return { server, records, warnings };
}

export interface Question {
  readonly name: string;
  readonly type?: packet.RecordType;
  readonly class?: string;
  readonly edns?: number;
  readonly dnssec?: boolean;
}

export const queryId = 0x1234;

export function query({ name, type = "A", class: of = "IN", edns, dnssec }: Question): Buffer {
  return packet.encode({
    type: "query",
    id: queryId,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type, class: of as "IN" }],
    additionals:
      edns === undefined
        ? []
        : [
            {
              type: "OPT",
              name: ".",
              udpPayloadSize: edns,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: dnssec === true ? packet.DNSSEC_OK : 0,
              flag_do: dnssec === true,
              options: [],
            },
          ],
  });
}

/** What is in an answer. */
export interface Answer {
  readonly raw: Buffer;
  readonly rcode: string;
  readonly truncated: boolean;
  /** `TYPE data` of each record. */
  readonly answers: string[];
  readonly question: packet.Question | undefined;
  readonly message: packet.DecodedPacket;
}

export function read(raw: Buffer): Answer {
  const message = packet.decode(raw) as packet.DecodedPacket & { rcode: string };
  return {
    raw,
    rcode: message.rcode,
    truncated: message.flag_tc,
    answers: (message.answers ?? []).map((record) => `${record.type} ${dataOf(record)}`),
    question: message.questions?.[0],
    message,
  };
}

function dataOf(record: packet.Answer): string {
  const data: unknown = Reflect.get(record, "data");
  return typeof data === "string" ? data : JSON.stringify(data);
}

/** Sends bytes over UDP; the answer, or nothing within the time. */
export async function udp(kit: Kit, message: Buffer, waitMs = 3000): Promise<Buffer | undefined> {
  const socket = createSocket("udp4");
  socket.connect(kit.server.port, "127.0.0.1");
  await once(socket, "connect");
  socket.send(message);
  const timer = setTimeout(() => socket.emit("late"), waitMs);
  try {
    const first = await Promise.race([once(socket, "message"), once(socket, "late")]);
    return first[0] as Buffer | undefined;
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

export async function ask(kit: Kit, question: Question): Promise<Answer> {
  const raw = await udp(kit, query(question));
  if (raw === undefined) throw new Error("no answer");
  return read(raw);
}

/** A connection over TCP. */
export async function tcp(kit: Kit, localAddress = "127.0.0.1"): Promise<TcpClient> {
  const socket = connect({ port: kit.server.port, host: "127.0.0.1", localAddress });
  await once(socket, "connect");
  return new TcpClient(socket);
}

export class TcpClient {
  readonly socket: Socket;
  #held = Buffer.alloc(0);
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      socket.emit("more");
    });
  }

  /** The next answer; nothing when the connection closes. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const size = this.#held.length >= 2 ? this.#held.readUInt16BE(0) : Number.POSITIVE_INFINITY;
      if (this.#held.length >= 2 + size) {
        const answer = this.#held.subarray(2, 2 + size);
        this.#held = this.#held.subarray(2 + size);
        return answer;
      }
      if (this.socket.destroyed) return undefined;
      await Promise.race([once(this.socket, "more"), once(this.socket, "close")]);
    }
  }

  async ask(question: Question): Promise<Answer> {
    this.socket.write(framed(query(question)));
    const raw = await this.next();
    if (raw === undefined) throw new Error("closed");
    return read(raw);
  }
}

export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** What a resolver sends back; several datagrams in this order. */
export type Reply = (query: Buffer, transport: "udp" | "tcp") => Sent | Promise<Sent>;
type Sent = Buffer | readonly Buffer[] | undefined;

export interface FakeResolver {
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly port: number;
  readonly queries: { readonly message: Buffer; readonly transport: "udp" | "tcp"; readonly port: number }[];
}

/** A resolver whose answers the test writes, on one port for UDP and TCP. */
export async function startResolver(reply: Reply): Promise<FakeResolver> {
  const queries: FakeResolver["queries"] = [];
  const { socket, server, port } = await bindBoth();
  const answer = async (message: Buffer, transport: "udp" | "tcp", send: (part: Buffer) => void) => {
    for (const part of listOf(await reply(message, transport))) send(part);
  };
  socket.on("message", (message, peer) => {
    queries.push({ message, transport: "udp", port: peer.port });
    void answer(message, "udp", (part) => socket.send(part, peer.port, peer.address));
  });
  server.on("connection", (client: Socket) => {
    client.on("error", () => {});
    client.on("data", (chunk: Buffer) => {
      const message = chunk.subarray(2);
      queries.push({ message, transport: "tcp", port: client.remotePort ?? 0 });
      void answer(message, "tcp", (part) => void client.write(framed(part)));
    });
  });
  after(() => {
    socket.close();
    server.close();
  });
  return { address: `127.0.0.1:${port}`, port, queries };
}

/** A port that is free for both; the one that the system has for UDP may be in use for TCP. */
async function bindBoth(): Promise<{ socket: UdpSocket; server: Server; port: number }> {
  for (;;) {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    const server = createServer();
    server.listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
      return { socket, server, port };
    } catch {
      socket.close();
    }
  }
}

function listOf(reply: Sent): readonly Buffer[] {
  if (reply === undefined) return [];
  return Buffer.isBuffer(reply) ? [reply] : reply;
}

/** An answer to a query, with these records. */
export function answerTo(
  message: Buffer,
  answers: packet.Answer[],
  more: Partial<packet.Packet> = {},
): Buffer {
  const { id, questions } = packet.decode(message);
  return packet.encode({
    type: "response",
    id: id ?? 0,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE,
    questions: questions ?? [],
    answers,
    ...more,
  });
}

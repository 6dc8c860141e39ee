// A workload that says exactly the bytes it is told to, by each of the three ways in.
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { ByteReader, type Ending } from "./bytes.ts";
import type { Canary } from "./canary.ts";
import { type Answer, readAnswer } from "./message.ts";
import type { Address } from "./sallyport.ts";
import { eventually, within } from "./wait.ts";

/** CONNECT and TLS inside; absolute-form on plain HTTP; TLS that DNS or a redirect led to the proxy. */
export type Way = "connect" | "absolute" | "redirected";

export interface Client {
  readonly socket: Socket;
  readonly reader: ByteReader;
  /** `ip:port` as the audit has it. */
  readonly remote: string;
  /** `host:port` its requests are for. */
  readonly authority: string;
  send(bytes: string | Uint8Array): void;
  /** The next answer; `undefined` when the connection ends before its head. */
  answer(method?: string): Promise<Answer | undefined>;
  /** Sends `METHOD path` with Host and these field lines and reads the answer, which has to come. */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** The text of such a request. */
  text(method: string, path: string, options?: RequestOptions): string;
  /** How the proxy ended the connection, waiting for it. */
  ended(): Promise<Ending>;
  /** Resets the connection. */
  reset(): void;
  /** Closes it; done by the suite for those that are left. */
  close(): void;
}

export interface RequestOptions {
  readonly fields?: readonly string[];
  /** Sent with its Content-Length. */
  readonly body?: string;
}

export interface ClientContext {
  readonly canary: Canary;
  /** PEM of the proxy's CA. */
  readonly ca: string;
  /** All that were opened. */
  readonly clients: Set<Client>;
}

/** A plain connection to one of the proxy's ports; nothing is said on it. */
export async function openRaw(context: ClientContext, to: Address, authority = ""): Promise<Client> {
  const socket = await connectFromOwnAddress(to);
  return clientOn(context, socket, socket, authority, "");
}

/** Requests in absolute form to the tunnel port or the HTTP port. */
export async function openAbsolute(context: ClientContext, to: Address, authority: string): Promise<Client> {
  const socket = await connectFromOwnAddress(to);
  return clientOn(context, socket, socket, authority, `http://${authority}`);
}

let connections = 0;

/**
 * Each connection comes from a loopback address of its own where the system has them all (Linux): ports are used again
 * so soon that two connections of one test file may well have the same, and the audit could not tell them apart.
 */
async function connectFromOwnAddress({ host, port }: Address): Promise<Socket> {
  const number = ++connections;
  const own = `127.${8 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  const from = process.platform === "linux" ? { localAddress: own } : {};
  const socket = connectTcp({ host, port, ...from, noDelay: true, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

/** Opens a tunnel; what is inside is up to the caller. Throws unless the answer is 200. */
export async function openTunnel(context: ClientContext, to: Address, authority: string): Promise<Client> {
  const client = await openRaw(context, to, authority);
  client.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const head = await within("an answer to CONNECT", client.reader.until("\r\n\r\n"));
  if (head?.startsWith("HTTP/1.1 200 ") !== true)
    throw new Error(`CONNECT ${authority}: ${head ?? "closed"}`);
  return client;
}

export type TlsChoices = Pick<ConnectionOptions, "servername" | "ALPNProtocols" | "maxVersion" | "ca">;

/** TLS on an open connection, trusting the proxy's CA alone. */
export async function startTls(
  context: ClientContext,
  over: Client,
  choices: TlsChoices = {},
): Promise<Client> {
  const unread = over.reader.release();
  if (unread.length > 0) over.socket.unshift(unread);
  context.clients.delete(over);
  const host = over.authority.replace(/:\d+$/, "");
  const isName = !/^[\d.]+$|^\[/.test(host);
  const secure = connectTls({
    socket: over.socket,
    ca: context.ca,
    host: host.replace(/^\[|\]$/g, ""),
    ...(isName ? { servername: host } : {}),
    ALPNProtocols: ["http/1.1"],
    ...choices,
  });
  await within("a TLS handshake", once(secure, "secureConnect"));
  return clientOn(context, over.socket, secure, over.authority, "");
}

function clientOn(
  context: ClientContext,
  tcp: Socket,
  socket: Socket | TLSSocket,
  authority: string,
  prefix: string,
): Client {
  const reader = new ByteReader(socket, context.canary.listen("an answer"));
  const client: Client = {
    socket,
    reader,
    remote: `${tcp.localAddress}:${tcp.localPort}`,
    authority,
    send: (bytes) => void (typeof bytes === "string" ? socket.write(bytes, "latin1") : socket.write(bytes)),
    answer: (method) => within(`an answer to ${method ?? "a request"}`, readAnswer(reader, method)),
    text(method, path, { fields = [], body } = {}) {
      const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
      const lines = [`Host: ${authority}`, ...fields, ...length].map((line) => `${line}\r\n`).join("");
      return `${method} ${prefix}${path} HTTP/1.1\r\n${lines}\r\n${body ?? ""}`;
    },
    async request(method, path, options) {
      client.send(client.text(method, path, options));
      const answer = await client.answer(method);
      if (answer === undefined) throw new Error(`${method} ${path}: closed without an answer`);
      return answer;
    },
    async ended() {
      await eventually("the proxy ends the connection", () => reader.ended !== undefined);
      return reader.ended as Ending;
    },
    reset: () => void tcp.resetAndDestroy(),
    close: () => void tcp.destroy(),
  };
  context.clients.add(client);
  socket.on("close", () => context.clients.delete(client));
  return client;
}

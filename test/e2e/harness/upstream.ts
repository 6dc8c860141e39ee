// A recording upstream on loopback: real TLS or plain, answers scripted to the byte.
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { ByteReader } from "./bytes.ts";
import { type Field, type Head, type Message, readBody, readHead } from "./message.ts";
import { eventually } from "./wait.ts";

/** A request as the upstream got it. */
export interface Received extends Message {
  readonly method: string;
  readonly target: string;
  /** 1 for the first connection to this upstream. */
  readonly connection: number;
}

/** One request in work; the script decides about every byte of the answer. */
export interface Scripted {
  readonly method: string;
  readonly target: string;
  readonly head: string;
  readonly fields: readonly Field[];
  readonly connection: number;
  readonly socket: Socket;
  /** What arrives on the connection. */
  readonly reader: ByteReader;
  /** Reads the request's body, once. */
  body(): Promise<Message>;
  write(bytes: string | Uint8Array): void;
  /** Closes in order: FIN, with close_notify inside TLS. */
  end(): void;
  /** Resets the connection. */
  reset(): void;
}

export type Script = (request: Scripted) => void | Promise<void>;

export interface Upstream {
  readonly host: string;
  readonly port: number;
  /** Every request whose head arrived, complete or not, in order. */
  readonly received: readonly Received[];
  /** Connections made so far, those that never got as far as a request included. */
  readonly connections: number;
  /** Connections open now. */
  readonly open: number;
  /** What answers requests for this path, or for all others (`*`); otherwise `200 OK` with the body `ok`. */
  on(path: string, script: Script): void;
  /** The newest request for a path, waiting until there are `count`. */
  request(path: string, count?: number): Promise<Received>;
  /** Requests for a path so far. */
  count(path: string): number;
  /** Resets every open connection. */
  cutAll(): void;
  close(): Promise<void>;
}

export interface UpstreamOptions {
  /** Absent for plain TCP. */
  readonly tls?: TlsOptions;
  readonly host?: string;
  readonly port?: number;
  /** False for runs of so many requests that remembering them would show in the memory. */
  readonly remember?: boolean;
  /** Called with every connection in place of reading requests from it. */
  readonly raw?: (socket: Socket, number: number) => void;
}

const ok: Script = async (request) => {
  await request.body();
  request.write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
};

/** A whole answer with a body of known length. */
export function answer(body: string | Uint8Array, ...fields: string[]): Script {
  return async (request) => {
    await request.body();
    const lines = [`Content-Length: ${Buffer.byteLength(body)}`, ...fields]
      .map((field) => `${field}\r\n`)
      .join("");
    request.write(`HTTP/1.1 200 OK\r\n${lines}\r\n`);
    request.write(body);
  };
}

export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const scripts = new Map<string, Script>();
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let problem: unknown;

  const onSocket = (socket: Socket): void => {
    const number = ++connections;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    if (options.raw !== undefined) options.raw(socket, number);
    else {
      serve(socket, number).catch((error: unknown) => {
        problem = error;
        socket.destroy();
      });
    }
  };

  const serve = async (socket: Socket, connection: number): Promise<void> => {
    const reader = new ByteReader(socket);
    for (;;) {
      const head = await readHead(reader);
      if (head === undefined) return;
      let current = record(head, connection);
      const index = options.remember === false ? -1 : received.push(current) - 1;
      let pending: Promise<Message> | undefined;
      const body = (): Promise<Message> => {
        pending ??= readBody(reader, head.fields, "none").then((part) => {
          current = { ...current, ...part };
          if (index >= 0) received[index] = current;
          return current;
        });
        return pending;
      };
      const { method, target, fields, head: text } = current;
      const script = scripts.get(target.split("?")[0] as string) ?? scripts.get("*") ?? ok;
      await script({
        method,
        target,
        head: text,
        fields,
        connection,
        socket,
        reader,
        body,
        write: (bytes) =>
          void (typeof bytes === "string" ? socket.write(bytes, "latin1") : socket.write(bytes)),
        end: () => void socket.end(),
        reset: () => resetOf(socket),
      });
      await body();
    }
  };

  const server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, onSocket)
      : createTlsServer({ noDelay: true, ...options.tls }, onSocket);
  server.on("tlsClientError", () => {});
  // Connections count from TCP on, so that "nothing was dialled" can be told.
  const plain = new Set<Socket>();
  if (options.tls !== undefined) {
    server.on("connection", (socket: Socket) => {
      plain.add(socket);
      socket.on("close", () => plain.delete(socket));
      socket.on("error", () => {});
    });
  }
  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  return {
    host: options.host ?? "127.0.0.1",
    port,
    received,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    on: (path, script) => void scripts.set(path, script),
    count: (path) => received.filter((one) => pathOf(one) === path).length,
    async request(path, count = 1) {
      await eventually(`request ${count} for ${path} at the upstream`, () => {
        const own = received.filter((one) => pathOf(one) === path);
        return own.length >= count && own.at(-1)?.complete;
      });
      return received.findLast((one) => pathOf(one) === path) as Received;
    },
    cutAll() {
      for (const socket of sockets) resetOf(socket);
    },
    async close() {
      server.close();
      for (const socket of [...sockets, ...plain]) socket.destroy();
      await once(server, "close");
      if (problem !== undefined) throw problem;
    },
  };
}

function record(head: Head, connection: number): Received {
  const [method = "", target = ""] = head.startLine.split(" ");
  const { text, startLine, fields } = head;
  const none = { body: Buffer.alloc(0), trailers: [], chunks: [], complete: false };
  return { ...none, head: text, startLine, fields, method, target, connection };
}

function pathOf({ target }: { readonly target: string }): string {
  return target.split("?")[0] as string;
}

/** RST on the TCP connection, below TLS where there is TLS. */
function resetOf(socket: Socket): void {
  const below = (socket as unknown as { _parent?: Socket })._parent;
  if (below !== undefined && below !== null) below.resetAndDestroy();
  else if ("encrypted" in socket) socket.destroy();
  else socket.resetAndDestroy();
}

import { type AddressInfo, createServer, type Socket } from "node:net";
import { joinHead, responseHeadText } from "../http/h1/write.ts";
import { refusal } from "../pipeline/refusal.ts";
import type { ListenerContext } from "./context.ts";
import { connectionRecord } from "./record.ts";

/** A bound port. */
export interface Listener {
  /** The address as bound: `127.0.0.1:8080`, with the port the system chose where 0 was asked for. */
  readonly address: string;
  /** Its two parts. */
  readonly ip: string;
  readonly port: number;
  /** Accepts no more connections; those that are open stay. */
  close(): void;
}

/** A port could not be bound; the message says which and why. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/**
 * Binds a port and hands every connection on.
 * @param what name of the listener for error messages, as its configuration key
 * @param speaks what a client expects to hear first, where a connection is one too many
 * @throws {ListenError}
 */
export async function listen(
  what: string,
  speaks: "http" | "tls",
  at: { readonly host: string | undefined; readonly port: number },
  context: ListenerContext,
  onSocket: (socket: Socket) => void,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (!context.connections.admit(socket)) {
      refuseConnection(socket, speaks, context);
      return;
    }
    onSocket(socket);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port: at.port, host: at.host, backlog: 1024 }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new ListenError(bindProblem(what, at, error as NodeJS.ErrnoException));
  }
  server.off("error", reject);
  // Out of descriptors in spite of the limit on connections: libuv closes what has come, and those that are open live.
  server.on("error", (error) => context.debug("accept failed", { listener: what, error: error.message }));
  const { address: ip, port } = server.address() as AddressInfo;
  return { address: text(ip, port), ip, port, close: () => void server.close() };
}

/** Closes a connection that is one too many, with an answer where the client would understand one. */
function refuseConnection(socket: Socket, speaks: "http" | "tls", context: ListenerContext): void {
  const reason = context.connections.draining ? "draining" : "overloaded";
  const requestId = context.nextId();
  const client = {
    remoteAddress: remoteAddress(socket),
    sni: undefined,
    tls: undefined,
    tunnel: undefined,
    caller: undefined,
  };
  const status = speaks === "http" ? 503 : 0;
  const event = { method: "", host: "", action: "reject", status, reason } as const;
  context.audit.write(connectionRecord(requestId, { client, tunnel: undefined }, event));
  socket.on("error", () => {});
  if (speaks === "http") {
    const { reason: phrase, headers, body } = refusal({ status: 503, reason, requestId });
    const framing = { kind: "length", length: body.length } as const;
    socket.write(joinHead(responseHeadText(503, phrase, headers, framing, "close"), body));
  }
  socket.destroySoon();
}

/** `ip:port` of the peer; IPv4-mapped addresses as IPv4. */
export function remoteAddress(socket: Socket): string {
  const ip = socket.remoteAddress ?? "";
  return text(ip.startsWith("::ffff:") ? ip.slice(7) : ip, socket.remotePort ?? 0);
}

function text(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** Says why a port could not be bound, and what to do about it. */
export function bindProblem(
  what: string,
  at: { host: string | undefined; port: number },
  error: NodeJS.ErrnoException,
): string {
  const where = `${what}: cannot listen on ${at.host ?? ""}:${at.port}`;
  switch (error.code) {
    case "EADDRINUSE":
      return `${where}: another program has this port; stop it or choose another port (0 lets the system choose)`;
    case "EACCES":
      return `${where}: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose another port`;
    case "EADDRNOTAVAIL":
      return `${where}: this machine does not have that address`;
    default:
      return `${where}: ${error.code ?? error.message}`;
  }
}

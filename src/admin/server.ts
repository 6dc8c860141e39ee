// operator ── HTTP ──▶ metrics or management listener ──▶ one handler for a path and a method

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { bindProblem, ListenError } from "../listeners/tcp.ts";

/** What a handler answers. */
export interface Reply {
  readonly status: number;
  /** Content type; `application/json` when absent. */
  readonly type?: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly path: string;
  readonly method: "GET" | "POST";
  /** Asked first, before the method is looked at; a reply is the answer. */
  readonly guard?: (request: IncomingMessage) => Reply | undefined;
  handle(): Reply | Promise<Reply>;
}

/** A bound port of the operator's. */
export interface AdminListener {
  /** As bound: `127.0.0.1:9090`. */
  readonly address: string;
  readonly ip: string;
  readonly port: number;
  close(): void;
}

/** Connections of operators at a time; scrapers and probes need a handful. */
const maxAdminConnections = 64;
const maxAdminHeaderBytes = 16_384;
const adminTimeoutMs = 10_000;

/** The answer to a request as JSON, with a newline as people at a terminal like it. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return { status, body: `${JSON.stringify(value)}\n`, headers };
}

/**
 * Serves a few routes over plain HTTP/1.1, bounded in connections, sizes and times (I12). Bodies of requests are not
 * read, and a client that goes away stops no handler.
 * @param what configuration key of the listener, for error messages
 * @param onCrash told the name of an error that a handler threw; its text stays out of every output (I14)
 * @throws {ListenError} when the port cannot be bound
 */
export async function listenAdmin(
  what: string,
  at: { readonly host: string | undefined; readonly port: number },
  routes: readonly Route[],
  onCrash: (route: string, error: string) => void,
): Promise<AdminListener> {
  const server = createServer(
    {
      headersTimeout: adminTimeoutMs,
      requestTimeout: adminTimeoutMs,
      keepAliveTimeout: adminTimeoutMs,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: maxAdminHeaderBytes,
    },
    (request, response) => void serve(request, response, routes, onCrash),
  );
  server.maxConnections = maxAdminConnections;
  server.setTimeout(3 * adminTimeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port: at.port, host: at.host }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new ListenError(bindProblem(what, at, error as NodeJS.ErrnoException));
  }
  server.off("error", reject);
  server.on("error", () => {}); // out of descriptors: the next connection is tried again by node
  const { address: ip, port } = server.address() as AddressInfo;
  return {
    address: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`,
    ip,
    port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  routes: readonly Route[],
  onCrash: (route: string, error: string) => void,
): Promise<void> {
  request.resume();
  const path = request.url?.split("?", 1)[0] ?? "";
  let reply: Reply;
  try {
    reply = await answer(request, path, routes);
  } catch (error) {
    onCrash(path, error instanceof Error ? error.name : typeof error);
    reply = json(500, { error: "internal error" });
  }
  const { status, type = "application/json", body, headers = {} } = reply;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function answer(request: IncomingMessage, path: string, routes: readonly Route[]): Reply | Promise<Reply> {
  const route = routes.find((one) => one.path === path);
  if (route === undefined) {
    return json(404, { error: `not found; there is ${routes.map((one) => one.path).join(", ")}` });
  }
  const refused = route.guard?.(request);
  if (refused !== undefined) return refused;
  const method = request.method === "HEAD" ? "GET" : request.method;
  if (method !== route.method) return json(405, { error: "method not allowed" }, { Allow: route.method });
  return route.handle();
}

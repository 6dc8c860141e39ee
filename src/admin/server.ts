// operator ── HTTP ──▶ metrics or management listener ──▶ one handler for a path and a method

import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { nodeHttp } from "../http/node-http.ts";
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
  /** Bytes of the longest body it reads; without it a body is thrown away. */
  readonly maxBody?: number;
  handle(received: Received): Reply | Promise<Reply>;
}

/** What a handler may look at. */
export interface Received {
  readonly query: URLSearchParams;
  /** Media type in small letters, without parameters; empty where none is named. */
  readonly type: string;
  /** Empty for routes without `maxBody`. */
  readonly body: Buffer;
}

/** What differs from one server to the next. */
export interface AdminOptions {
  /** Connections at a time; 64 when absent. */
  readonly maxConnections?: number;
  /** Told of every answer: the path without its query, and how long it took. */
  readonly onReply?: (method: string, path: string, status: number, durationMs: number) => void;
}

/** A bound port of the operator's. */
export interface AdminListener {
  /** As bound: `127.0.0.1:9090`. */
  readonly address: string;
  readonly ip: string;
  readonly port: number;
  close(): void;
  /** Takes no new connection and lets requests under way finish, for so many milliseconds at most. */
  drain(timeoutMs: number): Promise<void>;
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
 * Serves a few routes over plain HTTP/1.1, bounded in connections, sizes and times (I12). Bodies of requests are read
 * only where a route wants them, and a client that goes away stops no handler.
 * @param what configuration key of the listener, for error messages
 * @param onCrash told the name of an error that a handler threw; its text stays out of every output (I14)
 * @throws {ListenError} when the port cannot be bound
 */
export async function listenAdmin(
  what: string,
  at: { readonly host: string | undefined; readonly port: number },
  routes: readonly Route[],
  onCrash: (route: string, error: string) => void,
  { maxConnections = maxAdminConnections, onReply = () => {} }: AdminOptions = {},
): Promise<AdminListener> {
  const server = nodeHttp.createServer(
    {
      headersTimeout: adminTimeoutMs,
      requestTimeout: adminTimeoutMs,
      keepAliveTimeout: adminTimeoutMs,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: maxAdminHeaderBytes,
    },
    (request, response) => void serve(request, response, routes, onCrash, onReply),
  );
  server.maxConnections = maxConnections;
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
    async drain(timeoutMs) {
      const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
      });
      clearTimeout(cut);
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  routes: readonly Route[],
  onCrash: (route: string, error: string) => void,
  onReply: NonNullable<AdminOptions["onReply"]>,
): Promise<void> {
  const startedAt = performance.now();
  const path = request.url?.split("?", 1)[0] ?? "";
  let reply: Reply;
  try {
    reply = await answer(request, path, routes);
  } catch (error) {
    onCrash(path, error instanceof Error ? error.name : typeof error);
    reply = json(500, { error: "internal error" });
  }
  request.resume();
  const { status, type = "application/json", body, headers = {} } = reply;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
  onReply(request.method ?? "", path, status, performance.now() - startedAt);
}

async function answer(request: IncomingMessage, path: string, routes: readonly Route[]): Promise<Reply> {
  const route = routes.find((one) => one.path === path);
  if (route === undefined) {
    return json(404, { error: `not found; there is ${routes.map((one) => one.path).join(", ")}` });
  }
  const refused = route.guard?.(request);
  if (refused !== undefined) return refused;
  const method = request.method === "HEAD" ? "GET" : request.method;
  if (method !== route.method) return json(405, { error: "method not allowed" }, { Allow: route.method });
  const body = await bodyOf(request, route.maxBody ?? 0);
  if (body === undefined) {
    const error = `the body is larger than ${route.maxBody} bytes`;
    return json(413, { error }, { Connection: "close" });
  }
  const query = new URLSearchParams(request.url?.slice(path.length + 1));
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return route.handle({ query, type, body });
}

/** @returns `undefined` for a body that is longer than `limit`; nothing of it is read where the limit is 0 */
async function bodyOf(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  if (limit === 0) return Buffer.alloc(0);
  if (Number(request.headers["content-length"]) > limit) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  // A loop over the request would destroy it when it is left, and the answer with it.
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else resolve(undefined);
  });
  request.on("end", () => resolve(Buffer.concat(chunks)));
  request.on("error", () => resolve(undefined)); // nobody is left to read the answer
  return promise;
}

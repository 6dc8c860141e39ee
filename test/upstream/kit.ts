// What the tests of the upstream side share: scripted servers on loopback, and exchanges as promises.
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { createSecureContext, createServer as createTlsServer, type TlsOptions } from "node:tls";
import { parseAuthority } from "../../src/http/authority.ts";
import { Body, type BodySink, type BodySource } from "../../src/http/body.ts";
import { defaultH1Limits } from "../../src/http/h1/limits.ts";
import { Headers } from "../../src/http/headers.ts";
import type { Framing, ResponseHead } from "../../src/http/message.ts";
import {
  type ConnectionInfo,
  Upstream,
  type UpstreamError,
  type UpstreamExchange,
  type UpstreamOptions,
  type UpstreamTarget,
} from "../../src/upstream/index.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";

export const ca = makeCa();
export const leaf = makeLeaf(ca, ["localhost", "127.0.0.1"]);

interface Overrides extends Partial<Omit<UpstreamOptions, "timeouts" | "limits">> {
  readonly timeouts?: Partial<UpstreamOptions["timeouts"]>;
  readonly limits?: Partial<UpstreamOptions["limits"]>;
}

/** An Upstream that may reach loopback, trusts {@link ca}, and is gone with the test. */
export function makeUpstream(t: TestContext, overrides: Overrides = {}): Upstream {
  const upstream = new Upstream({
    denyCidrs: [],
    allowMetadata: false,
    resolver: undefined,
    forwardProxy: { httpProxy: undefined, httpsProxy: undefined, noProxy: undefined },
    secureContext: createSecureContext({ ca: ca.certPem, minVersion: "TLSv1.2" }),
    ownAddresses: () => [],
    ...overrides,
    timeouts: {
      connectMs: 3000,
      responseHeaderMs: 5000,
      bodyMs: 5000,
      idleMs: 5000,
      continueMs: 1000,
      ...overrides.timeouts,
    },
    limits: { h1: defaultH1Limits, idlePerHost: 8, idleTotal: 100, ...overrides.limits },
  });
  t.after(() => upstream.destroy());
  return upstream;
}

/** One connection as a scripted server sees it. */
export interface Peer {
  readonly socket: Socket;
  /** 1 for the server's first connection. */
  readonly number: number;
  /** Everything received so far. */
  received(): string;
  /** Waits until the text received contains this. */
  until(text: string): Promise<void>;
  send(text: string): void;
}

export interface ScriptedServer {
  readonly port: number;
  readonly peers: Peer[];
  readonly address: string;
}

/** A server that does to each connection what the script says; gone with the test. */
export async function serve(
  t: TestContext,
  script: (peer: Peer) => unknown,
  tls?: TlsOptions | true,
): Promise<ScriptedServer> {
  const peers: Peer[] = [];
  const onSocket = (socket: Socket): void => {
    const peer = makePeer(socket, peers.length + 1);
    peers.push(peer);
    script(peer);
  };
  const tlsOptions = tls === true ? { cert: leaf.certPem, key: leaf.keyPem } : tls;
  const server: Server = tlsOptions
    ? createTlsServer(tlsOptions, onSocket).on("tlsClientError", () => {})
    : createServer({ allowHalfOpen: true }, onSocket);
  // Those too whose TLS handshake never ends, and so are nobody's peer.
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  const port = await listen(server);
  t.after(() => {
    server.close();
    for (const { socket } of peers) socket.destroy();
    for (const socket of sockets) socket.destroy();
  });
  return { port, peers, address: `127.0.0.1:${port}` };
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function makePeer(socket: Socket, number: number): Peer {
  let text = "";
  const waiting = new Set<() => void>();
  socket.on("error", () => {});
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
    for (const check of waiting) check();
  });
  return {
    socket,
    number,
    received: () => text,
    send: (answer) => void socket.write(answer, "latin1"),
    until: (wanted) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!text.includes(wanted)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

/** A server that gives one answer to each request without a body, as often as asked. */
export function answering(
  t: TestContext,
  answer: string | ((peer: Peer, request: number) => string | undefined),
  tls?: TlsOptions | true,
): Promise<ScriptedServer> {
  return serve(
    t,
    (peer) => {
      let seen = 0;
      peer.socket.on("data", () => {
        const requests = peer.received().split("\r\n\r\n").length - 1;
        while (seen < requests) {
          seen++;
          const text = typeof answer === "string" ? answer : answer(peer, seen);
          if (text !== undefined) peer.send(text);
        }
      });
    },
    tls,
  );
}

export const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

export function target(authority: string, scheme: "http" | "https" = "http", partition = ""): UpstreamTarget {
  return { scheme, authority: parseAuthority(authority, undefined), partition };
}

export interface Outcome {
  readonly interims: ResponseHead[];
  readonly head: ResponseHead | undefined;
  readonly info: ConnectionInfo | undefined;
  readonly body: string;
  readonly trailers: Headers | undefined;
  /** What was given to `onError`. */
  readonly error: UpstreamError | undefined;
  /** What the response's body was aborted with. */
  readonly aborted: UpstreamError | undefined;
}

export interface TestRequest {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: Body | string;
  readonly framing?: Framing;
  readonly expectContinue?: boolean;
  readonly onInterim?: (head: ResponseHead) => void;
  readonly onResponse?: (head: ResponseHead) => void;
  /** Takes the body in place of the collector. */
  readonly sink?: BodySink;
  readonly onSent?: (exchange: UpstreamExchange) => void;
}

/** Sends a request and gives all that came of it, once it is over. */
export function send(upstream: Upstream, to: UpstreamTarget, request: TestRequest = {}): Promise<Outcome> {
  const body =
    typeof request.body === "string" ? Body.of(Buffer.from(request.body)) : (request.body ?? Body.empty());
  const length = body.length;
  const framing =
    request.framing ??
    (length === undefined
      ? ({ kind: "chunked" } as const)
      : length > 0
        ? ({ kind: "length", length } as const)
        : ({ kind: "none" } as const));
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    const interims: ResponseHead[] = [];
    let head: ResponseHead | undefined;
    let info: ConnectionInfo | undefined;
    const settle = (rest: Partial<Outcome>): void => {
      const text = Buffer.concat(chunks).toString("latin1");
      resolve({
        interims,
        head,
        info,
        body: text,
        trailers: undefined,
        error: undefined,
        aborted: undefined,
        ...rest,
      });
    };
    const exchange = upstream.send(
      to,
      {
        method: request.method ?? "GET",
        target: request.target ?? "/",
        headers: Headers.of([["Host", to.authority.text], ...(request.headers ?? [])]),
        body,
        framing,
        expectContinue: request.expectContinue ?? false,
      },
      {
        onInterim: (interim) => {
          interims.push(interim);
          request.onInterim?.(interim);
        },
        onResponse: (answer, content, connection) => {
          head = answer;
          info = connection;
          request.onResponse?.(answer);
          const sink = request.sink;
          content.pipe({
            write: (bytes) => {
              chunks.push(bytes);
              return sink ? sink.write(bytes) : true;
            },
            end: (trailers) => settle({ trailers }),
            abort: (error) => settle({ aborted: error as UpstreamError }),
          });
        },
        onError: (error) => settle({ error }),
      },
    );
    request.onSent?.(exchange);
  });
}

/** A request body whose pieces the test hands out. */
export class ManualBody implements BodySource {
  readonly length: number | undefined;
  sink: BodySink | undefined;
  resumed = 0;
  cancelled = false;

  constructor(length?: number) {
    this.length = length;
  }

  get started(): boolean {
    return this.sink !== undefined;
  }

  start(sink: BodySink): void {
    this.sink = sink;
  }

  resume(): void {
    this.resumed++;
  }

  cancel(): void {
    this.cancelled = true;
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something holds, for two seconds at most. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  const late = performance.now() + 2000;
  // A connection that becomes idle is in the pool from the next turn on.
  await turn();
  while (!holds()) {
    if (performance.now() > late) throw new Error(`never happened: ${what}`);
    await pause(2);
  }
}

import { parseAuthority, defaultPorts } from "../../src/http/authority.ts";
import { Body, type BodySource } from "../../src/http/body.ts";
import { Headers } from "../../src/http/headers.ts";
import { parseTarget } from "../../src/http/target.ts";
import { ExchangeState, TunnelState } from "../../src/pipeline/exchange.ts";
import type { Trace } from "../../src/pipeline/types.ts";

export interface FakeRequest {
  method?: string;
  /** `https://host:port/path?query`; the target goes through the real parser. */
  url?: string;
  /** In order; repeats and casing are kept. */
  headers?: readonly (readonly [name: string, value: string])[];
  /** A string is sent as its UTF-8 bytes and is there already; a source has to be read first. */
  body?: string | Buffer | BodySource;
  maxRequestBody?: number;
  /** `proxy.plaintext_credentials: allow`. */
  plaintextCredentials?: boolean;
}

/** An exchange as a transform meets it, and what the transform noted about it. */
export interface FakeExchange extends ExchangeState {
  readonly trace: Trace;
  readonly annotations: Record<string, unknown>;
}

/** An exchange around one request, without a connection. */
export function fakeExchange(options: FakeRequest = {}): FakeExchange {
  const { method = "GET", url = "https://api.example.com/", headers = [], body } = options;
  const match = /^(https?):\/\/([^/?]+)(.*)$/.exec(url);
  if (match === null) throw new Error(`no URL: ${url}`);
  const [, scheme, host, rest] = match as unknown as [string, "http" | "https", string, string];
  const target = parseTarget(method, rest.startsWith("/") ? rest : `/${rest}`);
  const annotations: Record<string, unknown> = {};
  const trace: Trace = { name: "test", action: "allow", durationMs: 0, annotations };
  const exchange = new ExchangeState({
    id: "test",
    scheme,
    authority: parseAuthority(host, defaultPorts[scheme]),
    client: {
      remoteAddress: "127.0.0.1:1",
      sni: undefined,
      tls: undefined,
      tunnel: undefined,
      caller: undefined,
    },
    request: {
      method,
      path: target.path,
      query: target.query,
      canonicalPath: target.canonicalPath,
      version: 11,
      headers: Headers.of(headers),
      body: bodyOf(body),
    },
    maxRequestBody: options.maxRequestBody ?? 1 << 20,
    maxResponseBody: Number.POSITIVE_INFINITY,
    plaintextCredentials: options.plaintextCredentials ?? false,
  });
  exchange.current = trace;
  return Object.assign(exchange, { trace, annotations });
}

/** A tunnel that asks to be let in. */
export function fakeTunnel(
  authority: string,
): TunnelState & { readonly annotations: Record<string, unknown> } {
  const annotations: Record<string, unknown> = {};
  const tunnel = new TunnelState("connect", parseAuthority(authority, 443), "127.0.0.1:1", undefined);
  tunnel.current = { name: "test", action: "allow", durationMs: 0, annotations };
  return Object.assign(tunnel, { annotations });
}

/** A body that arrives in pieces, one per turn of the event loop. */
export function streamedBody(...pieces: readonly string[]): BodySource {
  return {
    length: undefined,
    start(sink) {
      const next = (index: number): void => {
        const piece = pieces[index];
        if (piece === undefined) {
          sink.end(undefined);
          return;
        }
        sink.write(Buffer.from(piece));
        setImmediate(next, index + 1);
      };
      setImmediate(next, 0);
    },
    resume() {},
    cancel() {},
  };
}

function bodyOf(body: FakeRequest["body"]): Body {
  if (body === undefined) return Body.empty();
  if (typeof body === "string") return Body.of(Buffer.from(body, "utf8"));
  return Buffer.isBuffer(body) ? Body.of(body) : Body.from(body);
}

import type { Body } from "../http/body.ts";
import type { Framing } from "../http/message.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";

export const noBody: Framing = { kind: "none" };
const emptyBody: Framing = { kind: "length", length: 0 };

/** How the request's body is framed upstream: as it came, unless a transform holds all of it. */
export function requestFraming(incoming: Framing, body: Body): Framing {
  const bytes = body.bytes;
  if (bytes !== undefined) {
    if (incoming.kind === "none" && bytes.length === 0) return incoming;
    if (incoming.kind === "chunked" && body.trailers !== undefined) return incoming;
    return { kind: "length", length: bytes.length };
  }
  return body.length === undefined ? { kind: "chunked" } : { kind: "length", length: body.length };
}

/** How the answer is framed for the client. What ended with the upstream's connection becomes chunked: a cut shows. */
export function responseFraming(upstream: Framing, body: Body, clientVersion: number): Framing {
  // HTTP/2 ends an answer without a body by its head alone, which HTTP/1.1 cannot.
  if (upstream.kind === "none") return clientVersion < 20 ? emptyBody : upstream;
  const length = body.length;
  if (length !== undefined && body.trailers === undefined) return { kind: "length", length };
  return clientVersion < 11 ? { kind: "close" } : { kind: "chunked" };
}

/** The Host field as it goes upstream: the canonical name, with the port only where the client wrote one. */
export function hostHeader(sent: string | undefined, exchange: ExchangeState): string {
  const { text, host } = exchange.authority;
  if (sent === text) return text;
  const name = host.kind === "ipv6" ? `[${host.name}]` : host.name;
  if (sent === name) return name;
  const wrotePort = sent !== undefined && /:\d+$/.test(sent);
  const defaultPort = exchange.scheme === "https" ? 443 : 80;
  return wrotePort || exchange.authority.port !== defaultPort ? text : name;
}

// client ── TLS ──▶ ClientHello peeked ──▶ policy on the name ──▶ leaf ──▶ TLS ended here ──▶ HTTP/1.1 inside

import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { type Authority, AuthorityError, type Host, makeAuthority, parseHost } from "../http/authority.ts";
import { type TunnelRequest, type Caller } from "../pipeline/types.ts";
import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import type { Reason } from "../reasons.ts";
import { type ClientHello, ClientHelloReader } from "../tls/client-hello.ts";
import { alerts, sendAlert, terminate, TlsHandshakeError } from "../tls/server.ts";
import type { ConnectionFacts, ListenerContext, StandingRefusal } from "./context.ts";
import { readFirstBytes } from "./first-bytes.ts";
import { serveHttp } from "./http.ts";
import { serveHttp2 } from "./http2.ts";
import { connectionRecord } from "./record.ts";

/** How a TLS connection got here. */
export interface TlsEntry {
  readonly remoteAddress: string;
  readonly caller: Caller | undefined;
  /** The tunnel it came through; nothing for redirected traffic, where only the server name speaks. */
  readonly tunnel: TunnelState | undefined;
}

/** The name a connection is served under. */
interface Served {
  readonly host: Host;
  readonly sni: string | undefined;
  /** What every request must be for; without a port for redirected traffic. */
  readonly authority: Authority | undefined;
  readonly refusal: StandingRefusal | undefined;
  /** Policy admits the name, so a leaf may be made whatever the budget for refusals says (I8). */
  readonly admitted: boolean;
}

/** Ends TLS on a connection whose first bytes may have been read already, and serves what is inside. */
export function serveTls(
  socket: Socket,
  first: Buffer | undefined,
  entry: TlsEntry,
  context: ListenerContext,
): void {
  const reader = new ClientHelloReader();
  const chunks: Buffer[] = [];
  const onBytes = (chunk: Buffer): (() => void) | undefined => {
    chunks.push(chunk);
    const result = reader.push(chunk);
    if (result.kind === "incomplete") return undefined;
    const head = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    if (result.kind === "hello") return () => onHello(socket, head, result, entry, context);
    return () =>
      refuse(socket, entry, context, "tls_client_hello_invalid", result.message, alerts.decodeError);
  };
  const onGiveUp = (why: "closed" | "timeout") => {
    const text =
      why === "timeout" ? "the ClientHello did not arrive in time" : "closed before a whole ClientHello";
    // A connection without a byte asked for nothing: it was a probe.
    if (chunks.length > 0) audit(entry, context, "tls_client_hello_invalid", text);
    socket.destroy();
  };
  const known = first === undefined ? undefined : onBytes(first);
  if (known !== undefined) {
    known();
    return;
  }
  readFirstBytes(socket, context.serverOptions.deadlines, context.handshakeMs, { onBytes, onGiveUp });
}

function onHello(
  socket: Socket,
  head: Buffer,
  hello: ClientHello,
  entry: TlsEntry,
  context: ListenerContext,
): void {
  const served = whom(hello, entry, context);
  if (served instanceof Promise) {
    served.then(
      (late) => proceed(socket, head, late, entry, context),
      () => socket.destroy(),
    );
  } else proceed(socket, head, served, entry, context);
}

/** Decides whose name is on the leaf and what the connection may be used for (I1, I2). */
function whom(
  hello: ClientHello,
  entry: TlsEntry,
  context: ListenerContext,
): Served | Problem | Promise<Served | Problem> {
  let sni: Host | undefined;
  try {
    sni = hello.serverName === undefined ? undefined : parseHost(hello.serverName);
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    return { reason: "invalid_host", message: `TLS server name: ${error.message}` };
  }
  const target = entry.tunnel?.authority;
  if (target === undefined) {
    if (sni === undefined) return { reason: "tls_name_missing", message: "the ClientHello names no server" };
    const host = sni;
    return admit(makeAuthority(host, 443), entry, context, (decision) => ({
      host,
      sni: host.name,
      authority: undefined,
      refusal: undefined,
      admitted: decision === undefined,
    }));
  }
  if (sni === undefined || sni.name === target.host.name) {
    return { host: target.host, sni: sni?.name, authority: target, refusal: undefined, admitted: true };
  }
  if (target.host.kind === "name") {
    const refusal = { status: 421, reason: "authority_mismatch", by: "authority" } as const;
    return { host: sni, sni: sni.name, authority: undefined, refusal, admitted: false };
  }
  // A tunnel to an address whose ClientHello has a name takes the name; the address is not dialled (attack 2).
  const authority = makeAuthority(sni, target.port);
  const host = sni;
  return admit(authority, entry, context, (decision) => ({
    host,
    sni: host.name,
    authority,
    refusal: decision === undefined ? undefined : standing(decision),
    admitted: decision === undefined,
  }));
}

function admit(
  authority: Authority,
  entry: TlsEntry,
  context: ListenerContext,
  then: (decision: Decision | undefined) => Served,
): Served | Promise<Served> {
  const state = new TunnelState("sni", authority, entry.remoteAddress, entry.caller);
  const decision = context.pipeline().tunnel(state);
  return decision instanceof Promise ? decision.then(then) : then(decision);
}

function standing({ verdict, by }: Decision): StandingRefusal {
  return verdict.kind === "reject"
    ? { status: verdict.status, reason: verdict.reason, by }
    : { status: 403, reason: "host_not_allowed", by };
}

interface Problem {
  readonly reason: Reason;
  readonly message: string;
}

function proceed(
  socket: Socket,
  head: Buffer,
  served: Served | Problem,
  entry: TlsEntry,
  context: ListenerContext,
): void {
  if ("message" in served) {
    refuse(socket, entry, context, served.reason, served.message, alerts.unrecognizedName);
    return;
  }
  if (!served.admitted && !context.leaves.has(served.host) && !context.mayExplain(served.host)) {
    const reason = served.refusal?.reason ?? "host_not_allowed";
    refuse(socket, entry, context, reason, undefined, alerts.unrecognizedName, served.host.name);
    return;
  }
  const leaf = context.leaves.contextFor(served.host);
  if (leaf instanceof Promise) {
    leaf.then(
      (ready) => handshake(socket, head, ready, served, entry, context),
      (error: unknown) => {
        context.debug("making a leaf failed", { host: served.host.name, error: String(error) });
        refuse(
          socket,
          entry,
          context,
          "internal_error",
          "making a leaf certificate failed",
          alerts.internalError,
        );
      },
    );
  } else handshake(socket, head, leaf, served, entry, context);
}

function handshake(
  socket: Socket,
  head: Buffer,
  leaf: SecureContext,
  served: Served,
  entry: TlsEntry,
  context: ListenerContext,
): void {
  const { http2 } = context;
  const alpn = http2 === undefined ? ["http/1.1"] : ["h2", "http/1.1"];
  const options = { context: leaf, alpn, handshakeTimeoutMs: context.handshakeMs };
  terminate(socket, head, options).then(
    (secure) => {
      const facts = factsOf(secure, served, entry);
      if (secure.alpnProtocol === "h2" && http2 !== undefined) serveHttp2(secure, http2, facts, context);
      else serveHttp(secure, facts, context);
    },
    (error: unknown) => {
      const message = error instanceof TlsHandshakeError ? error.message : "the TLS handshake failed";
      audit(entry, context, "tls_handshake_failed", message, served.host.name);
      socket.destroy();
    },
  );
}

function factsOf(secure: TLSSocket, served: Served, entry: TlsEntry): ConnectionFacts {
  const tunnel: TunnelRequest | undefined = entry.tunnel;
  return {
    scheme: "https",
    client: {
      remoteAddress: entry.remoteAddress,
      sni: served.sni,
      tls: { version: secure.getProtocol() ?? "", resumed: secure.isSessionReused() },
      tunnel,
      caller: entry.caller,
    },
    tunnel: entry.tunnel,
    authority: served.authority,
    host: served.host,
    refusal: served.refusal,
    proxyRequests: entry.tunnel === undefined,
  };
}

function refuse(
  socket: Socket,
  entry: TlsEntry,
  context: ListenerContext,
  reason: Reason,
  message: string | undefined,
  alert: number,
  sni = "",
): void {
  sendAlert(socket, alert);
  audit(entry, context, reason, message, sni);
}

function audit(
  entry: TlsEntry,
  context: ListenerContext,
  reason: Reason,
  error: string | undefined,
  sni = "",
): void {
  const client = {
    remoteAddress: entry.remoteAddress,
    sni: sni === "" ? undefined : sni,
    tls: undefined,
    tunnel: entry.tunnel,
    caller: entry.caller,
  };
  const denied = reason === "host_not_allowed" || reason === "authority_mismatch";
  context.audit.write(
    connectionRecord(
      context.nextId(),
      { client, tunnel: entry.tunnel },
      {
        method: "",
        host: entry.tunnel?.authority.text ?? sni,
        action: denied ? "reject" : "error",
        status: 0,
        reason,
        error,
      },
    ),
  );
}

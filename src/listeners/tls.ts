// client ── TLS ──▶ ClientHello peeked ──▶ policy on the name ──▶ leaf ──▶ TLS ended here ──▶ HTTP/1.1 inside

import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import type { TunnelRequest, Caller } from "../pipeline/types.ts";
import type { TunnelState } from "../pipeline/exchange.ts";
import type { Reason } from "../reasons.ts";
import { type ClientHello, ClientHelloReader } from "../tls/client-hello.ts";
import { alerts, sendAlert, terminate, TlsHandshakeError } from "../tls/server.ts";
import type { ConnectionFacts, ListenerContext, SplicedUpstream } from "./context.ts";
import { type GaveUp, readFirstBytes } from "./first-bytes.ts";
import { serveHttp } from "./http.ts";
import { serveHttp2 } from "./http2.ts";
import { passThrough } from "./passthrough.ts";
import { connectionRecord } from "./record.ts";
import { type Problem, type Served, whom } from "./server-name.ts";

/** How a TLS connection got here. */
export interface TlsEntry {
  readonly remoteAddress: string;
  readonly caller: Caller | undefined;
  /** The tunnel it came through; nothing for redirected traffic, where only the server name speaks. */
  readonly tunnel: TunnelState | undefined;
  /** The connection behind the tunnel, where it was made already. */
  readonly upstream?: SplicedUpstream | undefined;
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
  const onGiveUp = (why: GaveUp) => {
    entry.upstream?.channel.source.cancel();
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
  readFirstBytes(socket, context, context.handshakeMs, { onBytes, onGiveUp });
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
  const mode = served.admitted ? context.unopened(served.target) : undefined;
  if (mode !== undefined) {
    // Nothing in a connection that is not opened could prove who sends it; a tunnel did.
    if (entry.tunnel === undefined && context.authenticate(undefined) === false) {
      refuse(socket, entry, context, "caller_required", undefined, alerts.accessDenied, served.host.name);
      return;
    }
    const { target: authority, sni, policy } = served;
    passThrough(socket, head, { authority, sni, mode, policy }, entry, context);
    return;
  }
  const { leaves } = context;
  if (
    leaves === undefined ||
    (!served.admitted && !leaves.has(served.host) && !context.mayExplain(served.host))
  ) {
    const reason = served.refusal?.reason ?? "host_not_allowed";
    refuse(socket, entry, context, reason, undefined, alerts.unrecognizedName, served.host.name);
    return;
  }
  entry.upstream?.channel.source.cancel();
  const leaf = leaves.contextFor(served.host);
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
  entry.upstream?.channel.source.cancel();
  sendAlert(socket, alert);
  audit(entry, context, reason, message, sni);
}

const policyReasons: ReadonlySet<Reason> = new Set([
  "host_not_allowed",
  "authority_mismatch",
  "caller_required",
]);

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
  const denied = policyReasons.has(reason);
  context.audit.write(
    connectionRecord(
      context.nextId(),
      { client, tunnel: entry.tunnel },
      {
        method: "",
        host: entry.tunnel?.authority.text ?? sni,
        mode: context.leaves === undefined ? "sni-only" : undefined,
        action: denied ? "reject" : "error",
        status: 0,
        reason,
        error,
      },
    ),
  );
}

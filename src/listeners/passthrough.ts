// client ── TLS, decided on by its name, not opened ──▶ the same bytes ──▶ upstream

import type { Socket } from "node:net";
import type { AuditRecord } from "../audit/types.ts";
import type { Authority } from "../http/authority.ts";
import { socketChannel } from "../http/socket-channel.ts";
import { splice, type SpliceOutcome } from "../http/splice.ts";
import type { TunnelState } from "../pipeline/exchange.ts";
import type { Reason } from "../reasons.ts";
import { alerts, sendAlert } from "../tls/server.ts";
import type { DialFailure, ListenerContext, SplicedUpstream } from "./context.ts";
import { connectionRecord } from "./record.ts";
import type { TlsEntry } from "./tls.ts";

/** A connection that is not opened, and where it goes. */
export interface Unopened {
  readonly authority: Authority;
  readonly sni: string | undefined;
  readonly mode: "sni-only" | "passthrough";
  /** The policy run that admitted the name, where no tunnel had been opened for it. */
  readonly policy: TunnelState | undefined;
}

/**
 * Passes TLS on as it is, both ways, until both sides have ended; no credential can be in it. One record is written
 * then, with the bytes of both directions.
 * @param head what was read from the socket already
 */
export function passThrough(
  socket: Socket,
  head: Buffer,
  unopened: Unopened,
  entry: TlsEntry,
  context: ListenerContext,
): void {
  const { authority } = unopened;
  const record = recorder(unopened, entry, context);
  if (!context.audit.healthy) {
    entry.upstream?.channel.source.cancel();
    sendAlert(socket, alerts.internalError);
    record({ action: "reject", status: 0, reason: "audit_unavailable" });
    return;
  }
  const join = (upstream: SplicedUpstream): void => {
    socket.unshift(head);
    splice(socketChannel(socket), upstream.channel, {
      deadlines: context.serverOptions.deadlines,
      idleMs: context.passthroughIdleMs,
      onEnd({ outcome, fromClient, fromUpstream }) {
        const bytes = { bytesIn: fromClient, bytesOut: fromUpstream, upstreamAddress: upstream.address };
        record({ ...ending(outcome), status: 200, ...bytes });
      },
    });
  };
  if (entry.upstream !== undefined) {
    join(entry.upstream);
    return;
  }
  const left = new AbortController();
  const onClose = () => left.abort();
  const ignore = () => {};
  socket.once("close", onClose);
  socket.on("error", ignore);
  void context.dial(authority, entry.caller, left.signal).then((dialed) => {
    socket.off("close", onClose);
    socket.off("error", ignore);
    if (!("reason" in dialed)) {
      join(dialed);
    } else if (left.signal.aborted) {
      record({ action: "client_cancel", status: 0, reason: "client_disconnected" });
    } else {
      sendAlert(socket, dialed.status === 403 ? alerts.accessDenied : alerts.internalError);
      record(failing(dialed));
    }
  });
}

type Event = Pick<
  Parameters<typeof connectionRecord>[2],
  "action" | "status" | "reason" | "error" | "bytesIn" | "bytesOut" | "upstreamAddress"
>;

function recorder(
  { authority, sni, mode, policy }: Unopened,
  entry: TlsEntry,
  context: ListenerContext,
): (event: Event) => void {
  const startedAt = performance.now();
  const { remoteAddress, caller, tunnel } = entry;
  const client = { remoteAddress, sni, tls: undefined, tunnel, caller };
  const id = context.nextId();
  const recordOf = (event: Event): AuditRecord => {
    const { host, port, text } = authority;
    return connectionRecord(
      id,
      { client, tunnel: tunnel ?? policy },
      {
        ...event,
        method: "",
        host: port === 443 ? host.name : text,
        mode,
        durationMs: performance.now() - startedAt,
        insideTunnel: tunnel !== undefined,
      },
    );
  };
  context.onBegun?.(id, () => recordOf({ action: "allow", status: 200 }));
  return (event) => context.audit.write(recordOf(event));
}

function ending(outcome: SpliceOutcome): { action: AuditRecord["action"]; reason?: Reason; error?: string } {
  switch (outcome) {
    case "closed":
      return { action: "allow" };
    case "idle":
      return { action: "allow", reason: "idle_timeout" };
    case "client_cut":
      return { action: "client_cancel", reason: "client_disconnected" };
    case "upstream_cut":
      return { action: "error", reason: "upstream_closed", error: "the upstream's connection was cut" };
  }
}

function failing({ status, reason, message, detail }: DialFailure): Event {
  return { action: status === 403 ? "reject" : "error", status: 0, reason, error: detail ?? message };
}

import type { AuditRecord } from "../audit/types.ts";
import type { Reason } from "../reasons.ts";
import type { ConnectionFacts } from "./context.ts";

/** What a record about something that was no exchange says. */
export interface ConnectionEvent {
  readonly method: string;
  readonly host: string;
  readonly action: AuditRecord["action"];
  readonly status: number;
  readonly reason?: Reason | undefined;
  readonly rejectedBy?: string | undefined;
  readonly error?: string | undefined;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  readonly durationMs?: number;
  /** How what is inside is treated; `mitm` where nothing is said. */
  readonly mode?: AuditRecord["mode"] | undefined;
  readonly upstreamAddress?: string | undefined;
  /** It happened inside the tunnel, which has a record of its own. */
  readonly insideTunnel?: boolean;
}

/** The record of a tunnel that was opened or refused, or of bytes that were no request. */
export function connectionRecord(
  id: string,
  facts: Pick<ConnectionFacts, "client" | "tunnel">,
  event: ConnectionEvent,
): AuditRecord {
  const { client, tunnel } = facts;
  const record: AuditRecord = {
    time: Date.now(),
    requestId: id,
    host: event.host,
    method: event.method,
    path: "",
    remoteAddress: client.remoteAddress,
    // iron-proxy's records of CONNECT have the host here, and tools read it.
    sni: client.sni ?? (tunnel === undefined || tunnel.kind === "sni" ? "" : tunnel.authority.host.name),
    mode: event.mode ?? "mitm",
    action: event.action,
    status: event.status,
    durationMs: event.durationMs ?? 0,
    bytesIn: event.bytesIn ?? 0,
    bytesOut: event.bytesOut ?? 0,
    requestTraces: event.insideTunnel === true ? [] : (tunnel?.traces ?? []),
    responseTraces: [],
  };
  if (event.reason !== undefined) record.reason = event.reason;
  if (event.rejectedBy !== undefined) record.rejectedBy = event.rejectedBy;
  if (event.error !== undefined) record.error = event.error;
  if (event.upstreamAddress !== undefined) record.upstreamAddress = event.upstreamAddress;
  if (event.insideTunnel === true && tunnel !== undefined) {
    record.tunnel = { target: tunnel.authority.text, traces: tunnel.traces };
  }
  const caller = tunnel?.caller ?? client.caller;
  if (caller !== undefined) record.caller = caller.name;
  return record;
}

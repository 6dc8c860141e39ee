import type { AuditRecord } from "../audit/types.ts";
import { defaultPorts } from "../http/authority.ts";
import type { RequestHead } from "../http/message.ts";
import type { ConnectionFacts } from "../listeners/context.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import type { Client } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import type { ConnectionInfo } from "../upstream/index.ts";

/** How an exchange ended; filled in as it goes. */
export interface Outcome {
  /** Absent while nothing but success has happened. */
  action: AuditRecord["action"] | undefined;
  status: number;
  reason: Reason | undefined;
  rejectedBy: string | undefined;
  stubbedBy: string | undefined;
  error: string | undefined;
  connection: ConnectionInfo | undefined;
  bytesIn: number;
  bytesOut: number;
  durationMs: number;
  /** Milliseconds from the request being handed to the upstream leg to the head of its response. */
  upstreamMs: number | undefined;
}

export function emptyFacts(): Outcome {
  return {
    action: undefined,
    status: 0,
    reason: undefined,
    rejectedBy: undefined,
    stubbedBy: undefined,
    error: undefined,
    connection: undefined,
    bytesIn: 0,
    bytesOut: 0,
    durationMs: 0,
    upstreamMs: undefined,
  };
}

/**
 * The audit record of one exchange (I13). Host and path are those of the request as it arrived (I14).
 * @param client with the caller, also where the request was refused before it became an exchange
 */
export function exchangeRecord(
  id: string,
  head: RequestHead,
  facts: ConnectionFacts,
  client: Client,
  exchange: ExchangeState | undefined,
  outcome: Outcome,
): AuditRecord {
  const connection = outcome.connection;
  const record: AuditRecord = {
    time: Date.now(),
    requestId: id,
    host: exchange === undefined ? (facts.authority?.text ?? facts.host?.name ?? "") : hostText(exchange),
    method: head.method,
    path: exchange?.request.canonicalPath ?? "",
    remoteAddress: client.remoteAddress,
    sni: client.sni ?? "",
    mode: "mitm",
    action: outcome.action ?? "allow",
    status: outcome.status,
    durationMs: outcome.durationMs,
    bytesIn: outcome.bytesIn,
    bytesOut: outcome.bytesOut,
    requestTraces: exchange?.requestTraces ?? [],
    responseTraces: exchange?.responseTraces ?? [],
  };
  if (outcome.reason !== undefined) record.reason = outcome.reason;
  if (outcome.rejectedBy !== undefined) record.rejectedBy = outcome.rejectedBy;
  if (outcome.stubbedBy !== undefined) record.stubbedBy = outcome.stubbedBy;
  if (outcome.error !== undefined) record.error = outcome.error;
  if (client.caller !== undefined) record.caller = client.caller.name;
  if (connection !== undefined) {
    record.upstreamAddress = connection.address;
    record.reused = connection.reused;
  }
  if (client.tls !== undefined || connection?.tls !== undefined) {
    record.tls = {
      ...(client.tls === undefined ? {} : { client: client.tls.version }),
      ...(connection?.tls === undefined ? {} : { upstream: connection.tls }),
    };
  }
  const answered = exchange?.response?.version;
  record.http = {
    client: httpVersions[head.version],
    ...(answered === undefined ? {} : { upstream: httpVersions[answered] }),
  };
  if (facts.tunnel !== undefined && facts.tunnel.kind !== "sni") {
    record.tunnel = { target: facts.tunnel.authority.text, traces: facts.tunnel.traces };
  }
  if (exchange?.bodyCapture !== undefined) record.bodyCapture = exchange.bodyCapture;
  return record;
}

/** As RFC 9110 section 2.5 writes them. */
const httpVersions = { 10: "1.0", 11: "1.1", 20: "2" } as const;

/** The host as clients write it: without the port that the scheme stands for. */
function hostText({ authority, scheme }: ExchangeState): string {
  const { text, port } = authority;
  return port === defaultPorts[scheme] ? text.slice(0, text.lastIndexOf(":")) : text;
}

import type { FindingRecord } from "../findings/types.ts";
import type { Trace } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";

export type { Trace };

/** Everything the audit knows of one exchange, tunnel or refused connection (I13). */
export interface AuditRecord {
  /** Milliseconds since the epoch when it was emitted. */
  time: number;
  requestId: string;
  host: string;
  method: string;
  /** Canonical path at arrival, without query and without anything a transform put there. */
  path: string;
  remoteAddress: string;
  sni: string;
  mode: "mitm" | "sni-only" | "passthrough";
  action: "allow" | "reject" | "stub" | "error" | "client_cancel";
  /** Status sent to the client; 0 when nothing was. */
  status: number;
  durationMs: number;
  bytesIn: number;
  bytesOut: number;
  reason?: Reason;
  rejectedBy?: string;
  stubbedBy?: string;
  /** Safe text (I14). */
  error?: string;
  caller?: string;
  upstreamAddress?: string;
  /** The upstream connection had carried an exchange before. */
  reused?: boolean;
  tls?: { client?: string; upstream?: string };
  /** Versions of HTTP: the request's, and the answer's where an upstream gave one. */
  http?: { client: string; upstream?: string };
  tunnel?: { target: string; traces: readonly Trace[] };
  requestTraces: readonly Trace[];
  responseTraces: readonly Trace[];
  bodyCapture?: { request_body: string; request_body_truncated: boolean };
}

/** What became of records that are sent to a collector. */
export interface DeliveryStats {
  readonly exported: number;
  /** The collector refused them, or was not there. */
  readonly failed: number;
  /** Never sent: too many waited already. */
  readonly dropped: number;
  readonly waiting: number;
}

/** Where records go. Never throws and never waits for a disk. */
export interface AuditSink {
  write(record: AuditRecord): void;
  /** A record of its own, beside the one of the exchange. */
  writeFinding(record: FindingRecord): void;
  /** False while records cannot be written and `audit.on_failure: deny` says that nothing may pass unseen. */
  readonly healthy: boolean;
  /** Opens the file anew after a rotation. */
  reopen(): void;
  /** Everything is written when this resolves. */
  close(): Promise<void>;
}

import type { AuditRecord } from "../audit/types.ts";
import type { CountsSnapshot } from "../admin/request-counts.ts";
import type { Config } from "../config/types.ts";
import type { LogFields, LogLevel } from "../log/logger.ts";
import type { BoundAddresses } from "../proxy/proxy.ts";
import type { ProxyStats } from "../proxy/stats.ts";
import type { OwnAddress } from "../upstream/index.ts";
import type { Failure, Packed } from "./packed.ts";

/** Everything that the first process says to a worker. Some of it holds credentials: nothing of it is ever logged (I14). */
export type ToWorker =
  | Boot
  | { readonly kind: "policy"; readonly generation: number; readonly config: Config }
  | { readonly kind: "grant"; readonly id: number; readonly grant: Grant }
  | Learnt
  | Known
  | { readonly kind: "audit_health"; readonly healthy: boolean }
  | { readonly kind: "report" }
  | { readonly kind: "stop"; readonly timeoutMs: number };

/** What a worker starts with; it reads no file of the configuration itself, so that all workers have the same. */
export interface Boot {
  readonly kind: "boot";
  readonly generation: number;
  readonly config: Config;
  /** PEM, as read when the process started: a CA that was replaced on disk waits for a restart. */
  readonly ca: { readonly certificate: string; readonly key: string } | undefined;
  readonly ticketKeys: Uint8Array;
  /** Variables that the first process has taken out of its environment and a worker needs: the keys of callers. */
  readonly env: NodeJS.ProcessEnv;
  /** Ports of the first process. */
  readonly ownAddresses: readonly OwnAddress[];
  /** What all processes know. */
  readonly learnt: readonly Lesson[];
  /** What is counted or exported besides being written. */
  readonly wants: { readonly counts: boolean; readonly records: boolean };
  readonly auditHealthy: boolean;
  readonly auditFormat: "json" | "text";
}

/** Everything that a worker says to the first process. */
export type ToPrimary =
  | { readonly kind: "ready"; readonly addresses: BoundAddresses }
  /** It could not start; the message is for the operator. */
  | { readonly kind: "failed"; readonly message: string }
  | Ask
  | Learnt
  | Known
  | AuditBatch
  | { readonly kind: "log"; readonly level: LogLevel; readonly message: string; readonly fields: LogFields }
  | { readonly kind: "applied"; readonly generation: number }
  | Report
  /** Everything is closed and every record is sent. */
  | { readonly kind: "stopped" };

/** An item for the memory of this name. */
export interface Lesson {
  readonly name: string;
  readonly item: unknown;
}

/** Something that a process learnt, and others have to know. */
export interface Learnt extends Lesson {
  readonly kind: "learnt";
  /** To be said back in {@link Known}; 0 where nobody waits for that. */
  readonly id: number;
}

/** It is known: in the process that says so, or to a worker in all of them. */
export interface Known {
  readonly kind: "known";
  readonly id: number;
}

/** Asks for the value of a source or for a token, by their number in the configuration of that generation. */
export interface Ask {
  readonly kind: "ask";
  readonly id: number;
  readonly generation: number;
  readonly of: "source" | "minter";
  readonly index: number;
  /** Version of the value that is held; 0 for none. */
  readonly known: number;
}

export type Grant =
  | { readonly kind: "value"; readonly version: number; readonly value: Packed }
  | { readonly kind: "same" }
  | { readonly kind: "refused"; readonly failure: Failure };

/** Records that a worker wrote down, as bytes that need no further look. */
export interface AuditBatch {
  readonly kind: "audit";
  readonly bytes: Uint8Array;
  readonly lines: number;
  /** The same records once more, where they are exported. */
  readonly records: readonly AuditRecord[];
  /** What the first process does for all, such as telling of findings. */
  readonly errands: readonly Lesson[];
  /** Exchanges that began and have no record yet: what there is to say about them should this worker die. */
  readonly begun: readonly AuditRecord[];
  /** Ids of exchanges named in an earlier batch whose record is in this one. */
  readonly ended: readonly string[];
}

/** Counts since the report before it, and figures of this moment. */
export interface Report {
  readonly kind: "report";
  readonly stats: ProxyStats;
  readonly counts: CountsSnapshot | undefined;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

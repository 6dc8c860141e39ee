import type { FindingCount } from "../findings/ledger.ts";
import type { WebhookStats } from "../findings/webhook.ts";
import type { DnsStats } from "../listeners/dns/server.ts";
import type { SourceStatus } from "../sources/registry.ts";
import type { UpstreamStats } from "../upstream/index.ts";

/** Counters since the start, and gauges of this moment. */
export interface ProxyStats {
  readonly connections: { readonly open: number; readonly accepted: number; readonly limit: number };
  readonly upstream: UpstreamStats;
  /** Certificates kept, and made so far. */
  readonly leaves: { readonly size: number; readonly made: number };
  readonly audit: {
    readonly written: number;
    readonly lost: number;
    readonly waitingBytes: number;
    readonly failing: boolean;
  };
  /** Queries of the DNS server; absent where there is none. */
  readonly dns: Readonly<DnsStats> | undefined;
  readonly sources: readonly SourceStatus[];
  readonly mints: readonly MintStatus[];
  readonly findings: readonly FindingCount[];
  /** Findings that were posted; absent where nobody wants them. */
  readonly findingPosts: WebhookStats | undefined;
  /** The processes that serve, where this one does not serve itself. */
  readonly workers?: WorkersStatus;
}

export interface WorkersStatus {
  /** As configured. */
  readonly wanted: number;
  /** Those that ended without being told to, so far. */
  readonly died: number;
  /** Exchanges that ended with them, as far as is known. */
  readonly exchangesLost: number;
  readonly processes: readonly WorkerStatus[];
}

export interface WorkerStatus {
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly connections: number;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** What one mechanism minted. */
export interface MintStatus {
  readonly mechanism: string;
  readonly minted: number;
  readonly failed: number;
  /** Whether the last attempt went well. */
  readonly healthy: boolean;
}

/** Counts attempts to mint, by mechanism; it outlives the policies. */
export class MintCounts {
  readonly #counts = new Map<string, { minted: number; failed: number; healthy: boolean }>();

  /** One attempt has ended. */
  add(mechanism: string, ok: boolean): void {
    let counts = this.#counts.get(mechanism);
    if (counts === undefined) {
      counts = { minted: 0, failed: 0, healthy: true };
      this.#counts.set(mechanism, counts);
    }
    if (ok) counts.minted++;
    else counts.failed++;
    counts.healthy = ok;
  }

  list(): MintStatus[] {
    return [...this.#counts].map(([mechanism, counts]) => ({ mechanism, ...counts }));
  }
}

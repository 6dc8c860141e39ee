import type { AuditSink } from "../audit/types.ts";
import type { FindingAction, FindingKind, FindingRecord } from "./types.ts";

/** One record a minute of what is found again and again, as of a placeholder in the history of a chat. Blocked requests have one each. */
const foldMs = 60_000;
/** Findings remembered for that. */
const maxFolded = 1024;

/** A finding as it was made, before it is known how often there was one like it. */
export type Found = Omit<FindingRecord, "repeated">;

export interface LedgerOptions {
  readonly audit: Pick<AuditSink, "writeFinding">;
  /** Told of every record, besides the audit. */
  readonly post: (record: FindingRecord) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

/** How many findings there were; blocked and reported apart. */
export interface FindingCount {
  readonly kind: FindingKind;
  readonly action: FindingAction;
  readonly count: number;
}

/** Counts findings, folds those that come again and again, and passes on the rest. */
export class Ledger {
  readonly #options: LedgerOptions;
  readonly #counts = new Map<string, { kind: FindingKind; action: FindingAction; count: number }>();
  readonly #folded = new Map<string, { until: number; repeated: number }>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  enter(found: Found): void {
    this.#count(found);
    const repeated = this.#fold(found);
    if (repeated === undefined) return;
    const record: FindingRecord = { ...found, repeated };
    this.#options.audit.writeFinding(record);
    this.#options.post(record);
  }

  get counts(): readonly FindingCount[] {
    return [...this.#counts.values()];
  }

  #count({ kind, action }: Found): void {
    const key = `${kind} ${action}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.count++;
    else this.#counts.set(key, { kind, action, count: 1 });
  }

  /** @returns how often it was found since its last record; `undefined` where that was a moment ago */
  #fold({ kind, action, secret, where, host, caller, remoteAddress }: Found): number | undefined {
    if (action === "blocked") return 0;
    const whose = caller ?? remoteAddress.replace(/:\d+$/, "");
    const key = `${kind} ${secret ?? ""} ${where} ${host} ${whose}`;
    const now = this.#options.now();
    const known = this.#folded.get(key);
    if (known !== undefined && now < known.until) {
      known.repeated++;
      return undefined;
    }
    this.#folded.delete(key);
    for (const oldest of this.#folded.keys()) {
      if (this.#folded.size < maxFolded) break;
      this.#folded.delete(oldest);
    }
    this.#folded.set(key, { until: now + foldMs, repeated: 0 });
    return known?.repeated ?? 0;
  }
}

import type { AuditSink } from "../audit/types.ts";
import { defaultPorts } from "../http/authority.ts";
import type { ExchangeState, FindingSink } from "../pipeline/exchange.ts";
import type { Exposed } from "../scrub/forms.ts";
import { CallerPlaces } from "./caller-places.ts";
import { Inspection } from "./inspection.ts";
import { KnownValues } from "./known-values.ts";
import type { Finding, FindingAction, FindingKind, FindingRecord } from "./types.ts";
import type { Watch } from "./watch.ts";

/** One record a minute of what is found again and again, as of a placeholder in the history of a chat. Blocked requests have one each. */
const foldMs = 60_000;
/** Findings remembered for that. */
const maxFolded = 1024;

export interface FindingsOptions {
  readonly audit: AuditSink;
  /** What the policy in force looks for. */
  readonly watch: () => Watch;
  /** Told of every record, besides the audit. */
  readonly post: (record: FindingRecord) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

/** How many findings there were; blocked and reported apart. */
export interface FindingCount {
  readonly kind: FindingKind;
  readonly action: FindingAction;
  readonly count: number;
}

/** Looks for misuse in the requests of one proxy, and tells of it. It outlives the policies. */
export class Findings implements FindingSink {
  readonly known: KnownValues;
  readonly #options: FindingsOptions;
  readonly #now: () => number;
  readonly #places: CallerPlaces;
  readonly #counts = new Map<string, { kind: FindingKind; action: FindingAction; count: number }>();
  readonly #folded = new Map<string, { until: number; repeated: number }>();

  constructor(known: KnownValues, options: FindingsOptions) {
    this.known = known;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#places = new CallerPlaces(this.#now);
  }

  /**
   * Looks at a request before anything is done with it.
   * @returns `undefined` where the configuration gives nothing to look for
   */
  inspect(exchange: ExchangeState): Inspection | undefined {
    exchange.findings = this;
    const where = this.#places.elsewhere(exchange.client);
    if (where !== undefined) {
      this.report(exchange, { kind: "caller_in_two_places", action: "reported", where, count: 1 });
    }
    const watch = this.#options.watch();
    const { automaton } = watch;
    if (automaton === undefined) return undefined;
    const inspection = new Inspection(exchange, watch, automaton, this);
    inspection.begin();
    return inspection;
  }

  learn(exposed: Exposed): void {
    this.known.learn(exposed);
  }

  report(exchange: ExchangeState, finding: Finding): void {
    this.#count(finding);
    const { id, authority, scheme, request, client } = exchange;
    const { text, port } = authority;
    const host = port === defaultPorts[scheme] ? text.slice(0, text.lastIndexOf(":")) : text;
    const caller = client.caller?.name;
    const repeated = this.#fold(finding, `${host} ${caller ?? client.remoteAddress.replace(/:\d+$/, "")}`);
    if (repeated === undefined) return;
    const { method } = request;
    const record: FindingRecord = {
      ...finding,
      time: Date.now(),
      requestId: id,
      host,
      method,
      remoteAddress: client.remoteAddress,
      caller,
      repeated,
    };
    this.#options.audit.writeFinding(record);
    this.#options.post(record);
  }

  get counts(): readonly FindingCount[] {
    return [...this.#counts.values()];
  }

  #count({ kind, action }: Finding): void {
    const key = `${kind} ${action}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.count++;
    else this.#counts.set(key, { kind, action, count: 1 });
  }

  /** @returns how often it was found since its last record; `undefined` where that was a moment ago */
  #fold({ kind, action, secret, where }: Finding, whose: string): number | undefined {
    if (action === "blocked") return 0;
    const key = `${kind} ${secret ?? ""} ${where} ${whose}`;
    const now = this.#now();
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

import type { AuditSink } from "../audit/types.ts";
import { defaultPorts } from "../http/authority.ts";
import type { ExchangeState, FindingSink } from "../pipeline/exchange.ts";
import type { Exposed } from "../scrub/forms.ts";
import type { Commons } from "../sources/commons.ts";
import { CallerPlaces } from "./caller-places.ts";
import { Inspection } from "./inspection.ts";
import type { KnownValues } from "./known-values.ts";
import { type FindingCount, type Found, Ledger } from "./ledger.ts";
import type { Finding, FindingRecord } from "./types.ts";
import type { Watch } from "./watch.ts";

export interface FindingsOptions {
  readonly audit: AuditSink;
  /** What the policy in force looks for. */
  readonly watch: () => Watch;
  /** Told of every record, besides the audit. */
  readonly post: (record: FindingRecord) => void;
  /** Milliseconds of a clock that only goes forward, the same for all processes. */
  readonly now?: () => number;
}

/** Looks for misuse in the requests of one proxy, and tells of it. It outlives the policies. */
export class Findings implements FindingSink {
  readonly known: KnownValues;
  readonly #watch: () => Watch;
  readonly #places: CallerPlaces;
  readonly #ledger: Ledger;
  /** Takes what was found: the ledger here, or that of the process which has it for all. */
  #enter: (found: Found) => void;

  constructor(known: KnownValues, { audit, watch, post, now }: FindingsOptions) {
    this.known = known;
    this.#watch = watch;
    this.#places = new CallerPlaces(now);
    this.#ledger = new Ledger({ audit, post, now: now ?? (() => performance.now()) });
    this.#enter = (found) => this.#ledger.enter(found);
  }

  /** Judges by what all processes know, and has one of them tell of what they find. */
  join(commons: Commons): void {
    commons.join("known values", this.known);
    commons.join("caller places", this.#places);
    this.#enter = commons.once("finding", this.#enter);
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
    const watch = this.#watch();
    const { automaton } = watch;
    if (automaton === undefined) return undefined;
    const inspection = new Inspection(exchange, watch, automaton, this);
    inspection.begin();
    return inspection;
  }

  learn(exposed: Exposed): void {
    this.known.learn(exposed);
  }

  report({ id, authority, scheme, request, client }: ExchangeState, finding: Finding): void {
    const { text, port } = authority;
    const { method } = request;
    const { caller, remoteAddress } = client;
    this.#enter({
      ...finding,
      time: Date.now(),
      requestId: id,
      host: port === defaultPorts[scheme] ? text.slice(0, text.lastIndexOf(":")) : text,
      method,
      remoteAddress,
      caller: caller?.name,
    });
  }

  /** Of this process: none where another one has the ledger. */
  get counts(): readonly FindingCount[] {
    return this.#ledger.counts;
  }
}

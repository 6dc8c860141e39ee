import type { AuditRecord } from "../audit/types.ts";
import { type Host, parseAuthority } from "../http/authority.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import type { Outcome } from "../proxy/record.ts";
import { type DurationCounts, Durations } from "./durations.ts";
import { HostClasses, otherHosts } from "./host-classes.ts";

/** Labels for hosts that metrics ever have; patterns that reloads bring beyond it count as `other` (I12). */
export const maxHostLabels = 100;
/** Hosts whose label is remembered; beyond it the memory starts anew. */
const maxRememberedHosts = 2048;

/** Label of requests that were refused before there was a host to speak of. */
export const noHost = "none";

type Verdict = AuditRecord["action"];

/** One series: how many ended this way. */
export interface Count {
  readonly host: string;
  readonly verdict: Verdict;
  readonly reason: string;
  count: number;
}

/** Everything that one process counted, on its way to the one that tells of it. */
export interface CountsSnapshot {
  readonly requests: readonly Count[];
  readonly tunnels: readonly Count[];
  readonly connections: readonly Count[];
  readonly total: DurationCounts;
  readonly upstream: DurationCounts;
}

/** Counts of one host label. */
interface HostCounts {
  readonly label: string;
  /** Apart from the others, since it is nearly all of them. */
  allowed: number;
  readonly others: Map<string, Count>;
}

/**
 * What the request path counts, in plain numbers; metrics read them when they are asked for. A label object for each
 * request would cost more than the counting.
 */
export class RequestCounts {
  /** From the head of a request to the end of its exchange. */
  readonly total = new Durations();
  /** From handing a request to the upstream leg, connecting included, to the head of its response. */
  readonly upstream = new Durations();
  readonly #requests = new Map<string, HostCounts>();
  readonly #tunnels = new Map<string, HostCounts>();
  #connections: HostCounts = noCounts();
  #classes = new HostClasses([]);
  #remembered = new Map<string, HostCounts>();

  /** The hosts and networks of the rules in force. Counts of others stay. */
  setHosts(patterns: readonly string[]): void {
    this.#classes = new HostClasses(patterns);
    this.#remembered = new Map();
  }

  /** An exchange has ended. */
  onOutcome(exchange: ExchangeState | undefined, outcome: Outcome): void {
    const host = exchange?.authority.host;
    const counts = host === undefined ? this.#countsOf(this.#requests, noHost) : this.#requestsTo(host);
    add(counts, outcome.action ?? "allow", outcome.reason);
    this.total.observe(outcome.durationMs);
    if (outcome.upstreamMs !== undefined) this.upstream.observe(outcome.upstreamMs);
  }

  /** A tunnel was opened or refused, or a connection ended that had no request. */
  onConnection(record: AuditRecord): void {
    const isTunnel = record.method !== "";
    const counts = isTunnel ? this.#countsOf(this.#tunnels, this.#labelOf(record.host)) : this.#connections;
    add(counts, record.action, record.reason);
  }

  /** Everything counted so far, which is forgotten here: another process adds it to its own. */
  take(): CountsSnapshot {
    const { requests, tunnels, connections } = this;
    this.#requests.clear();
    this.#tunnels.clear();
    this.#connections = noCounts();
    this.#remembered.clear();
    return { requests, tunnels, connections, total: this.total.take(), upstream: this.upstream.take() };
  }

  /** Adds what another process counted. */
  absorb({ requests, tunnels, connections, total, upstream }: CountsSnapshot): void {
    for (const one of requests)
      add(this.#countsOf(this.#requests, one.host), one.verdict, one.reason, one.count);
    for (const one of tunnels)
      add(this.#countsOf(this.#tunnels, one.host), one.verdict, one.reason, one.count);
    for (const { verdict, reason, count } of connections) add(this.#connections, verdict, reason, count);
    this.total.add(total);
    this.upstream.add(upstream);
  }

  get requests(): Count[] {
    return listed(this.#requests.values());
  }

  get tunnels(): Count[] {
    return listed(this.#tunnels.values());
  }

  /** Without host. */
  get connections(): Count[] {
    return listed([this.#connections]);
  }

  /** @param target of a tunnel, which may be anything that a client sent */
  #labelOf(target: string): string {
    try {
      return this.#classes.labelOf(parseAuthority(target, 443).host);
    } catch {
      return noHost;
    }
  }

  #requestsTo(host: Host): HostCounts {
    let counts = this.#remembered.get(host.name);
    if (counts === undefined) {
      counts = this.#countsOf(this.#requests, this.#classes.labelOf(host));
      if (this.#remembered.size >= maxRememberedHosts) this.#remembered.clear();
      this.#remembered.set(host.name, counts);
    }
    return counts;
  }

  #countsOf(all: Map<string, HostCounts>, label: string): HostCounts {
    let counts = all.get(label);
    if (counts === undefined) {
      const isFull = all.size >= maxHostLabels && label !== otherHosts && label !== noHost;
      if (isFull) return this.#countsOf(all, otherHosts);
      counts = { label, allowed: 0, others: new Map() };
      all.set(label, counts);
    }
    return counts;
  }
}

function noCounts(): HostCounts {
  return { label: "", allowed: 0, others: new Map() };
}

function add(counts: HostCounts, verdict: Verdict, reason = "", count = 1): void {
  if (verdict === "allow" && reason === "") {
    counts.allowed += count;
    return;
  }
  const key = `${verdict} ${reason}`;
  const series = counts.others.get(key);
  if (series !== undefined) series.count += count;
  else counts.others.set(key, { host: counts.label, verdict, reason, count });
}

function listed(all: Iterable<HostCounts>): Count[] {
  return [...all].flatMap(({ label, allowed, others }) => [
    ...(allowed === 0 ? [] : [{ host: label, verdict: "allow" as const, reason: "", count: allowed }]),
    ...others.values(),
  ]);
}

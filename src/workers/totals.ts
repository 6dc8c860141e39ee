import type { ProxyStats } from "../proxy/stats.ts";

/** Counters since the start, without the gauges: what is left of a worker that has ended. */
export type Departed = Pick<ProxyStats, "connections" | "upstream" | "leaves" | "audit">;

/**
 * The figures of one proxy that several processes are. What the first process has is its own: sources, minting, DNS,
 * findings, and the records that reached it.
 */
export function totalStats(
  primary: ProxyStats,
  workers: readonly ProxyStats[],
  departed: Departed,
): ProxyStats {
  const parts = [...workers, departed];
  const { audit } = primary;
  return {
    ...primary,
    connections: sumOf(parts.map(({ connections }) => connections)),
    upstream: sumOf([primary.upstream, ...parts.map(({ upstream }) => upstream)]),
    leaves: sumOf(parts.map(({ leaves }) => leaves)),
    audit: {
      written: audit.written,
      lost: audit.lost + sum(parts.map((part) => part.audit.lost)),
      waitingBytes: audit.waitingBytes + sum(parts.map((part) => part.audit.waitingBytes)),
      failing: audit.failing,
    },
  };
}

/** Adds a worker that has ended to those before it. */
export function withDeparted(departed: Departed, worker: ProxyStats): Departed {
  const { connections, upstream, leaves, audit } = worker;
  return {
    connections: sumOf([departed.connections, { ...connections, open: 0, limit: 0 }]),
    upstream: sumOf([departed.upstream, { ...upstream, active: 0, idle: 0, dialing: 0 }]),
    leaves: sumOf([departed.leaves, { ...leaves, size: 0 }]),
    audit: { ...departed.audit, lost: departed.audit.lost + audit.lost },
  };
}

export const noneDeparted: Departed = {
  connections: { open: 0, accepted: 0, limit: 0 },
  upstream: { active: 0, idle: 0, dialing: 0, dialed: 0, reused: 0, retried: 0, resumed: 0 },
  leaves: { size: 0, made: 0 },
  audit: { written: 0, lost: 0, waitingBytes: 0, failing: false },
};

/** Adds up every field. */
function sumOf<Figures extends { readonly [Name in keyof Figures]: number }>(
  all: readonly Figures[],
): Figures {
  const names = Object.keys(all[0] ?? {}) as (keyof Figures)[];
  return Object.fromEntries(names.map((name) => [name, sum(all.map((one) => one[name]))])) as Figures;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

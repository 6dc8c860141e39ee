import { readFileSync } from "node:fs";
import type { Logger } from "../log/logger.ts";

/** Descriptors for everything that is no connection of a workload: files, listeners, the operator, sources, names. */
const keptDescriptors = 64;

/** Files and connections this process may have open; Infinity where the system does not say. */
export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** What a process may hold that takes a descriptor each. */
export interface Holdable {
  readonly maxConnections: number;
  readonly upstreamIdleTotal: number;
}

/**
 * As many connections as there are descriptors for: each client's may need one to an upstream, and idle ones to upstreams
 * need theirs. Out of descriptors a system can only cut the next connection, whoever it is from; with some left the one
 * that is too many is answered, and those that are open go on.
 */
export function withinDescriptors({ maxConnections, upstreamIdleTotal }: Holdable, limit: number): Holdable {
  const free = Math.max(4, limit - keptDescriptors);
  const idle = Math.min(upstreamIdleTotal, Math.floor(free / 4));
  return {
    maxConnections: Math.min(maxConnections, Math.max(1, Math.floor((free - idle) / 2))),
    upstreamIdleTotal: idle,
  };
}

/** The limits that hold, told to the operator where they are lower than configured. */
export function holdable(limits: Holdable, logger: Logger): Holdable {
  const descriptors = descriptorLimit();
  const within = withinDescriptors(limits, descriptors);
  if (within.maxConnections < limits.maxConnections) {
    logger.info("fewer connections than configured: the limit of open files allows for no more", {
      connections: within.maxConnections,
      max_connections: limits.maxConnections,
      open_files: descriptors,
    });
  }
  return within;
}

import { healthRoutes, type Readiness, readiness, type ServingState } from "../../admin/health.ts";
import { managementRoutes, type Running } from "../../admin/management.ts";
import type { Reloader } from "../../admin/reloader.ts";
import type { RequestCounts } from "../../admin/request-counts.ts";
import { type AdminListener, listenAdmin, type Route } from "../../admin/server.ts";
import type { AuditExport } from "../../audit/otlp.ts";
import type { Config } from "../../config/types.ts";
import type { Logger } from "../../log/logger.ts";
import type { Served } from "../../proxy/served.ts";
import { packageVersion } from "../../version.ts";

/** What the operator's ports tell of; filled in as the process comes up and goes down. */
export interface ProcessState {
  /** Set when the proxy serves. */
  running: { readonly proxy: Served; readonly reloader: Reloader } | undefined;
  /** A signal to stop has come. */
  stopping: boolean;
  exporting: AuditExport | undefined;
}

export interface AdminOptions {
  readonly config: Config;
  readonly state: ProcessState;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  /** Filled by the proxy, where metrics are on. */
  readonly counts: RequestCounts | undefined;
}

/** Characters below which a key could be guessed: nothing counts the attempts. */
const shortKey = 16;

/** The operator's ports. */
export interface Admin {
  readonly listeners: readonly AdminListener[];
  close(): void;
}

/**
 * Binds the ports for metrics and management, before the proxy serves: a probe is to see that the process lives while
 * it comes up.
 * @throws {ListenError} when a port cannot be bound; none is open then
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const { config, state, env, logger, counts } = options;
  const startedAt = Date.now();
  const bound = new Map<string, AdminListener>();
  const crashed = (route: string, error: string) => logger.error("a handler failed", { route, error });
  const health = healthRoutes(() => servingState(state));
  const close = () => {
    for (const listener of bound.values()) listener.close();
  };
  try {
    const { metrics, management } = config;
    if (metrics.listen !== "off" && counts !== undefined) {
      const routes = [...health, await metricsRoute(state, counts)];
      const listener = await listenAdmin("metrics.listen", metrics.listen, routes, crashed);
      bound.set("metrics", listener);
      logger.info("metrics server starting", { addr: listener.address });
    }
    if (management.listen !== "off") {
      const key = env[management.apiKeyEnv] ?? "";
      if (key.length < shortKey) {
        const variable = management.apiKeyEnv;
        logger.warn("the management key is short; make one with: openssl rand -hex 32", { variable });
      }
      const routes = managementRoutes({
        key,
        version: packageVersion(),
        startedAt,
        running: () => running(state, bound),
        refresh: async () => state.running?.proxy.refresh?.(),
        readiness: () => ready(state),
        onUnauthorized: () => logger.warn("management request without the right key"),
      });
      const listener = await listenAdmin(
        "management.listen",
        management.listen,
        [...health, ...routes],
        crashed,
      );
      bound.set("management", listener);
      logger.info("management server starting", { addr: listener.address });
    }
  } catch (error) {
    close();
    throw error;
  }
  return { listeners: [...bound.values()], close };
}

async function metricsRoute(state: ProcessState, counts: RequestCounts): Promise<Route> {
  const { createMetrics } = await import("../../admin/metrics.ts");
  const registry = createMetrics({
    version: packageVersion(),
    counts,
    stats: () => state.running?.proxy.stats(),
    reloads: () => state.running?.reloader.history,
    delivery: () => state.exporting?.stats,
    ready: () => ready(state).ready,
    draining: () => state.stopping,
  });
  return {
    path: "/metrics",
    method: "GET",
    async handle() {
      await state.running?.proxy.refresh?.();
      return { status: 200, type: registry.contentType, body: await registry.metrics() };
    },
  };
}

function servingState({ running, stopping }: ProcessState): ServingState {
  return {
    serving: running !== undefined,
    sourcesChecked: running?.proxy.sourcesChecked === true,
    draining: stopping,
    sources: running?.proxy.stats().sources ?? [],
  };
}

function ready(state: ProcessState): Readiness {
  return readiness(servingState(state));
}

function running(state: ProcessState, bound: ReadonlyMap<string, AdminListener>): Running | undefined {
  if (state.running === undefined) return undefined;
  const { proxy, reloader } = state.running;
  const own = [...bound].map(([name, { address }]) => [name, address] as const);
  return {
    config: reloader.config,
    reloads: reloader.history,
    draining: state.stopping,
    listeners: { ...proxy.addresses, ...Object.fromEntries(own) },
    transforms: proxy.transforms.map(({ name }) => name),
    stats: proxy.stats(),
    reload: () => reloader.reload("management API"),
  };
}

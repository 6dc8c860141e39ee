import type { SourceStatus } from "../sources/registry.ts";
import { json, type Route } from "./server.ts";

/** What readiness is told from. */
export interface ServingState {
  /** The proxy's listeners are bound and its configuration is in force. */
  readonly serving: boolean;
  /** Every credential has been asked for once since the start. */
  readonly sourcesChecked: boolean;
  readonly draining: boolean;
  readonly sources: readonly SourceStatus[];
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, in words for programs. */
  readonly reasons: readonly ("starting" | "sources_not_checked" | "draining")[];
  /** Names of sources whose last read failed. They do not keep it from being ready: other credentials work. */
  readonly failingSources: readonly string[];
}

/** Whether new traffic may be sent here. */
export function readiness({ serving, sourcesChecked, draining, sources }: ServingState): Readiness {
  const reasons: Readiness["reasons"][number][] = [];
  if (!serving) reasons.push("starting");
  else if (!sourcesChecked) reasons.push("sources_not_checked");
  if (draining) reasons.push("draining");
  const failing = sources.filter(({ state }) => state === "failing").map(({ name }) => name);
  return { ready: reasons.length === 0, reasons, failingSources: [...new Set(failing)] };
}

/**
 * `/healthz`: the process answers at all. `/readyz`: it may be sent traffic, else 503 and why. Neither needs a key:
 * the kubelet has none.
 */
export function healthRoutes(state: () => ServingState): Route[] {
  return [
    {
      path: "/healthz",
      method: "GET",
      // The very body that iron-proxy answers.
      handle: () => ({ status: 200, type: "text/plain; charset=utf-8", body: "OK" }),
    },
    {
      path: "/readyz",
      method: "GET",
      handle() {
        const { ready, reasons, failingSources } = readiness(state());
        const status = ready ? "ready" : "not_ready";
        return json(ready ? 200 : 503, { status, reasons, failing_sources: failingSources });
      },
    },
  ];
}

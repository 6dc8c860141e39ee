import type { Config } from "../config/types.ts";
import { Proxy } from "../proxy/proxy.ts";
import type { Served } from "../proxy/served.ts";
import type { FleetOptions } from "./fleet.ts";
import { workersOf } from "./shares.ts";

/** Whether this process is one of several that another one started to serve. */
export function isWorker(): boolean {
  return process.channel !== undefined && process.getBuiltinModule("node:cluster").isWorker;
}

/**
 * Starts a proxy with as many processes as the configuration says. With one, nothing of the others is even loaded.
 * @throws what {@link Proxy.start} and `Fleet.start` throw
 */
export async function startServing(config: Config, options: FleetOptions): Promise<Served> {
  if (workersOf(config) === 1) return Proxy.start(config, options);
  const { Fleet } = await import("./fleet.ts");
  return Fleet.start(config, options);
}

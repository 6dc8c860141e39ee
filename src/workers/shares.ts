import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import type { Config, Listen } from "../config/types.ts";
import { bindProblem, ListenError } from "../listeners/tcp.ts";
import type { OwnAddress } from "../upstream/index.ts";

/** How many processes are to serve. */
export function workersOf({ proxy }: Config): number {
  return proxy.workers === "auto" ? availableParallelism() : proxy.workers;
}

/** The configuration of the first process: everything but the ports that workers serve. */
export function primaryConfig(config: Config): Config {
  const limits = { ...config.proxy.limits, maxConnections: 1 };
  const off = { httpListen: "off", httpsListen: "off", tunnelListen: "off" } as const;
  const proxy = { ...config.proxy, ...off, limits };
  return { ...config, proxy };
}

/**
 * The configuration of one worker of several: its part of what is limited for the whole proxy, and nothing that the
 * first process does for all. Each part is rounded up, so that no worker is left without.
 */
export function workerConfig(config: Config, ports: Ports, workers: number): Config {
  const { proxy, tls, dns } = config;
  const part = (whole: number): number => Math.ceil(whole / workers);
  return {
    ...config,
    proxy: {
      ...proxy,
      ...ports.listen,
      limits: {
        ...proxy.limits,
        maxConnections: part(proxy.limits.maxConnections),
        upstreamIdleTotal: part(proxy.limits.upstreamIdleTotal),
      },
    },
    tls: { ...tls, explainDenials: part(tls.explainDenials) },
    dns: { ...dns, listen: "off" },
    sources: { requireAtStart: false },
    // The last of the sources: those before it keep the numbers that the first process knows them by.
    findings: { webhook: undefined },
  };
}

/** The ports of the workers, each with its number. */
export interface Ports {
  readonly listen: Readonly<Record<"httpListen" | "httpsListen" | "tunnelListen", Listen>>;
  readonly own: readonly OwnAddress[];
}

/**
 * Finds out which ports the workers will have, by binding each for a moment: where the system is to choose one, a worker
 * that takes the place of another has to get the same.
 * @throws {ListenError} when one cannot be bound
 */
export async function findPorts({ proxy }: Config): Promise<Ports> {
  const own: OwnAddress[] = [];
  const bind = async (what: string, at: Listen): Promise<Listen> => {
    if (at === "off") return at;
    const bound = await boundAddress(what, at);
    own.push(bound);
    return { host: at.host, port: bound.port };
  };
  const listen = {
    httpListen: await bind("proxy.http_listen", proxy.httpListen),
    httpsListen: await bind("proxy.https_listen", proxy.httpsListen),
    tunnelListen: await bind("proxy.tunnel_listen", proxy.tunnelListen),
  };
  return { listen, own };
}

async function boundAddress(what: string, at: Exclude<Listen, "off">): Promise<OwnAddress> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port: at.port, host: at.host, exclusive: true }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new ListenError(bindProblem(what, at, error as NodeJS.ErrnoException));
  }
  const bound = server.address() as { address: string; port: number };
  await new Promise((closed) => server.close(closed));
  return { address: bound.address, port: bound.port };
}

import type { Agent, buildConnector, Dispatcher } from "undici";
import { hostFromConfig, makeAuthority } from "../http/authority.ts";
import type { Dial } from "./dial.ts";
import type { IdentityOf } from "./identity.ts";

const defaultPorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/**
 * An undici dispatcher for requests of the product's own, such as those to token endpoints and secret stores: same
 * resolver, roots and forward proxy as the exchanges of workloads (I11).
 * @param trusted the destinations were named by the operator, so they may be on this machine. No client certificate
 *   is presented there: one may itself have to be fetched from such a place
 */
export function createDispatcher(
  dial: Dial,
  trusted: boolean,
  identityOf: IdentityOf | undefined,
): Dispatcher {
  const connect: buildConnector.connector = (options, settle) => {
    dialFor(dial, options, trusted, identityOf).then(
      (socket) => settle(null, socket),
      (error: Error) => settle(error, null),
    );
  };
  // Requests of undici use nothing but this of a dispatcher.
  const late: Pick<Dispatcher, "dispatch" | "close" | "destroy"> = new LateAgent({
    connect,
    pipelining: 1,
    allowH2: false,
  });
  return late as Dispatcher;
}

/** An agent of undici's, which is loaded with the first request: it is a good part of the time that a start takes. */
class LateAgent {
  readonly #options: Agent.Options;
  #agent: Promise<Agent> | undefined;

  constructor(options: Agent.Options) {
    this.#options = options;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#agent ??= import("undici").then((undici) => new undici.Agent(this.#options));
    void this.#agent.then((agent) => agent.dispatch(options, handler));
    return true;
  }

  async close(): Promise<void> {
    await (await this.#agent)?.close();
  }

  async destroy(): Promise<void> {
    await (await this.#agent)?.destroy();
  }
}

async function dialFor(
  dial: Dial,
  options: buildConnector.Options,
  trusted: boolean,
  identityOf: IdentityOf | undefined,
) {
  const host = hostFromConfig(options.hostname);
  const port = options.port === "" ? (defaultPorts[options.protocol] ?? 443) : Number(options.port);
  const authority = makeAuthority(host, port);
  const scheme = options.protocol === "https:" ? "https" : "http";
  const { socket } = await dial(scheme, authority, {
    mode: "stream",
    identity: scheme === "https" ? await identityOf?.(authority, !trusted) : undefined,
    alpn: ["http/1.1"],
    signal: undefined,
    trusted,
  });
  return socket;
}

import { Agent, type buildConnector, type Dispatcher } from "undici";
import { hostFromConfig, makeAuthority } from "../http/authority.ts";
import type { Dial } from "./dial.ts";

const defaultPorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/**
 * An undici dispatcher for requests of the product's own, such as those to token endpoints and secret stores: same
 * resolver, roots and forward proxy as the exchanges of workloads (I11).
 * @param trusted the destinations were named by the operator, so they may be on this machine
 */
export function createDispatcher(dial: Dial, trusted: boolean): Dispatcher {
  const connect: buildConnector.connector = (options, settle) => {
    dialFor(dial, options, trusted).then(
      (socket) => settle(null, socket),
      (error: Error) => settle(error, null),
    );
  };
  return new Agent({ connect, pipelining: 1, allowH2: false });
}

async function dialFor(dial: Dial, options: buildConnector.Options, trusted: boolean) {
  const host = hostFromConfig(options.hostname);
  const port = options.port === "" ? (defaultPorts[options.protocol] ?? 443) : Number(options.port);
  const { socket } = await dial(options.protocol === "https:" ? "https" : "http", makeAuthority(host, port), {
    mode: "stream",
    alpn: ["http/1.1"],
    signal: undefined,
    trusted,
  });
  return socket;
}

// client ◀── WebSocket frames, both ways ──▶ upstream, once the handshake was decided on like any request (attack 28)

import type { Channel } from "../http/channel.ts";
import type { Deadlines } from "../http/h1/deadlines.ts";
import type { Headers } from "../http/headers.ts";
import type { Incoming } from "../http/incoming.ts";
import { splice } from "../http/splice.ts";
import { writeAcceptance } from "../http/websocket.ts";
import { UpstreamError } from "../upstream/index.ts";
import type { Outcome } from "./record.ts";

/** What a WebSocket needs of the running proxy besides what its handshake did. */
export interface RelayContext {
  readonly deadlines: Deadlines;
  /** Milliseconds without a byte from either side after which both are cut. */
  readonly websocketIdleMs: number;
}

/**
 * Answers an accepted handshake, and passes on what both sides say until they have ended. `outcome` holds all of it
 * then, the bytes of handshake and frames together.
 * @param headers of the upstream's 101, hop-by-hop fields gone
 * @param watched puts a search on what the client says
 */
export function relayWebSocket(
  context: RelayContext,
  incoming: Incoming,
  headers: Headers,
  upstream: Channel,
  watched: (client: Channel) => Channel,
  outcome: Outcome,
  onEnd: () => void,
): void {
  writeAcceptance(headers, incoming.head.version);
  incoming.onAbandoned = undefined;
  incoming.onDone = undefined;
  const client = incoming.accept(headers);
  const { bytesIn, bytesOut } = incoming;
  splice(watched(client), upstream, {
    deadlines: context.deadlines,
    idleMs: context.websocketIdleMs,
    onEnd(end) {
      outcome.bytesIn = bytesIn + end.fromClient;
      outcome.bytesOut = bytesOut + end.fromUpstream;
      if (end.outcome === "idle") outcome.reason = "idle_timeout";
      if (end.outcome === "client_cut") {
        outcome.action = "client_cancel";
        outcome.reason = "client_disconnected";
      }
      if (end.outcome === "upstream_cut") {
        outcome.action = "error";
        outcome.reason = "upstream_closed";
        outcome.error = "the upstream's connection was cut";
      }
      onEnd();
    },
  });
}

/** A 101 that accepts something else than was asked for (attack 29). */
export function badAcceptance(authority: string, problem: string): UpstreamError {
  return new UpstreamError({
    reason: "upstream_response_invalid",
    leg: "response",
    status: 502,
    message: `${authority} sent an invalid answer to the WebSocket handshake: ${problem}.`,
  });
}

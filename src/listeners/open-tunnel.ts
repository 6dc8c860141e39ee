import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import type { DialFailure, ListenerContext, SplicedUpstream } from "./context.ts";

/** What becomes of a tunnel that somebody asked for. */
export type TunnelOutcome =
  /** `upstream` is connected already where the bytes inside are to pass unopened. */
  | { readonly kind: "open"; readonly upstream: SplicedUpstream | undefined }
  | { readonly kind: "refused"; readonly decision: Decision }
  | { readonly kind: "failed"; readonly failure: DialFailure };

/**
 * Decides on a tunnel (I2), and connects it where nothing inside will be opened, so that whoever asked learns of a
 * failure in the terms of its protocol. Where requests are seen, nothing is dialled before one of them was decided on
 * (I8); and an address is not, because the name in its ClientHello would take its place (attack 2).
 * @param left aborted when the client has left
 * @param then called at once unless something has to be waited for, and not when the client has left
 */
export function openTunnel(
  tunnel: TunnelState,
  context: ListenerContext,
  left: AbortSignal,
  then: (outcome: TunnelOutcome) => void,
): void {
  const onDecision = (decision: Decision | undefined): void => {
    if (left.aborted) return;
    if (decision !== undefined) {
      then({ kind: "refused", decision });
      return;
    }
    const { authority, caller } = tunnel;
    if (authority.host.kind !== "name" || context.unopened(authority) === undefined) {
      then({ kind: "open", upstream: undefined });
      return;
    }
    void context.dial(authority, caller, left).then((dialed) => {
      const failed = "reason" in dialed;
      if (!left.aborted)
        then(failed ? { kind: "failed", failure: dialed } : { kind: "open", upstream: dialed });
      else if (!failed) dialed.channel.source.cancel();
    });
  };
  const decision = context.pipeline().tunnel(tunnel);
  if (decision instanceof Promise) void decision.then(onDecision);
  else onDecision(decision);
}

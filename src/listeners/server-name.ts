import { type Authority, AuthorityError, type Host, makeAuthority, parseHost } from "../http/authority.ts";
import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import type { Reason } from "../reasons.ts";
import type { ClientHello } from "../tls/client-hello.ts";
import type { ListenerContext, StandingRefusal } from "./context.ts";
import type { TlsEntry } from "./tls.ts";

/** The name a connection is served under. */
export interface Served {
  readonly host: Host;
  readonly sni: string | undefined;
  /** What every request must be for; without a port for redirected traffic. */
  readonly authority: Authority | undefined;
  /** Where the connection goes if it is not opened. */
  readonly target: Authority;
  /** The policy run on the name, where there was one besides the tunnel's. */
  readonly policy: TunnelState | undefined;
  readonly refusal: StandingRefusal | undefined;
  /** Policy admits the name, so a leaf may be made whatever the budget for refusals says (I8). */
  readonly admitted: boolean;
}

/** A ClientHello that leaves nobody to be served. */
export interface Problem {
  readonly reason: Reason;
  readonly message: string;
}

/** Decides whose name is on the leaf and what the connection may be used for (I1, I2). */
export function whom(
  hello: ClientHello,
  entry: TlsEntry,
  context: ListenerContext,
): Served | Problem | Promise<Served | Problem> {
  let sni: Host | undefined;
  try {
    sni = hello.serverName === undefined ? undefined : parseHost(hello.serverName);
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    return { reason: "invalid_host", message: `TLS server name: ${error.message}` };
  }
  const target = entry.tunnel?.authority;
  if (target === undefined) {
    if (sni === undefined) return { reason: "tls_name_missing", message: "the ClientHello names no server" };
    const host = sni;
    // A client that meant another name, which it hides (ECH), is none the wiser: this one is dialled (attack 16).
    const target = makeAuthority(host, 443);
    return admit(target, entry, context, (decision, policy) => ({
      host,
      sni: host.name,
      authority: undefined,
      target,
      policy,
      refusal: undefined,
      admitted: decision === undefined,
    }));
  }
  if (sni === undefined || sni.name === target.host.name) {
    return { ...unrefused, host: target.host, sni: sni?.name, authority: target, target };
  }
  if (target.host.kind === "name") {
    const refusal = { status: 421, reason: "authority_mismatch", by: "authority" } as const;
    return {
      host: sni,
      sni: sni.name,
      authority: undefined,
      target,
      policy: undefined,
      refusal,
      admitted: false,
    };
  }
  // A tunnel to an address whose ClientHello has a name takes the name; the address is not dialled (attack 2).
  const authority = makeAuthority(sni, target.port);
  const host = sni;
  return admit(authority, entry, context, (decision, policy) => ({
    host,
    sni: host.name,
    authority,
    target: authority,
    policy,
    refusal: decision === undefined ? undefined : standing(decision),
    admitted: decision === undefined,
  }));
}

const unrefused = { policy: undefined, refusal: undefined, admitted: true } as const;

function admit(
  authority: Authority,
  entry: TlsEntry,
  context: ListenerContext,
  then: (decision: Decision | undefined, policy: TunnelState) => Served,
): Served | Promise<Served> {
  const state = new TunnelState("sni", authority, entry.remoteAddress, entry.caller);
  const decision = context.pipeline().tunnel(state);
  return decision instanceof Promise ? decision.then((late) => then(late, state)) : then(decision, state);
}

function standing({ verdict, by }: Decision): StandingRefusal {
  return verdict.kind === "reject"
    ? { status: verdict.status, reason: verdict.reason, by }
    : { status: 403, reason: "host_not_allowed", by };
}

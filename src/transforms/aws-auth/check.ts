import type { Rules } from "../../pipeline/rules.ts";
import type { Exchange, Rejection } from "../../pipeline/types.ts";
import type { Reason } from "../../reasons.ts";
import type { Exposed } from "../../scrub/forms.ts";
import type { ScrubMode } from "../exposure.ts";
import { type ActionPolicy, isToldByBody, operationsOf } from "./actions.ts";
import { canonicalQuery } from "./canonical.ts";
import type { CredentialSource } from "./credentials.ts";
import { type InboundSignature, isProblem, readInbound } from "./inbound.ts";
import { type Payload, type PayloadSettings, planPayload } from "./payload.ts";
import { contradictsHost } from "./scope-host.ts";
import type { Signer } from "./sigv4.ts";

/** One `aws_auth`, compiled. */
export interface Settings extends PayloadSettings {
  readonly rules: Rules;
  /** Empty allows every one. */
  readonly regions: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly actions: ActionPolicy;
  readonly matchScopeToHost: boolean;
  readonly credentials: CredentialSource;
  /** Whether answers are searched for what goes out. */
  readonly scrub: ScrubMode;
  /** What goes out of a signer's keys. */
  readonly exposedKeys: (signer: Signer) => readonly Exposed[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** How a request will be signed. */
export interface Plan {
  readonly inbound: InboundSignature;
  readonly payload: Payload;
  /** The body has to be read: to hash it, or to see which operation it asks for. */
  readonly readsBody: boolean;
}

/** Why a request is not signed. */
export interface Refusal {
  readonly status: number;
  readonly reason: Reason;
  /** Annotations beside the reason; nothing secret (I14). */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Everything that can be decided from the head of a request alone; no body is read and no source asked. */
export function check(exchange: Exchange, settings: Settings): Plan | Refusal {
  const { headers, query, body } = exchange.request;
  const inbound = readInbound(headers, query);
  if (isProblem(inbound)) return refusal(400, inbound.reason, { error: inbound.problem });
  if (canonicalQuery(query) === undefined) {
    return refusal(400, "invalid_target", { error: "the query has a malformed percent-escape" });
  }
  const { scope } = inbound;
  const { region, service } = scope;
  if (!admits(settings.regions, region)) return refusal(403, "region_not_allowed", { region });
  if (!admits(settings.services, service)) return refusal(403, "service_not_allowed", { service });
  if (settings.matchScopeToHost && contradictsHost(exchange.authority.host.name, scope)) {
    return refusal(403, "scope_host_mismatch", { service, region });
  }
  const payload = planPayload(exchange, inbound, settings);
  if ("reason" in payload) return refusal(400, payload.reason);
  const toldByBody = settings.actions.concerns(service) && isToldByBody(service, exchange.request);
  if (toldByBody && body.length === undefined && !settings.allowChunkedBody) {
    return refusal(400, "chunked_body_not_allowed");
  }
  return { inbound, payload, readsBody: body.length !== 0 && (payload.kind === "hash" || toldByBody) };
}

/** What the request asks the service to do, and whether it may; after the body was read where that takes it. */
export function checkAction(exchange: Exchange, { inbound }: Plan, settings: Settings): Refusal | undefined {
  const { service } = inbound.scope;
  if (!settings.actions.concerns(service)) return undefined;
  const { request, authority } = exchange;
  const operations = operationsOf(service, authority.host.name, request, request.body.bytes);
  if (settings.actions.allows(service, operations)) return undefined;
  const action = operations.length === 0 ? "unknown" : operations.join("|");
  return refusal(403, "action_not_allowed", { service, action });
}

export function isRefusal(plan: Plan | Refusal): plan is Refusal {
  return "reason" in plan;
}

export function refusal(status: number, reason: Reason, facts: Refusal["facts"] = {}): Refusal {
  return { status, reason, facts };
}

/** Notes a refusal for the audit and puts it into the mechanism's own answer. */
export function reject(exchange: Exchange, { status, reason, facts }: Refusal): Rejection {
  exchange.annotate("rejected", reason);
  for (const [key, value] of Object.entries(facts)) exchange.annotate(key, value);
  const body = JSON.stringify({ error: "aws_auth", reason });
  const response = { status, headers: [["Content-Type", "application/json"]] as const, body };
  return { kind: "reject", status, reason, response };
}

function admits(allowed: ReadonlySet<string>, value: string): boolean {
  return allowed.size === 0 || allowed.has(value);
}

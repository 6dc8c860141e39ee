import type { Config } from "../../config/types.ts";
import { isLoopbackHost } from "../../http/authority.ts";
import { type ExchangeState, TunnelState } from "../../pipeline/exchange.ts";
import { Pipeline } from "../../pipeline/pipeline.ts";
import type { Caller, Transform, Verdict } from "../../pipeline/types.ts";
import { type Reason, reasons } from "../../reasons.ts";
import { transformKinds } from "../../transforms/registry.ts";
import { createGuard } from "../../upstream/guard.ts";
import type { Destination } from "./request.ts";

/** How a request, or the tunnel it would come through, ends. */
export interface Refusal {
  readonly kind: "refuse";
  /** Absent where the mechanism decides it with its answer. */
  readonly status?: number;
  readonly reason: Reason;
  /** The transform that refuses; absent where the proxy itself does. */
  readonly by?: string;
}

export interface Answer {
  readonly kind: "answer";
  readonly status: number;
  readonly by: string;
}

/** TLS that is not opened: nothing in it is decided on. */
export interface Pass {
  readonly kind: "pass";
  /** `host:port` */
  readonly to: string;
  /** The setting. */
  readonly by: string;
}

/** A credential that would be attached. */
export interface Attached {
  /** Its source, as the audit names it; the mechanism where that has no name for it. */
  readonly name: string;
  /** `header Authorization`, `query key`; empty where the mechanism does not say. */
  readonly places: readonly string[];
}

export interface Step {
  readonly name: string;
  /** False behind a transform that ended the request. */
  readonly reached: boolean;
  readonly lines: readonly string[];
}

export interface Decisions {
  readonly steps: readonly Step[];
  readonly end: Refusal | Answer | undefined;
  readonly credentials: readonly Attached[];
}

/** May a tunnel to the host and port be opened? `undefined` when it may. */
export async function decideTunnel(
  { authority }: Destination,
  transforms: readonly Transform[],
  caller: Caller | undefined,
): Promise<Refusal | Answer | undefined> {
  const tunnel = new TunnelState("connect", authority, "127.0.0.1:0", caller);
  const decision = await new Pipeline(transforms).tunnel(tunnel);
  return decision === undefined ? undefined : endOf(decision.verdict, decision.by);
}

/**
 * Leads an exchange through the transforms. Policies and `secrets` decide as they do in the proxy, the latter on
 * stand-ins for values; mechanisms that would call a service only say what they would do.
 */
export async function decideRequest(
  exchange: ExchangeState,
  transforms: readonly Transform[],
): Promise<Decisions> {
  const steps: Step[] = [];
  const credentials: Attached[] = [];
  let end: Refusal | Answer | undefined;
  for (const transform of transforms) {
    const { name } = transform;
    const lines = [...(transform.explain?.(exchange) ?? [])];
    if (end !== undefined) {
      steps.push({ name, reached: false, lines });
      continue;
    }
    if (contactsNobody(name)) {
      exchange.requestTraces.length = 0;
      const decision = await new Pipeline([transform]).request(exchange);
      end = decision === undefined ? undefined : endOf(decision.verdict, name);
      const annotations = exchange.requestTraces[0]?.annotations ?? {};
      credentials.push(...attachedBy(annotations));
      if (lines.length === 0) lines.push(`${name}: ${noted(annotations)}`);
    } else {
      end = said(lines, name) ?? attach(exchange, lines, credentials, name);
    }
    steps.push({ name, reached: true, lines });
  }
  return { steps, end, credentials };
}

/** Mechanisms other than `secrets` may ask token services and the machine's own identity. */
function contactsNobody(name: string): boolean {
  return name === "secrets" || transformKinds.find((kind) => kind.name === name)?.credential === false;
}

function endOf(verdict: NonNullable<Verdict>, by: string): Refusal | Answer {
  if (verdict.kind === "stub") return { kind: "answer", status: verdict.response.status, by };
  return { kind: "refuse", status: verdict.status, reason: verdict.reason, by };
}

/** What a credential transform noted for the audit of what it attached. */
function attachedBy(annotations: Readonly<Record<string, unknown>>): Attached[] {
  return [annotations["swapped"], annotations["injected"]]
    .filter(Array.isArray)
    .flat()
    .map(({ secret, locations }: { secret: string; locations: readonly string[] }) => ({
      name: secret,
      places: locations.map((location) => location.replace(":", " ")),
    }));
}

/** For transforms that explain nothing themselves. Names of what was noted, never values (I14). */
function noted(annotations: Readonly<Record<string, unknown>>): string {
  const { stripped_headers: stripped, ...others } = annotations;
  if (Array.isArray(stripped)) return `would remove ${stripped.join(", ")}`;
  const names = Object.keys(others);
  return names.length === 0 ? "nothing to do" : `would note ${names.join(", ")} in the audit`;
}

/** Mechanisms say `would be refused (reason)`. */
function said(lines: readonly string[], by: string): Refusal | undefined {
  for (const line of lines) {
    const word = /\bwould be refused \((\w+)\)/.exec(line)?.[1];
    const reason = reasons.find((one) => one === word);
    if (reason !== undefined) return { kind: "refuse", reason, by };
  }
  return undefined;
}

/** Mechanisms say `rules match; would ...` of what they attach, and `would skip` where another came first. */
function attach(
  exchange: ExchangeState,
  lines: readonly string[],
  credentials: Attached[],
  name: string,
): Refusal | undefined {
  for (const line of lines) {
    if (!/\brules match; would (?!skip\b)/.test(line)) continue;
    const forbidden = exchange.attachable();
    if (forbidden !== undefined)
      return { kind: "refuse", status: forbidden.status, reason: forbidden.reason, by: name };
    const header = /\bheader ([\w-]+)/.exec(line)?.[1];
    if (header !== undefined) exchange.claim(header.toLowerCase());
    credentials.push({ name, places: header === undefined ? [] : [`header ${header}`] });
  }
  return undefined;
}

/** The address is known without a resolver where the host is one, or is this machine (I11). */
export function deniedAddress({ authority, scheme }: Destination, { proxy }: Config): Refusal | undefined {
  const { host, port } = authority;
  const { httpProxy, httpsProxy } = proxy.upstreamProxy;
  if ((scheme === "http" ? httpProxy : httpsProxy) !== undefined) return undefined; // dialled by another
  const address = host.kind === "name" ? (isLoopbackHost(host) ? "127.0.0.1" : undefined) : host.name;
  if (address === undefined) return undefined;
  const guard = createGuard({
    denyCidrs: proxy.upstreamDenyCidrs,
    allowMetadata: proxy.allowMetadata,
    ownAddresses: () => [],
  });
  const denial = guard.check(address, port);
  return denial === undefined ? undefined : { kind: "refuse", status: deniedStatus, reason: denial.reason };
}

const deniedStatus = 403;

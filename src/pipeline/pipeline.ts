import { BodyAbortedError, BodyTooLargeError } from "../http/body.ts";
import { H1Error } from "../http/h1/errors.ts";
import type { ExchangeState, TunnelState } from "./exchange.ts";
import type { Rejection, Stub, Trace, Transform, Verdict } from "./types.ts";

/** What the pipeline decided, when it is not to go on. */
export interface Decision {
  readonly verdict: Rejection | Stub;
  /** Name of the transform that said so. */
  readonly by: string;
  /** Text for the audit's `error`, where a transform failed rather than decided. */
  readonly error?: string;
}

type Hook = "onTunnel" | "onRequest" | "onResponse";
type Subject = ExchangeState | TunnelState;

/**
 * The transforms of one configuration, in order. An exchange keeps the pipeline it began with, so a reload
 * changes nothing for those under way; the last one out closes it.
 */
export class Pipeline {
  readonly transforms: readonly Transform[];
  readonly #tunnelSteps: readonly Transform[];
  readonly #requestSteps: readonly Transform[];
  readonly #responseSteps: readonly Transform[];
  #users = 0;
  #retired = false;

  constructor(transforms: readonly Transform[]) {
    this.transforms = transforms;
    this.#tunnelSteps = transforms.filter((transform) => transform.onTunnel !== undefined);
    this.#requestSteps = transforms.filter((transform) => transform.onRequest !== undefined);
    this.#responseSteps = transforms.filter((transform) => transform.onResponse !== undefined);
  }

  /** Names in order, as the start-up line shows them. */
  get names(): string {
    return this.transforms.map((transform) => transform.name).join(" → ");
  }

  /** May this workload reach this host and port at all? (I2) */
  tunnel(tunnel: TunnelState): Decision | undefined | Promise<Decision | undefined> {
    return run(this.#tunnelSteps, "onTunnel", tunnel, tunnel.traces);
  }

  /** Policy and credentials for one request; a plain value unless something has to be waited for. */
  request(exchange: ExchangeState): Decision | undefined | Promise<Decision | undefined> {
    return run(this.#requestSteps, "onRequest", exchange, exchange.requestTraces);
  }

  response(exchange: ExchangeState): Decision | undefined | Promise<Decision | undefined> {
    if (this.#responseSteps.length === 0) return undefined;
    const steps = this.#responseSteps.filter((step) => step.wantsResponse?.(exchange) !== false);
    return run(steps, "onResponse", exchange, exchange.responseTraces);
  }

  /** An exchange begins to use it. */
  enter(): void {
    this.#users++;
  }

  leave(): void {
    this.#users--;
    if (this.#retired && this.#users === 0) this.#close();
  }

  /** No new exchange will use it. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#users === 0) this.#close();
  }

  #close(): void {
    for (const transform of this.transforms) transform.close?.();
  }
}

function run(
  steps: readonly Transform[],
  hook: Hook,
  subject: Subject,
  traces: Trace[],
): Decision | undefined | Promise<Decision | undefined> {
  let since = performance.now();
  for (let index = 0; index < steps.length; index++) {
    const step = steps[index] as Transform;
    const trace: Trace = { name: step.name, action: "allow", durationMs: 0 };
    traces.push(trace);
    subject.current = trace;
    let verdict: Verdict | Promise<Verdict>;
    try {
      verdict = call(step, hook, subject);
    } catch (error) {
      return failed(error, trace, since, subject);
    }
    if (verdict instanceof Promise) return wait(verdict, steps, index, hook, subject, traces, since);
    const now = performance.now();
    trace.durationMs = now - since;
    since = now;
    if (verdict !== undefined) return decided(verdict, trace, subject);
  }
  subject.current = undefined;
  return undefined;
}

/** The rest of the pipeline after a transform that had to wait. */
async function wait(
  pending: Promise<Verdict>,
  steps: readonly Transform[],
  index: number,
  hook: Hook,
  subject: Subject,
  traces: Trace[],
  since: number,
): Promise<Decision | undefined> {
  const trace = traces.at(-1) as Trace;
  let verdict: Verdict;
  try {
    verdict = await pending;
  } catch (error) {
    return failed(error, trace, since, subject);
  }
  trace.durationMs = performance.now() - since;
  if (verdict !== undefined) return decided(verdict, trace, subject);
  return run(steps.slice(index + 1), hook, subject, traces);
}

function call(step: Transform, hook: Hook, subject: Subject): Verdict | Promise<Verdict> {
  if (hook === "onTunnel") return step.onTunnel?.(subject as TunnelState);
  if (hook === "onRequest") return step.onRequest?.(subject as ExchangeState);
  return step.onResponse?.(subject as ExchangeState);
}

function decided(verdict: Rejection | Stub, trace: Trace, subject: Subject): Decision {
  trace.action = verdict.kind;
  subject.current = undefined;
  return { verdict, by: trace.name };
}

/**
 * A transform threw. A body that is too large or was cut is the request's fault and gets its own answer; all
 * else fails closed with 502 (I4). The text of an unknown error stays out of every output: it may quote data
 * that holds a credential (I14).
 */
function failed(error: unknown, trace: Trace, since: number, subject: Subject): Decision {
  trace.durationMs = performance.now() - since;
  subject.current = undefined;
  if (error instanceof BodyTooLargeError) {
    trace.action = "reject";
    return { verdict: { kind: "reject", status: 413, reason: "body_too_large" }, by: trace.name };
  }
  if (error instanceof H1Error) {
    // The body that the transform waited for stopped arriving, or broke its framing.
    trace.action = "error";
    trace.error = error.message;
    const { status, reason, message } = error;
    return { verdict: { kind: "reject", status, reason, detail: message }, by: trace.name };
  }
  if (error instanceof BodyAbortedError) {
    trace.action = "error";
    const text = "the request body ended before it was complete";
    trace.error = text;
    return {
      verdict: { kind: "reject", status: 400, reason: "body_incomplete" },
      by: trace.name,
      error: text,
    };
  }
  trace.action = "error";
  const kind = error instanceof Error ? error.name : typeof error;
  const text = `transform ${trace.name} failed (${kind})`;
  trace.error = text;
  return {
    verdict: { kind: "reject", status: 502, reason: "transform_failed" },
    by: trace.name,
    error: text,
  };
}

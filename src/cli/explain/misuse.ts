import { Inspection } from "../../findings/inspection.ts";
import { KnownValues } from "../../findings/known-values.ts";
import type { Finding } from "../../findings/types.ts";
import { Watch } from "../../findings/watch.ts";
import type { ExchangeState } from "../../pipeline/exchange.ts";
import type { Transform } from "../../pipeline/types.ts";
import type { Refusal } from "./decide.ts";

/** What a request would be told of, and whether it would be refused for it. */
export interface Misuse {
  readonly findings: readonly Finding[];
  readonly refusal: Refusal | undefined;
}

/**
 * Searches a request as the proxy does, for placeholders in places they are not for. Real values are not known here. To be called
 * before any transform has run.
 * @returns what says, once they have run and let the request through, what was found
 */
export function searchForMisuse(
  exchange: ExchangeState,
  transforms: readonly Transform[],
): () => Promise<Misuse> {
  const findings: Finding[] = [];
  const watch = new Watch(
    transforms.flatMap(({ placeholders = [] }) => placeholders),
    new KnownValues(),
  );
  const { automaton } = watch;
  if (automaton === undefined) return () => Promise.resolve({ findings, refusal: undefined });
  const sink = {
    report: (_exchange: ExchangeState, finding: Finding) => void findings.push(finding),
    learn() {},
  };
  const inspection = new Inspection(exchange, watch, automaton, sink);
  inspection.begin();
  return async () => {
    // The body is searched as it is read; nobody may have read it.
    await exchange.request.body.buffer(Number.POSITIVE_INFINITY);
    inspection.settle(undefined);
    const refused = inspection.refusal;
    if (refused === undefined) return { findings, refusal: undefined };
    const { status, reason } = refused;
    return { findings, refusal: { kind: "refuse", status, reason, by: "findings" } };
  };
}

// head ──▶ searched before policy ──▶ policy and credentials ──▶ settled: refused, or sent on with its body watched
import { BodyFilter } from "../http/body-filter.ts";
import { BodyAbortedError, type BodySource } from "../http/body.ts";
import type { Headers } from "../http/headers.ts";
import type { ExchangeState, FindingSink } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import { requestFacts } from "../pipeline/rules.ts";
import type { PlaceholderUse, Rejection } from "../pipeline/types.ts";
import type { Automaton } from "../scrub/automaton.ts";
import type { Exposed } from "../scrub/forms.ts";
import { type HeadPlace, scanHead } from "./head.ts";
import { StreamScanner } from "./scan.ts";
import type { FindingAction, FindingKind } from "./types.ts";
import type { Placeholder, Watch } from "./watch.ts";

/**
 * How often a placeholder may stand where it is swapped: once in the headers, once in the path, once in the query. More is a copy for
 * somebody to read (attack 42).
 */
const occurrencesInHead = 1;
const occurrencesInBody = 4;

/** Findings of one request that are told apart. */
const maxHits = 32;

interface Hit {
  readonly kind: FindingKind;
  readonly secret: string;
  readonly where: string;
  count: number;
  readonly blocks: boolean;
}

/** What is known of one placeholder in one request. */
interface Standing {
  /** Entries that are for this request. */
  readonly uses: readonly PlaceholderUse[];
  /** How often it stands where it is swapped, by part of the request: `header`, `query`, `path`, `body`. */
  readonly counts: Map<string, number>;
}

/** One request that is searched for placeholders in wrong places and for real values. */
export class Inspection {
  /** Why the request is refused, once it is. */
  refusal: Rejection | undefined;
  readonly #exchange: ExchangeState;
  readonly #watch: Watch;
  readonly #automaton: Automaton;
  readonly #sink: FindingSink;
  #hits: Map<string, Hit> | undefined;
  #standings: Map<Placeholder, Standing> | undefined;
  /** What was decided when the request was about to leave; `undefined` before. */
  #action: FindingAction | undefined;

  constructor(exchange: ExchangeState, watch: Watch, automaton: Automaton, sink: FindingSink) {
    this.#exchange = exchange;
    this.#watch = watch;
    this.#automaton = automaton;
    this.#sink = sink;
  }

  /** Searches the head as it came, and puts a watch on the body. To be called before any transform has run. */
  begin(): void {
    const { request } = this.#exchange;
    scanHead(request, this.#automaton, this.#inHead);
    if (request.body.length === 0 || !isIdentity(request.headers)) return;
    request.body.wrap((source) => new WatchedBody(source, this, this.#automaton));
  }

  /**
   * To be called once, when the pipeline is through.
   * @param decision what it said; a refusal stands, whatever was found
   * @returns the decision that holds
   */
  settle(decision: Decision | undefined): Decision | undefined {
    const refused = decision?.verdict.kind === "reject";
    const blocking = this.#blocking(decision?.verdict.kind === "stub");
    this.#action = refused || blocking !== undefined ? "blocked" : "reported";
    this.report();
    if (refused || blocking === undefined) return decision;
    this.refusal = refusalFor(blocking);
    return { verdict: this.refusal, by: "findings" };
  }

  /** Tells what was found since the last time. */
  report(): void {
    if (this.#hits === undefined || this.#action === undefined) return;
    const hits = [...this.#hits.values()];
    this.#hits = undefined;
    for (const { kind, secret, where, count } of hits) {
      this.#sink.report(this.#exchange, { kind, action: this.#action, secret, where, count });
    }
  }

  /** A form was found behind the head. @returns true when nothing more may be sent */
  found(exposed: Exposed, where: string): boolean {
    this.#note(exposed, where, undefined);
    if (this.#action === undefined) return false;
    const blocking = this.#blocking(false);
    if (blocking === undefined) return false;
    this.#action = "blocked";
    this.refusal = refusalFor(blocking);
    return true;
  }

  readonly #inHead = (exposed: Exposed, place: HeadPlace, key: string): void => {
    this.#note(exposed, place === "header" ? `header:${key}` : place, { place, key });
  };

  #note(exposed: Exposed, where: string, head: { place: HeadPlace; key: string } | undefined): void {
    const placeholder = this.#watch.placeholder(exposed);
    if (placeholder === undefined) {
      this.#hit("credential_in_request", exposed.name, where, true);
      return;
    }
    const { secret } = placeholder;
    if (head === undefined && placeholder.isWord) return;
    const standing = this.#standing(placeholder);
    const [use = placeholder.uses[0]] = standing.uses;
    const chosen = use?.onMisuse;
    if (standing.uses.length === 0) {
      const { authority, client } = this.#exchange;
      const isHost = placeholder.uses.some(({ rules }) => rules.admits(authority, client.caller));
      const kind = isHost ? "placeholder_wrong_place" : "placeholder_wrong_host";
      this.#hit(kind, secret, where, blocks(chosen, placeholder, head?.place));
      return;
    }
    if (!standing.uses.some((one) => swapsIn(one, where, head))) {
      this.#hit("placeholder_wrong_place", secret, where, blocks(chosen, placeholder, head?.place));
      return;
    }
    const part = head?.place ?? "body";
    const count = (standing.counts.get(part) ?? 0) + 1;
    standing.counts.set(part, count);
    const usual = head === undefined ? occurrencesInBody : occurrencesInHead;
    const most = Math.max(...standing.uses.map(({ maxOccurrences = usual }) => maxOccurrences));
    // Every copy is swapped: one in a body too is more than a mention here.
    if (count > most) this.#hit("placeholder_repeated", secret, where, chosen !== "report");
  }

  #standing(placeholder: Placeholder): Standing {
    this.#standings ??= new Map();
    let standing = this.#standings.get(placeholder);
    if (standing === undefined) {
      const facts = requestFacts(this.#exchange);
      const uses = placeholder.uses.filter(({ rules }) => rules.match(facts));
      standing = { uses, counts: new Map() };
      this.#standings.set(placeholder, standing);
    }
    return standing;
  }

  #hit(kind: FindingKind, secret: string, where: string, isBlocking: boolean): void {
    this.#hits ??= new Map();
    const key = `${kind} ${secret} ${where}`;
    const known = this.#hits.get(key);
    if (known !== undefined) known.count++;
    else if (this.#hits.size < maxHits || isBlocking)
      this.#hits.set(key, { kind, secret, where, count: 1, blocks: isBlocking });
  }

  /** @param stays nothing of the request leaves: only a real value is reason enough to refuse it */
  #blocking(stays: boolean): Hit | undefined {
    let blocking: Hit | undefined;
    for (const hit of this.#hits?.values() ?? []) {
      if (hit.kind === "credential_in_request") return hit;
      if (hit.blocks && !stays) blocking ??= hit;
    }
    return blocking;
  }
}

function swapsIn(
  use: PlaceholderUse,
  where: string,
  head: { place: HeadPlace; key: string } | undefined,
): boolean {
  if (head === undefined) return where === "body" && use.inBody;
  if (head.place === "header") return use.inHeader(head.key);
  return head.place === "query" ? use.inQuery : use.inPath;
}

/** A mention in a body is told, not blocked: the history of a chat repeats it for ever. So is the name of a variable in a URL. */
function blocks(
  chosen: PlaceholderUse["onMisuse"],
  { isName }: Placeholder,
  place: HeadPlace | undefined,
): boolean {
  if (chosen !== undefined) return chosen === "block";
  return place !== undefined && (place === "header" || !isName);
}

function refusalFor({ kind, secret }: Hit): Rejection {
  if (kind === "credential_in_request") {
    const detail = `The request holds the real value of the credential ${secret}. It has leaked: ask the operator to replace it.`;
    return { kind: "reject", status: 403, reason: "credential_in_request", detail };
  }
  const detail = `The placeholder of ${secret} ${wrong[kind] ?? "may not be sent like this"}.`;
  return { kind: "reject", status: 403, reason: "placeholder_misused", detail };
}

const wrong: Partial<Record<FindingKind, string>> = {
  placeholder_wrong_host: "is not for this host",
  placeholder_wrong_place: "stands in a place of the request where it is not replaced",
  placeholder_repeated: "stands in the request more often than is needed",
};

function isIdentity(headers: Headers): boolean {
  const coding = headers.get("content-encoding")?.toLowerCase() ?? "";
  return coding === "" || coding === "identity";
}

/** A request's body that is searched as it passes. Nothing is held back: what completes a credential is not sent, and so the request neither. */
class WatchedBody extends BodyFilter {
  readonly #inspection: Inspection;
  readonly #automaton: Automaton;
  readonly #scanner: StreamScanner;
  #blocked = false;

  constructor(source: BodySource, inspection: Inspection, automaton: Automaton) {
    super(source);
    this.#inspection = inspection;
    this.#automaton = automaton;
    this.#scanner = new StreamScanner(automaton, (exposed) => this.#found(exposed, "body"));
  }

  protected override take(bytes: Uint8Array): void {
    this.#scanner.write(bytes);
    if (this.#blocked) this.#stop();
    else this.send(bytes);
  }

  protected override complete(trailers: Headers | undefined): void {
    this.#scanner.end();
    if (trailers !== undefined) this.#scanTrailers(trailers);
    if (this.#blocked) this.#stop();
    else this.finish(trailers);
  }

  protected override release(): void {
    this.#inspection.report();
  }

  #found(exposed: Exposed, where: string): void {
    if (this.#inspection.found(exposed, where)) this.#blocked = true;
  }

  #scanTrailers(trailers: Headers): void {
    for (let index = 0; index < trailers.size; index++) {
      const scanner = new StreamScanner(this.#automaton, (exposed) =>
        this.#found(exposed, `trailer:${trailers.keyAt(index)}`),
      );
      scanner.write(Buffer.from(trailers.valueAt(index), "latin1"));
      scanner.end();
    }
  }

  #stop(): void {
    this.fail(new BodyAbortedError("the request holds a credential"));
  }
}

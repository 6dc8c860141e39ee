// head ──▶ searched before policy ──▶ policy and credentials ──▶ settled: refused, or sent on with its body watched
import type { Channel } from "../http/channel.ts";
import type { Headers } from "../http/headers.ts";
import type { ExchangeState, FindingSink } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import { requestFacts } from "../pipeline/rules.ts";
import type { PlaceholderUse, Rejection } from "../pipeline/types.ts";
import type { Automaton } from "../scrub/automaton.ts";
import { type Coding, codingsOf, messageCodingOf } from "../scrub/codings.ts";
import type { Exposed } from "../scrub/forms.ts";
import { type HeadPlace, scanHead } from "./head.ts";
import type { FindingAction, FindingKind } from "./types.ts";
import type { Placeholder, Watch } from "./watch.ts";
import { type Finder, WatchedBody, WatchedCodedBody } from "./watched-body.ts";
import { watchedChannel } from "./watched-frames.ts";

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
  readonly placeholder: Placeholder;
  /** Entries that are for this request. */
  readonly uses: readonly PlaceholderUse[];
  /** How often it stands where it is swapped, by part of the request. */
  readonly counts: Record<HeadPlace | "body", number>;
}

/** One request that is searched for placeholders in wrong places and for real values. */
export class Inspection implements Finder {
  /** Why the request is refused, once it is. */
  refusal: Rejection | undefined;
  readonly #exchange: ExchangeState;
  readonly #watch: Watch;
  readonly #automaton: Automaton;
  readonly #sink: FindingSink;
  #hits: Map<string, Hit> | undefined;
  readonly #standings: Standing[] = [];
  /** What was decided when the request was about to leave; `undefined` before. */
  #action: FindingAction | undefined;
  /** The body is coded: a placeholder in it stays what it is. */
  #keepsBody = false;

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
    if (request.body.length === 0) return;
    const reading = readingOf(request.headers);
    if (reading === undefined) return;
    const { coding, messages } = reading;
    this.#keepsBody = coding !== undefined || messages !== undefined;
    request.body.wrap((source) =>
      coding === undefined
        ? new WatchedBody(source, this, this.#automaton, messages)
        : new WatchedCodedBody(source, this, this.#automaton, coding),
    );
  }

  /** Searches what a client says on a WebSocket, also for values that come to be known meanwhile. */
  channel(client: Channel): Channel {
    return watchedChannel(client, this, () => this.#watch.automaton);
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
    this.#note(exposed, undefined, where);
    if (this.#action === undefined) return false;
    const blocking = this.#blocking(false);
    if (blocking === undefined) return false;
    this.#action = "blocked";
    this.refusal = refusalFor(blocking);
    return true;
  }

  readonly #inHead = (exposed: Exposed, place: HeadPlace, key: string): void => {
    this.#note(exposed, place, key);
  };

  /** @param where the name of the header field; without a place, where it is behind the head */
  #note(exposed: Exposed, place: HeadPlace | undefined, where: string): void {
    const placeholder = this.#watch.placeholder(exposed);
    if (placeholder === undefined) {
      this.#hit("credential_in_request", exposed.name, location(place, where), true);
      return;
    }
    const { secret } = placeholder;
    if (place === undefined && placeholder.isWord) return;
    const { uses, counts } = this.#standing(placeholder);
    const [use = placeholder.uses[0]] = uses;
    const chosen = use?.onMisuse;
    if (uses.length === 0) {
      const { authority, client } = this.#exchange;
      const isHost = placeholder.uses.some(({ rules }) => rules.admits(authority, client.caller));
      const kind = isHost ? "placeholder_wrong_place" : "placeholder_wrong_host";
      this.#hit(kind, secret, location(place, where), blocks(chosen, placeholder, place));
      return;
    }
    if (!uses.some((one) => this.#swaps(one, place, where))) {
      const blocking = blocks(chosen, placeholder, place);
      this.#hit("placeholder_wrong_place", secret, location(place, where), blocking);
      return;
    }
    const count = ++counts[place ?? "body"];
    const usual = place === undefined ? occurrencesInBody : occurrencesInHead;
    // Every copy is swapped: one in a body too is more than a mention here.
    if (uses.every(({ maxOccurrences = usual }) => count > maxOccurrences)) {
      this.#hit("placeholder_repeated", secret, location(place, where), chosen !== "report");
    }
  }

  #swaps(use: PlaceholderUse, place: HeadPlace | undefined, where: string): boolean {
    if (place === undefined) return where === "body" && use.inBody && !this.#keepsBody;
    if (place === "header") return use.inHeader(where);
    return place === "query" ? use.inQuery : use.inPath;
  }

  #standing(placeholder: Placeholder): Standing {
    for (const standing of this.#standings) if (standing.placeholder === placeholder) return standing;
    const facts = requestFacts(this.#exchange);
    const uses = placeholder.uses.filter(({ rules }) => rules.match(facts));
    const standing = { placeholder, uses, counts: { path: 0, query: 0, header: 0, body: 0 } };
    this.#standings.push(standing);
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

/** As findings name it. */
function location(place: HeadPlace | undefined, where: string): string {
  if (place === undefined) return where;
  return place === "header" ? `header:${where}` : place;
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

/** How a body is to be read for a search. */
interface Reading {
  readonly coding?: Coding;
  /** Of messages that are compressed one by one. */
  readonly messages?: Coding;
}

/** @returns `undefined` where the body is in a coding, or in several, that the search does not take off */
function readingOf(headers: Headers): Reading | undefined {
  const index = headers.indexOf("content-encoding");
  // S3's framing: what stands in its chunks is not coded.
  if (index < 0 || headers.valueAt(index).trim().toLowerCase() === "aws-chunked") return ofMessages(headers);
  const [coding, ...more] = codingsOf(headers) ?? unknown;
  if (coding === undefined) return ofMessages(headers);
  return coding === "unknown" || more.length > 0 ? undefined : { coding };
}

const unknown = ["unknown"] as const;

function ofMessages(headers: Headers): Reading {
  const messages = messageCodingOf(headers);
  return messages === undefined ? asItIs : { messages };
}

const asItIs: Reading = {};

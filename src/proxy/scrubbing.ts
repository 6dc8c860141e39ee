// request ──▶ what went out is remembered ──▶ upstream ──▶ head, body and trailers are searched for it ──▶ client
import type { Body } from "../http/body.ts";
import type { Channel } from "../http/channel.ts";
import { hasEnvelopes } from "../http/envelopes.ts";
import type { Headers } from "../http/headers.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import type { ExchangeResponse, Trace } from "../pipeline/types.ts";
import { Automaton } from "../scrub/automaton.ts";
import { ScrubbedBody } from "../scrub/body.ts";
import { type Coding, codingsOf, scrubCoded } from "../scrub/codings.ts";
import type { ExposureSet, Exposures } from "../scrub/exposures.ts";
import { scrubHead } from "../scrub/fields.ts";
import type { Exposed } from "../scrub/forms.ts";
import { gather } from "../scrub/gather.ts";
import { keepsLength } from "../scrub/media.ts";
import { recode } from "../scrub/recode.ts";
import { prepareRequest } from "../scrub/request.ts";
import { scrubbedChannel } from "../scrub/websocket.ts";

/** Digests of the body as it was (RFC 1864, RFC 3230, RFC 9530). */
const digestFields = ["content-md5", "digest", "content-digest", "repr-digest"];

/**
 * What is done to the answers of one exchange so that no value comes back that went out.
 * @returns `undefined` where nothing ever went out to this host for this caller
 */
export function scrubbing(exchange: ExchangeState, exposures: Exposures): Scrubbing | undefined {
  const { client, authority, exposed, request } = exchange;
  const set = exposures.after(client.caller?.name ?? "", authority.host.name, exposed);
  if (set === undefined) return undefined;
  if (exposed === undefined)
    prepareRequest(
      request.headers,
      set.values.every(({ keepsRange }) => keepsRange === true),
    );
  return new Scrubbing(exchange, set);
}

/** One exchange whose answers are scrubbed. */
export class Scrubbing {
  readonly #exchange: ExchangeState;
  readonly #set: ExposureSet;
  /** Values of this exchange alone. */
  readonly #own: readonly Exposed[];
  #combined: { readonly shared: Automaton; readonly automaton: Automaton } | undefined;
  #findings: Map<string, { secret: string; where: string; count: number }> | undefined;

  constructor(exchange: ExchangeState, set: ExposureSet) {
    this.#exchange = exchange;
    this.#set = set;
    this.#own = exchange.exposed?.some(({ once }) => once === true)
      ? exchange.exposed.filter(({ once }) => once === true)
      : [];
  }

  /** What is looked for at the moment. */
  readonly automaton = (): Automaton => {
    const shared = this.#set.automaton;
    if (this.#own.length === 0) return shared;
    if (this.#combined?.shared !== shared) {
      this.#combined = { shared, automaton: new Automaton([...this.#set.values, ...this.#own]) };
    }
    return this.#combined.automaton;
  };

  /** Scrubs a head: fields in place. Returns the reason phrase to send. */
  head(reason: string, headers: Headers): string {
    return scrubHead(reason, headers, this.automaton(), this.found);
  }

  /**
   * Scrubs the final answer: its head now, its body as it flows.
   * @param ready called with what is wrong where the answer cannot be let through, which quotes nothing of it; once the answer may be sent, within the read that brought the head where the body came with it
   */
  answer(response: ExchangeResponse, bodiless: boolean, ready: (problem: string | undefined) => void): void {
    const { headers, body } = response;
    response.reason = this.head(response.reason, headers);
    if (bodiless || body.length === 0 || this.automaton().isEmpty) return ready(undefined);
    const codings = codingsOf(headers);
    if (codings === undefined || hasCompressedMessages(headers)) {
      const problem = "The answer is in a content coding that this proxy cannot search for credentials.";
      return ready(this.#set.passesUnknown ? undefined : problem);
    }
    const length = keepsLength(headers);
    // Each message says for itself whether it is compressed, also where all of them are here.
    if (hasEnvelopes(headers)) {
      this.#stream(response, codings, length);
      return ready(undefined);
    }
    gather(body, (whole) => {
      if (whole === undefined) {
        this.#stream(response, codings, length);
        ready(undefined);
      } else ready(this.#whole(response, whole, codings, length));
    });
  }

  /** The frames of a WebSocket, with those of the upstream scrubbed. */
  channel(upstream: Channel): Channel {
    return scrubbedChannel(upstream, {
      automaton: this.automaton,
      found: (exposed) => this.found(exposed, "frame"),
    });
  }

  /** Notes what was found, for the audit record; never the value. */
  readonly found = ({ name }: Exposed, where: string): void => {
    if (this.#findings === undefined) {
      this.#findings = new Map();
      const scrubbed = this.#findings;
      const annotations = {
        get scrubbed() {
          return [...scrubbed.values()];
        },
      };
      const trace: Trace = { name: "scrub", action: "allow", durationMs: 0, annotations };
      this.#exchange.responseTraces.push(trace);
    }
    const key = `${where} ${name}`;
    const known = this.#findings.get(key);
    if (known !== undefined) known.count++;
    else if (this.#findings.size < maxFindings) {
      this.#findings.set(key, { secret: name, where, count: 1 });
      const finding = {
        kind: "credential_in_response",
        action: "scrubbed",
        secret: name,
        where,
        count: 1,
      } as const;
      this.#exchange.findings?.report(this.#exchange, finding);
    }
  };

  #whole(
    { headers, body }: ExchangeResponse,
    whole: Buffer,
    codings: readonly Coding[],
    keepLength: boolean,
  ): string | undefined {
    let scrubbed: Uint8Array | undefined;
    try {
      scrubbed = scrubCoded(whole, codings, this.automaton(), this.#foundInBody, keepLength);
    } catch {
      return "The answer is not in the content coding that it says.";
    }
    body.replace(scrubbed === undefined || scrubbed === whole ? whole : Buffer.from(scrubbed));
    if (scrubbed === undefined) this.#stream({ headers, body }, codings, keepLength);
    else if (scrubbed !== whole) dropDigests(headers);
    return undefined;
  }

  /** Nobody knows yet whether the body will change, and the head leaves now. */
  #stream(
    { headers, body }: { readonly headers: Headers; readonly body: Body },
    codings: readonly Coding[],
    keepLength: boolean,
  ): void {
    dropDigests(headers);
    const events = isEventStream(headers);
    const envelopes = hasEnvelopes(headers);
    recode(
      body,
      codings,
      events,
      (source) =>
        new ScrubbedBody(source, {
          automaton: this.automaton,
          found: this.#foundInBody,
          trailers: (fields) => void scrubHead("", fields, this.automaton(), this.#foundInTrailer),
          keepLength,
          events,
          envelopes,
        }),
    );
  }

  readonly #foundInBody = (exposed: Exposed): void => this.found(exposed, "body");
  readonly #foundInTrailer = (exposed: Exposed, where: string): void =>
    this.found(exposed, where.replace("header", "trailer"));
}

/** Places of one answer that are told apart in its record. */
const maxFindings = 64;

function dropDigests(headers: Headers): void {
  for (const name of digestFields) headers.delete(name);
}

function isEventStream(headers: Headers): boolean {
  return headers.get("content-type")?.toLowerCase().startsWith("text/event-stream") ?? false;
}

/** Messages of gRPC and Connect are compressed one by one, in a coding that a field of their own names. */
function hasCompressedMessages(headers: Headers): boolean {
  return isCompressed(headers, "grpc-encoding") || isCompressed(headers, "connect-content-encoding");
}

function isCompressed(headers: Headers, key: string): boolean {
  const index = headers.indexOf(key);
  return index >= 0 && headers.valueAt(index).toLowerCase() !== "identity";
}

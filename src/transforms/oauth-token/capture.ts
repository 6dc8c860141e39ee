// workload's login ──▶ issuer ──▶ token kept, placeholder to the workload ──▶ its requests have the token again
import { BodyTooLargeError } from "../../http/body.ts";
import type { Exchange, ExchangeResponse, Rejection, Verdict } from "../../pipeline/types.ts";
import { toByteString } from "../byte-string.ts";
import { expose } from "../exposure.ts";
import { type CapturedToken, CapturedTokens } from "./captured.ts";
import type { Entry } from "./entry.ts";
import { captureTokens } from "./issuer-answer.ts";
import type { Swap, TokenEntry } from "./stub.ts";

/** Longest answer of an issuer, in bytes: some tokens are large, and there are three of them. */
const maxAnswerBytes = 262_144;

/** Tokens that workloads got from issuers, and the requests whose answers bring more. */
export class Capturing {
  readonly #tokens: CapturedTokens;
  /** Requests that are on their way to an issuer. */
  readonly #asked = new WeakMap<Exchange, TokenEntry>();

  constructor(tokens: CapturedTokens) {
    this.#tokens = tokens;
  }

  /** Whether a text is a placeholder that this caller got from the endpoint of the entry. */
  readonly has = (text: string, exchange: Exchange, { endpoint }: TokenEntry): boolean =>
    this.#tokens.get(text, callerOf(exchange), endpointName({ endpoint }))?.value !== undefined;

  awaits(exchange: Exchange): boolean {
    return this.#asked.has(exchange);
  }

  /** Sends a token request on to its issuer, with the token that the workload has a placeholder for. */
  forward(exchange: Exchange, entry: TokenEntry, swap: Swap | undefined): Verdict {
    const { headers, body } = exchange.request;
    // The answer has to be read.
    headers.set("Accept-Encoding", "identity");
    this.#asked.set(exchange, entry);
    if (swap === undefined) return undefined;
    const token = this.#tokens.get(swap.placeholder, callerOf(exchange), endpointName(entry));
    if (token?.value === undefined) return undefined;
    const forbidden = exchange.attachable();
    if (forbidden !== undefined) return forbidden;
    const text = (body.bytes as Buffer).toString("latin1");
    exposeToken(exchange, entry, token.placeholder, token.value);
    body.replace(
      Buffer.from(
        text.replaceAll(swap.placeholder, () => swap.encode(token.value as string)),
        "latin1",
      ),
    );
    exchange.annotate("swapped", [{ secret: nameOf(entry), locations: ["body"] }]);
    return undefined;
  }

  /** The token whose placeholder a request has where the entry would set its own; that of the workload counts then. */
  inRequest(exchange: Exchange, entry: Entry): CapturedToken | undefined {
    if (!entry.captures || this.#tokens.size === 0) return undefined;
    const value = exchange.request.headers.get(entry.header);
    if (value === undefined) return undefined;
    const text = value.slice(value.lastIndexOf(" ") + 1);
    return this.#tokens.get(text, callerOf(exchange), endpointName(entry));
  }

  /** Puts it there. What has expired goes as it is: the upstream says so, and the workload gets another one. */
  attach(exchange: Exchange, entry: Entry, { placeholder, value }: CapturedToken): Verdict {
    if (value === undefined) {
      exchange.annotate("skipped", "captured_token_expired");
      return undefined;
    }
    const forbidden = exchange.attachable();
    if (forbidden !== undefined) return forbidden;
    exchange.claim(entry.place);
    exposeToken(exchange, entry, placeholder, value);
    const { headers } = exchange.request;
    const sent = headers.get(entry.header) ?? "";
    headers.set(
      entry.header,
      sent.replace(placeholder, () => toByteString(value)),
    );
    exchange.annotate("swapped", [{ secret: nameOf(entry), locations: [entry.location] }]);
    return undefined;
  }

  /** Takes the tokens out of an issuer's answer. */
  onResponse(exchange: Exchange): Verdict | Promise<Verdict> {
    const entry = this.#asked.get(exchange);
    const { response } = exchange;
    if (entry === undefined || response === undefined || response.status < 200 || response.status > 299)
      return undefined;
    const coding = response.headers.get("content-encoding")?.toLowerCase() ?? "";
    if (coding !== "" && coding !== "identity") return unreadable("is in a content coding");
    let body: Buffer | Promise<Buffer>;
    try {
      body = response.body.buffer(maxAnswerBytes);
    } catch (error) {
      return tooLarge(error);
    }
    const take = (bytes: Buffer) => this.#take(exchange, entry, response, bytes);
    return body instanceof Promise ? body.then(take, tooLarge) : take(body);
  }

  #take(
    exchange: Exchange,
    entry: TokenEntry,
    { headers, body }: ExchangeResponse,
    bytes: Buffer,
  ): Verdict | Promise<Verdict> {
    if (bytes.length === 0) return undefined;
    const caller = callerOf(exchange);
    const endpoint = endpointName(entry);
    const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    const answer = captureTokens(bytes.toString("latin1"), type, (value, kind, seconds) =>
      this.#tokens.add({ caller, endpoint, value }, kind, seconds),
    );
    if (answer === undefined) return unreadable("is neither JSON nor a form");
    if (answer.replaced.size === 0) return undefined;
    body.replace(Buffer.from(answer.text, "latin1"));
    for (const [value, placeholder] of answer.replaced) {
      exposeToken(exchange, entry, placeholder, value);
      for (let index = 0; index < headers.size; index++) {
        const field = headers.valueAt(index);
        const clean = field.replaceAll(toByteString(value), () => placeholder);
        if (clean !== field) headers.setValueAt(index, clean);
      }
    }
    exchange.annotate("captured", answer.replaced.size);
    // The workload may use them on any connection as soon as it has them.
    return this.#tokens.share(answer.replaced.values(), caller)?.then(() => undefined);
  }
}

function exposeToken(exchange: Exchange, entry: TokenEntry, placeholder: string, value: string): void {
  // Its own part: every caller has its own, and none takes the place of another.
  const part = `captured ${placeholder}`;
  expose(exchange, [{ value: toByteString(value), name: nameOf(entry), replacement: placeholder, part }]);
}

function callerOf({ client }: Exchange): string {
  return client.caller?.name ?? "";
}

function endpointName({ endpoint }: Pick<TokenEntry, "endpoint">): string {
  return endpoint.authority + endpoint.path;
}

function nameOf({ index }: Pick<TokenEntry, "index">): string {
  return `oauth_token[${index}]`;
}

function tooLarge(error: unknown): Rejection {
  if (!(error instanceof BodyTooLargeError)) throw error;
  return unreadable("is too large");
}

/** Who cannot tell where the tokens are lets none of them through. */
function unreadable(problem: string): Rejection {
  const detail = `The issuer's answer ${problem}, so its tokens cannot be kept from the workload.`;
  return { kind: "reject", status: 502, reason: "token_unavailable", detail };
}

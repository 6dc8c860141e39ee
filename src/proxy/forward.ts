import type { AuditRecord } from "../audit/types.ts";
import { Body, BodyAbortedError } from "../http/body.ts";
import type { Channel } from "../http/channel.ts";
import type { Answer } from "../http/h1/server.ts";
import { stripHopByHop } from "../http/hop-by-hop.ts";
import type { Incoming } from "../http/incoming.ts";
import type { Framing, ResponseHead } from "../http/message.ts";
import { acceptanceProblem, type Handshake, writeHandshake } from "../http/websocket.ts";
import type { ConnectionFacts } from "../listeners/context.ts";
import type { Findings } from "../findings/findings.ts";
import type { Inspection } from "../findings/inspection.ts";
import type { ExchangeState } from "../pipeline/exchange.ts";
import type { Decision, Pipeline } from "../pipeline/pipeline.ts";
import { refusal, type RefusalAnswer, rejectionAnswer, syntheticAnswer } from "../pipeline/refusal.ts";
import type { ExchangeResponse } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import type { Exposures } from "../scrub/exposures.ts";
import { CodingError } from "../scrub/recode.ts";
import {
  type ConnectionInfo,
  type Upstream,
  UpstreamError,
  type UpstreamHandlers,
} from "../upstream/index.ts";
import { admit, type AdmissionContext, earlyRefusal, type Known } from "./admission.ts";
import { noBody, requestFraming, responseFraming } from "./outgoing.ts";
import { grpcAnswer, isGrpcCall } from "./grpc-answer.ts";
import { emptyFacts, exchangeRecord, type Outcome } from "./record.ts";
import { type Scrubbing, scrubbing } from "./scrubbing.ts";
import { badAcceptance, type RelayContext, relayWebSocket } from "./upgrade.ts";

/** What forwarding needs of the running proxy. */
export interface ForwardContext extends RelayContext, AdmissionContext {
  readonly upstream: Upstream;
  readonly denialMessage: string | undefined;
  /** What went out, which must not come back. */
  readonly exposures: Exposures;
  /** Looks for misuse in requests. */
  readonly findings: Findings;
  pipeline(): Pipeline;
  nextId(): string;
  /** Told of every exchange that ended, for counters and summaries. */
  onOutcome?: ((exchange: ExchangeState | undefined, outcome: Outcome) => void) | undefined;
  /** Told of every exchange that begins, with what gives its record as far as it is known. */
  onBegun?: ((id: string, record: () => AuditRecord) => void) | undefined;
}

/** Takes one request from its parsed head to its audit record. */
export function forward(context: ForwardContext, incoming: Incoming, facts: ConnectionFacts): void {
  new Flow(context, incoming, facts).begin();
}

/** The life of one exchange: decide, forward, answer, record. */
class Flow implements UpstreamHandlers {
  readonly #context: ForwardContext;
  readonly #incoming: Incoming;
  readonly #facts: ConnectionFacts;
  readonly #pipeline: Pipeline;
  readonly #known: Known;
  readonly #startedAt = performance.now();
  readonly #outcome: Outcome = emptyFacts();
  #inspection: Inspection | undefined;
  #scrubbing: Scrubbing | undefined;
  #sent: { cancel(): void } | undefined;
  #sentAt = 0;
  #gone = false;
  #answered = false;

  constructor(context: ForwardContext, incoming: Incoming, facts: ConnectionFacts) {
    this.#context = context;
    this.#incoming = incoming;
    this.#facts = facts;
    this.#pipeline = context.pipeline();
    this.#known = { id: context.nextId(), client: facts.client, exchange: undefined, handshake: undefined };
  }

  begin(): void {
    this.#pipeline.enter();
    this.#incoming.onAbandoned = () => this.#onAbandoned();
    this.#incoming.onDone = (error) => this.#onDone(error);
    let exchange: ExchangeState;
    try {
      exchange = admit(this.#context, this.#incoming, this.#facts, this.#known);
    } catch (error) {
      this.#refuseEarly(error);
      return;
    }
    this.#context.onBegun?.(this.#known.id, () => this.#auditRecord());
    this.#inspection = this.#context.findings.inspect(exchange);
    const decision = this.#pipeline.request(exchange);
    if (decision instanceof Promise) void this.#late(decision, (late) => this.#decided(late));
    else this.#guarded(() => this.#decided(decision));
  }

  /** Goes on with what had to be waited for; whatever fails on the way closes the exchange. */
  async #late<T>(pending: Promise<T>, then: (value: T) => void): Promise<void> {
    try {
      then(await pending);
    } catch (error) {
      this.#crash(error);
    }
  }

  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#crash(error);
    }
  }

  #decided(decision: Decision | undefined): void {
    if (this.#gone) return;
    const settled = this.#inspection === undefined ? decision : this.#inspection.settle(decision);
    if (settled !== undefined) this.#answerDecision(settled);
    else this.#send();
  }

  #send(): void {
    const exchange = this.#known.exchange as ExchangeState;
    this.#scrubbing = scrubbing(exchange, this.#context.exposures);
    const { request, authority } = exchange;
    const head = this.#incoming.head;
    const query = request.query === undefined ? "" : `?${request.query}`;
    if (this.#known.handshake !== undefined) writeHandshake(request.headers, this.#known.handshake);
    this.#sentAt = performance.now();
    this.#sent = this.#context.upstream.send(
      {
        scheme: exchange.scheme,
        authority,
        partition: exchange.client.caller?.name ?? "",
        // A credential that no tool has declared.
        clientCertificate: exchange.client.caller?.tools === undefined,
      },
      {
        method: request.method,
        target: head.target === "*" ? "*" : request.path + query,
        headers: request.headers,
        body: request.body,
        framing: this.#known.handshake === undefined ? requestFraming(head.framing, request.body) : noBody,
        upgrade: this.#known.handshake === undefined ? undefined : "websocket",
        expectContinue: head.expectContinue && request.body.bytes === undefined,
        http2: head.version === 20,
        credentials: exchange.claims,
      },
      this,
    );
  }

  onInterim(head: ResponseHead): void {
    if (this.#answered || this.#gone) return;
    stripHopByHop(head.headers);
    const reason = this.#scrubbing?.head(head.reason, head.headers) ?? head.reason;
    this.#incoming.sendInterim(head.status, reason, head.headers);
  }

  onResponse(head: ResponseHead, body: Body, info: ConnectionInfo): void {
    const exchange = this.#known.exchange as ExchangeState;
    this.#outcome.connection = info;
    this.#outcome.upstreamMs = performance.now() - this.#sentAt;
    if (this.#gone) {
      body.cancel();
      return;
    }
    stripHopByHop(head.headers);
    const { status, reason, version, headers } = head;
    exchange.response = { status, reason, version, headers, body };
    const decision = this.#pipeline.response(exchange);
    if (decision instanceof Promise) void this.#late(decision, (late) => this.#respond(late, head));
    else this.#guarded(() => this.#respond(decision, head));
  }

  /** The upstream accepted the handshake, or says so (attack 29); nothing flows before that is known. */
  onUpgrade(head: ResponseHead, channel: Channel, info: ConnectionInfo): void {
    const exchange = this.#known.exchange as ExchangeState;
    this.#outcome.connection = info;
    const cut = () => channel.sink.abort(new BodyAbortedError("the upgrade came to nothing"));
    this.#sent = { cancel: cut };
    const { headers, status, reason, version } = head;
    const problem = acceptanceProblem(this.#known.handshake as Handshake, exchange.request.headers, headers);
    if (problem !== undefined) {
      cut();
      this.onError(badAcceptance(exchange.authority.text, problem));
      return;
    }
    stripHopByHop(headers);
    exchange.response = { status, reason, version, headers, body: Body.empty() };
    const then = (decision: Decision | undefined) => {
      if (this.#gone) return;
      if (decision !== undefined) {
        cut();
        this.#answerDecision(decision);
        return;
      }
      this.#answered = true;
      this.#outcome.status = 101;
      const watched = (client: Channel) => this.#inspection?.channel(client) ?? client;
      const end = () => this.#onClosed();
      this.#scrubbing?.head(reason, headers);
      const scrubbed = this.#scrubbing?.channel(channel) ?? channel;
      relayWebSocket(this.#context, this.#incoming, headers, scrubbed, watched, this.#outcome, end);
    };
    const decision = this.#pipeline.response(exchange);
    if (decision instanceof Promise) void this.#late(decision, then);
    else this.#guarded(() => then(decision));
  }

  onError(error: UpstreamError): void {
    if (this.#answered || this.#gone) return;
    const misuse = this.#inspection?.refusal;
    if (misuse !== undefined) {
      this.#answerDecision({ verdict: misuse, by: "findings" });
      return;
    }
    const cause = this.#incoming.requestError;
    if (cause !== undefined) {
      this.#outcome.error = cause.message;
      this.#refuse(cause.status, cause.reason, cause.message);
      return;
    }
    this.#outcome.error = error.detail ?? error.message;
    this.#outcome.action = "error";
    this.#refuse(error.status, error.reason, error.message);
  }

  #respond(decision: Decision | undefined, head: ResponseHead): void {
    if (this.#gone) return;
    const exchange = this.#known.exchange as ExchangeState;
    const response = exchange.response as NonNullable<ExchangeState["response"]>;
    if (decision !== undefined) {
      response.body.cancel();
      this.#answerDecision(decision);
      return;
    }
    const bodiless = exchange.request.method === "HEAD" || response.status === 204 || response.status === 304;
    const deliver = () => this.#deliver(response, bodiless ? noBody : head.framing);
    if (this.#scrubbing === undefined) {
      deliver();
      return;
    }
    this.#scrubbing.answer(response, bodiless, (problem) => {
      if (this.#gone) return;
      if (problem === undefined) this.#guarded(deliver);
      else this.#refuseUnscrubbable(response.body, problem);
    });
  }

  #refuseUnscrubbable(body: Body, problem: string): void {
    body.cancel();
    this.#outcome.action = "error";
    this.#outcome.error = problem;
    this.#refuse(502, "unscrubbable_encoding", problem);
  }

  #deliver({ status, reason, headers, body }: ExchangeResponse, upstream: Framing): void {
    const framing =
      upstream === noBody ? noBody : responseFraming(upstream, body, this.#incoming.head.version);
    const bodiless = framing === noBody;
    this.#outcome.status = status;
    this.#answered = true;
    this.#incoming.respond({ status, reason, headers, framing, keepsLength: bodiless }, body);
  }

  #answerDecision({ verdict, by, error }: Decision): void {
    const outcome = this.#outcome;
    if (error !== undefined) outcome.error = error;
    outcome.action = error === undefined ? verdict.kind : "error";
    if (verdict.kind === "stub") {
      outcome.stubbedBy = by;
      this.#answer(syntheticAnswer(verdict.response));
      return;
    }
    outcome.rejectedBy = by;
    outcome.reason = verdict.reason;
    this.#answer(rejectionAnswer(verdict, this.#refusalFacts(verdict.detail)));
  }

  #refuseEarly(error: unknown): void {
    const refused = earlyRefusal(error);
    if (refused === undefined) {
      this.#crash(error);
      return;
    }
    if (refused.by !== undefined) this.#outcome.rejectedBy = refused.by;
    this.#refuse(refused.status, refused.reason, refused.message);
  }

  #refuse(status: number, reason: Reason, detail: string): void {
    this.#outcome.action ??= "reject";
    this.#outcome.reason = reason;
    this.#answer(refusal({ status, reason, ...this.#refusalFacts(detail) }));
  }

  #refusalFacts(detail: string | undefined) {
    return {
      requestId: this.#known.id,
      host: this.#known.exchange?.authority.host.name,
      detail: detail === "" ? undefined : detail,
      override: this.#context.denialMessage,
    };
  }

  #answer(made: Answer | RefusalAnswer): void {
    if (this.#answered || this.#gone) return;
    this.#answered = true;
    this.#outcome.status = made.status;
    const { reason } = this.#outcome;
    const isCall = "message" in made && reason !== undefined && isGrpcCall(this.#incoming.head);
    const answer = isCall ? grpcAnswer(made, reason, made.message) : made;
    if (answer.status === 407) answer.headers.append("Proxy-Authenticate", 'Basic realm="sallyport"');
    const bodiless = isCall || this.#incoming.head.method === "HEAD";
    const length = answer.body.length;
    this.#incoming.respond(
      { ...answer, framing: bodiless ? noBody : { kind: "length", length } },
      bodiless ? Body.empty() : Body.of(answer.body),
    );
  }

  /** A defect of ours: the request ends closed, and nothing of the error's text gets out (I4, I14). */
  #crash(error: unknown): void {
    this.#outcome.action = "error";
    this.#outcome.error = `internal error (${error instanceof Error ? error.name : typeof error})`;
    this.#sent?.cancel();
    if (this.#answered) this.#incoming.destroy();
    else this.#refuse(500, "internal_error", "");
  }

  /** The client left before the answer was complete. */
  #onAbandoned(): void {
    this.#gone = true;
    this.#outcome.action = "client_cancel";
    this.#outcome.reason = "client_disconnected";
    this.#sent?.cancel();
    this.#end();
  }

  /** A WebSocket is over. */
  #onClosed(): void {
    const misuse = this.#inspection?.refusal;
    if (misuse !== undefined) {
      this.#outcome.action = "reject";
      this.#outcome.reason = misuse.reason;
      this.#outcome.rejectedBy = "findings";
    }
    this.#record();
  }

  /** The answer is complete, or was cut because its source failed. */
  #onDone(error: Error | undefined): void {
    if (error !== undefined) {
      const failure = error instanceof UpstreamError ? error : undefined;
      this.#outcome.action = "error";
      const coding = error instanceof CodingError ? "unscrubbable_encoding" : undefined;
      this.#outcome.reason ??= failure?.reason ?? coding ?? "upstream_closed";
      this.#outcome.error = failure?.detail ?? error.message;
      this.#sent?.cancel();
    }
    this.#end();
  }

  #end(): void {
    this.#outcome.bytesIn = this.#incoming.bytesIn;
    this.#outcome.bytesOut = this.#incoming.bytesOut;
    this.#record();
  }

  #record(): void {
    const { audit, onOutcome } = this.#context;
    const outcome = this.#outcome;
    outcome.durationMs = performance.now() - this.#startedAt;
    audit.write(this.#auditRecord());
    onOutcome?.(this.#known.exchange, outcome);
    this.#pipeline.leave();
  }

  #auditRecord(): AuditRecord {
    const { head } = this.#incoming;
    return exchangeRecord(
      this.#known.id,
      head,
      this.#facts,
      this.#known.client,
      this.#known.exchange,
      this.#outcome,
    );
  }
}

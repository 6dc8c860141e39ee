import type { AuditRecord, AuditSink } from "../audit/types.ts";
import { Body, BodyAbortedError } from "../http/body.ts";
import type { Channel } from "../http/channel.ts";
import type { Answer } from "../http/h1/server.ts";
import { stripHopByHop } from "../http/hop-by-hop.ts";
import type { Incoming } from "../http/incoming.ts";
import type { Framing, RequestHead, ResponseHead } from "../http/message.ts";
import { parseTarget, type Target, TargetError } from "../http/target.ts";
import {
  acceptanceProblem,
  type Handshake,
  HandshakeError,
  webSocketHandshake,
  writeHandshake,
} from "../http/websocket.ts";
import type { Authentication, ConnectionFacts } from "../listeners/context.ts";
import type { Findings } from "../findings/findings.ts";
import type { Inspection } from "../findings/inspection.ts";
import { ExchangeState } from "../pipeline/exchange.ts";
import type { Decision, Pipeline } from "../pipeline/pipeline.ts";
import { refusal, type RefusalAnswer, rejectionAnswer, syntheticAnswer } from "../pipeline/refusal.ts";
import type { Caller, Client, ExchangeResponse } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import type { Exposures } from "../scrub/exposures.ts";
import { CodingError } from "../scrub/recode.ts";
import {
  type ConnectionInfo,
  type Upstream,
  UpstreamError,
  type UpstreamHandlers,
} from "../upstream/index.ts";
import { hostHeader, noBody, requestFraming, responseFraming } from "./outgoing.ts";
import { grpcAnswer, isGrpcCall } from "./grpc-answer.ts";
import { emptyFacts, exchangeRecord, type Outcome } from "./record.ts";
import { RequestAuthorityError, requestAuthority } from "./request-authority.ts";
import { type Scrubbing, scrubbing } from "./scrubbing.ts";
import { badAcceptance, type RelayContext, relayWebSocket } from "./upgrade.ts";

/** What forwarding needs of the running proxy. */
export interface ForwardContext extends RelayContext {
  readonly upstream: Upstream;
  readonly audit: AuditSink;
  readonly denialMessage: string | undefined;
  readonly maxRequestBody: number;
  readonly maxResponseBody: number;
  readonly plaintextCredentials: boolean;
  /** What went out, which must not come back. */
  readonly exposures: Exposures;
  /** Looks for misuse in requests. */
  readonly findings: Findings;
  pipeline(): Pipeline;
  nextId(): string;
  authenticate(proxyAuthorization: string | undefined): Authentication;
  /** Whether what a tunnel's opening proved still holds. */
  stands(caller: Caller | undefined): boolean;
  /** Told of every exchange that ended, for counters and summaries. */
  onOutcome?: ((exchange: ExchangeState | undefined, outcome: Outcome) => void) | undefined;
  /** Told of every exchange that begins, with what gives its record as far as it is known. */
  onBegun?: ((id: string, record: () => AuditRecord) => void) | undefined;
}

/** Takes one request from its parsed head to its audit record. */
export function forward(context: ForwardContext, incoming: Incoming, facts: ConnectionFacts): void {
  new Flow(context, incoming, facts).begin();
}

/** A request is refused before there is an exchange to speak of. */
class Refused extends Error {
  readonly status: number;
  readonly reason: Reason;
  constructor(status: number, reason: Reason, message = "") {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** The life of one exchange: decide, forward, answer, record. */
class Flow implements UpstreamHandlers {
  readonly #context: ForwardContext;
  readonly #incoming: Incoming;
  readonly #facts: ConnectionFacts;
  readonly #pipeline: Pipeline;
  readonly #id: string;
  readonly #startedAt = performance.now();
  readonly #outcome: Outcome = emptyFacts();
  #exchange: ExchangeState | undefined;
  #inspection: Inspection | undefined;
  #scrubbing: Scrubbing | undefined;
  /** With the caller, once the request has proved one. */
  #client: Client;
  #sent: { cancel(): void } | undefined;
  #sentAt = 0;
  /** The client wants to speak WebSocket. */
  #handshake: Handshake | undefined;
  #gone = false;
  #answered = false;

  constructor(context: ForwardContext, incoming: Incoming, facts: ConnectionFacts) {
    this.#context = context;
    this.#incoming = incoming;
    this.#facts = facts;
    this.#client = facts.client;
    this.#pipeline = context.pipeline();
    this.#id = context.nextId();
  }

  begin(): void {
    this.#pipeline.enter();
    this.#incoming.onAbandoned = () => this.#onAbandoned();
    this.#incoming.onDone = (error) => this.#onDone(error);
    try {
      this.#exchange = this.#admit(this.#incoming.head);
    } catch (error) {
      this.#refuseEarly(error);
      return;
    }
    this.#context.onBegun?.(this.#id, () => this.#auditRecord());
    this.#inspection = this.#context.findings.inspect(this.#exchange);
    const decision = this.#pipeline.request(this.#exchange);
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

  /** Everything that is checked before policy; what it throws is a refusal. */
  #admit(head: RequestHead): ExchangeState {
    const facts = this.#facts;
    if (!this.#context.audit.healthy) throw new Refused(503, "audit_unavailable");
    const client = this.#clientOf(head);
    this.#client = client;
    const target = parseTarget(head.method, head.target);
    // A CONNECT inside a tunnel, or on a port that opens none, would be forwarded as an ordinary request
    // (attack 19); TRACE hands back the request it got, credential included (attack 36).
    if (head.method === "CONNECT" || head.method === "TRACE") throw new Refused(405, "method_not_allowed");
    const authority = requestAuthority(head, target, facts);
    const exchange = this.#open(head, target, client, authority);
    this.#exchange = exchange;
    if (facts.refusal !== undefined) {
      this.#outcome.rejectedBy = facts.refusal.by;
      throw new Refused(facts.refusal.status, facts.refusal.reason);
    }
    const expect = head.headers.get("expect");
    if (expect !== undefined && !head.expectContinue && head.version > 10) {
      throw new Refused(417, "expectation_failed");
    }
    this.#handshake = webSocketHandshake(head);
    if (head.protocol !== undefined && this.#handshake === undefined) {
      throw new Refused(501, "upgrade_not_supported");
    }
    const hostIndex = head.headers.indexOf("host");
    const hostText = hostHeader(head.headers.valueAt(hostIndex), exchange);
    if (hostIndex < 0) head.headers.append("Host", hostText);
    else head.headers.setValueAt(hostIndex, hostText);
    stripHopByHop(head.headers);
    return exchange;
  }

  #open(
    head: RequestHead,
    target: Target,
    client: Client,
    authority: ExchangeState["authority"],
  ): ExchangeState {
    return new ExchangeState({
      id: this.#id,
      scheme: this.#facts.scheme,
      authority,
      client,
      request: {
        method: head.method,
        path: target.path,
        query: target.query,
        canonicalPath: target.canonicalPath,
        version: head.version,
        headers: head.headers,
        body: this.#incoming.body,
      },
      maxRequestBody: this.#context.maxRequestBody,
      maxResponseBody: this.#context.maxResponseBody,
      plaintextCredentials: this.#context.plaintextCredentials,
    });
  }

  /** Requests that come as to a proxy prove who sends them; inside a tunnel the tunnel did, until that proof ends. */
  #clientOf(head: RequestHead): Client {
    const { client, proxyRequests } = this.#facts;
    if (!proxyRequests) {
      if (!this.#context.stands(client.caller)) throw new Refused(407, "caller_required");
      return client;
    }
    const who = this.#context.authenticate(head.headers.get("proxy-authorization"));
    if (who === false) throw new Refused(407, "caller_required");
    return who === true ? client : { ...client, caller: who satisfies Caller };
  }

  #decided(decision: Decision | undefined): void {
    if (this.#gone) return;
    const settled = this.#inspection === undefined ? decision : this.#inspection.settle(decision);
    if (settled !== undefined) this.#answerDecision(settled);
    else this.#send();
  }

  #send(): void {
    const exchange = this.#exchange as ExchangeState;
    this.#scrubbing = scrubbing(exchange, this.#context.exposures);
    const { request, authority } = exchange;
    const head = this.#incoming.head;
    const query = request.query === undefined ? "" : `?${request.query}`;
    if (this.#handshake !== undefined) writeHandshake(request.headers, this.#handshake);
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
        framing: this.#handshake === undefined ? requestFraming(head.framing, request.body) : noBody,
        upgrade: this.#handshake === undefined ? undefined : "websocket",
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
    const exchange = this.#exchange as ExchangeState;
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
    const exchange = this.#exchange as ExchangeState;
    this.#outcome.connection = info;
    const cut = () => channel.sink.abort(new BodyAbortedError("the upgrade came to nothing"));
    this.#sent = { cancel: cut };
    const { headers, status, reason, version } = head;
    const problem = acceptanceProblem(this.#handshake as Handshake, exchange.request.headers, headers);
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
      const end = () => this.#record();
      this.#scrubbing?.head(reason, headers);
      const scrubbed = this.#scrubbing?.channel(channel) ?? channel;
      relayWebSocket(this.#context, this.#incoming, headers, scrubbed, this.#outcome, end);
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
    const exchange = this.#exchange as ExchangeState;
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
    if (error instanceof Refused || error instanceof RequestAuthorityError) {
      this.#refuse(error.status, error.reason, error.message);
    } else if (error instanceof TargetError) {
      this.#refuse(400, error.reason, error.message);
    } else if (error instanceof HandshakeError) {
      this.#refuse(400, "bad_websocket_handshake", error.message);
    } else this.#crash(error);
  }

  #refuse(status: number, reason: Reason, detail: string): void {
    this.#outcome.action ??= "reject";
    this.#outcome.reason = reason;
    this.#answer(refusal({ status, reason, ...this.#refusalFacts(detail) }));
  }

  #refusalFacts(detail: string | undefined) {
    return {
      requestId: this.#id,
      host: this.#exchange?.authority.host.name,
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
    onOutcome?.(this.#exchange, outcome);
    this.#pipeline.leave();
  }

  #auditRecord(): AuditRecord {
    const { head } = this.#incoming;
    return exchangeRecord(this.#id, head, this.#facts, this.#client, this.#exchange, this.#outcome);
  }
}

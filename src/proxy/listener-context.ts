import { randomBytes } from "node:crypto";
import type { AuditRecord, AuditSink } from "../audit/types.ts";
import type { Connections } from "../listeners/connections.ts";
import type { Authority } from "../http/authority.ts";
import type { Findings } from "../findings/findings.ts";
import { socketChannel } from "../http/socket-channel.ts";
import type { DialFailure, ListenerContext, SplicedUpstream } from "../listeners/context.ts";
import { connectionRecord } from "../listeners/record.ts";
import { refusal } from "../pipeline/refusal.ts";
import type { Caller } from "../pipeline/types.ts";
import { Exposures } from "../scrub/exposures.ts";
import type { LeafStore } from "../tls/leaf.ts";
import { type Upstream, UpstreamError } from "../upstream/index.ts";
import { type ForwardContext, forward } from "./forward.ts";
import { grpcAnswer, isGrpcType } from "./grpc-answer.ts";
import type { Policy } from "./policy.ts";
import type { ProxyOptions } from "./options.ts";

/** The parts of a running proxy that its ways in need. */
export interface ProxyParts {
  readonly options: ProxyOptions;
  readonly audit: AuditSink;
  readonly leaves: LeafStore | undefined;
  readonly connections: Connections;
  readonly upstream: Upstream;
  readonly findings: Findings;
  /** The policy in force; asked anew for whatever begins. */
  readonly policy: () => Policy;
}

/** What the listeners and the forwarding of one proxy share. What a reload may change is looked up when it is used. */
export function listenerContext({
  options,
  audit: sink,
  leaves,
  connections,
  upstream,
  policy,
  findings,
}: ProxyParts): ListenerContext {
  const audit = observed(sink, options.onRecord);
  /** For what listeners have to say themselves: tunnels, and connections without a request. */
  const connectionAudit = observed(audit, options.onConnection);
  const nextId = requestIds();
  const exposures = new Exposures();
  if (options.commons !== undefined) {
    options.commons.join("exposures", exposures);
    findings.join(options.commons);
  }
  const authenticate: ListenerContext["authenticate"] = (value) => policy().callers.authenticate(value);
  const pipeline = () => policy().pipeline;
  const forwarding: ForwardContext = {
    upstream,
    audit,
    get deadlines() {
      return policy().serverOptions.deadlines;
    },
    get websocketIdleMs() {
      return policy().config.proxy.timeouts.websocketIdleMs;
    },
    get denialMessage() {
      return policy().config.proxy.denialMessage;
    },
    get maxRequestBody() {
      return policy().config.proxy.maxRequestBodyBytes;
    },
    get maxResponseBody() {
      return policy().config.proxy.maxResponseBodyBytes;
    },
    get plaintextCredentials() {
      return policy().config.proxy.plaintextCredentials === "allow";
    },
    exposures,
    findings,
    pipeline,
    nextId,
    authenticate,
    stands: (caller) => policy().callers.stands(caller),
    onOutcome: options.onOutcome,
    onBegun: options.onBegun,
  };
  return {
    get serverOptions() {
      return policy().serverOptions;
    },
    get http2() {
      const { tls, proxy } = policy().config;
      return tls.http2 ? proxy.limits : undefined;
    },
    get handshakeMs() {
      return policy().config.proxy.timeouts.tlsHandshakeMs;
    },
    get denialMessage() {
      return policy().config.proxy.denialMessage;
    },
    leaves,
    audit: connectionAudit,
    connections,
    pipeline,
    nextId,
    authenticate,
    get passthroughIdleMs() {
      return policy().config.proxy.timeouts.passthroughIdleMs;
    },
    unopened: (authority) => policy().unopened(authority),
    onBegun: options.onBegun,
    dial: (authority, caller, signal) => dialUnopened(upstream, authority, caller, signal),
    mayExplain: (host) => policy().mayExplain(host),
    handle: (exchange, facts) => forward(forwarding, exchange, facts),
    refuseBytes(facts, bad) {
      const requestId = nextId();
      const { status, reason, message, bytesIn } = bad;
      const host = facts.authority?.text ?? facts.host?.name ?? "";
      const action = reason === "client_disconnected" ? "client_cancel" : "reject";
      const event = { method: "", host, action, status, reason, bytesIn, error: message } as const;
      connectionAudit.write(connectionRecord(requestId, facts, event));
      const answer = refusal({ status, reason, requestId, detail: message });
      return isGrpcType(bad.contentType) ? grpcAnswer(answer, reason, answer.message) : answer;
    },
    debug: (message, fields) => options.logger.debug(message, fields),
  };
}

/** Connects for bytes that pass as they are, by way of the guard and the forward proxy as all else does (I11). */
async function dialUnopened(
  upstream: Upstream,
  authority: Authority,
  caller: Caller | undefined,
  signal: AbortSignal | undefined,
): Promise<SplicedUpstream | DialFailure> {
  try {
    const target = { scheme: "https", authority, partition: caller?.name ?? "" } as const;
    const { socket, info } = await upstream.connect(target, {
      raw: true,
      ...(signal === undefined ? {} : { signal }),
    });
    return { channel: socketChannel(socket), address: info.address };
  } catch (error) {
    if (error instanceof UpstreamError) return error;
    const message = "The connection could not be made.";
    return { reason: "internal_error", status: 500, message, detail: undefined, code: undefined };
  }
}

/** The sink that also tells somebody else. */
function observed(sink: AuditSink, tell: ((record: AuditRecord) => void) | undefined): AuditSink {
  if (tell === undefined) return sink;
  return {
    write(record) {
      sink.write(record);
      tell(record);
    },
    writeFinding: (record) => sink.writeFinding(record),
    get healthy() {
      return sink.healthy;
    },
    reopen: () => sink.reopen(),
    close: () => sink.close(),
  };
}

/** Request ids: unique among processes by a random part, in order within one. */
function requestIds(): () => string {
  const prefix = randomBytes(5).toString("hex");
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}

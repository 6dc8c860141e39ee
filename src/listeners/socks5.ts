// client ── SOCKS5 greeting, credentials, CONNECT ──▶ tunnel listener ── succeeded ──▶ TLS or HTTP inside

import type { Socket } from "node:net";
import { type Authority, AuthorityError, makeAuthority, parseHost } from "../http/authority.ts";
import { TunnelState } from "../pipeline/exchange.ts";
import type { Decision } from "../pipeline/pipeline.ts";
import type { Caller, Client } from "../pipeline/types.ts";
import type { Reason } from "../reasons.ts";
import type { DialFailure, ListenerContext } from "./context.ts";
import { type GaveUp, readFirstBytes } from "./first-bytes.ts";
import { serveInside } from "./inside.ts";
import { openTunnel } from "./open-tunnel.ts";
import { type ConnectionEvent, connectionRecord } from "./record.ts";
import {
  credentialsAnswer,
  methodAnswer,
  readCredentials,
  readGreeting,
  readRequest,
  SocksError,
  socksAnswer,
  socksMethod,
  socksReply,
} from "./socks5-messages.ts";

/** How long a refused client may take to notice, in milliseconds: a reset could overtake the answer. */
const lingerMs = 1000;

/**
 * Speaks SOCKS5 (RFC 1928) on a connection whose first byte says so, and serves what is inside the tunnel.
 * @param first what was read of it already
 */
export function serveSocks(socket: Socket, first: Buffer, client: Client, context: ListenerContext): void {
  new Negotiation(socket, client, context).begin(first);
}

type Outcome = Pick<ConnectionEvent, "action" | "status" | "reason" | "rejectedBy" | "error">;

type Phase = "greeting" | "credentials" | "request";

class Negotiation {
  readonly #socket: Socket;
  readonly #client: Client;
  readonly #context: ListenerContext;
  #phase: Phase = "greeting";
  #bytes: Buffer = Buffer.alloc(0);
  #caller: Caller | undefined;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(socket: Socket, client: Client, context: ListenerContext) {
    this.#socket = socket;
    this.#client = client;
    this.#context = context;
  }

  begin(first: Buffer): void {
    const known = this.#onBytes(first);
    if (known !== undefined) {
      known();
      return;
    }
    // All of it has the time that the header of a request has.
    readFirstBytes(this.#socket, this.#context, this.#context.serverOptions.headerMs, {
      onBytes: (chunk) => this.#onBytes(chunk),
      onGiveUp: (why) => this.#onGiveUp(why),
    });
  }

  /** Takes one message after the other, answers, and gives what is to follow once it is clear. */
  #onBytes(chunk: Buffer): (() => void) | undefined {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#bytesIn += chunk.length;
    try {
      for (;;) {
        const step = this.#step();
        if (step !== "again") return step;
      }
    } catch (error) {
      if (!(error instanceof SocksError)) throw error;
      const answer = error.reply === undefined ? undefined : socksAnswer(error.reply);
      return () => this.#refuse(answer, 400, "malformed_request", error.message);
    }
  }

  #step(): (() => void) | "again" | undefined {
    if (this.#phase === "greeting") return this.#onGreeting();
    if (this.#phase === "credentials") return this.#onCredentials();
    const request = readRequest(this.#bytes);
    if (request === undefined) return undefined;
    this.#take(request.length);
    const { host, port } = request.message;
    return () => this.#onRequest(host, port);
  }

  #onGreeting(): (() => void) | "again" | undefined {
    const greeting = readGreeting(this.#bytes);
    if (greeting === undefined) return undefined;
    this.#take(greeting.length);
    const offered = greeting.message;
    // Whoever can say who it is does, also where nobody has to.
    if (offered.includes(socksMethod.password)) {
      this.#write(methodAnswer(socksMethod.password));
      this.#phase = "credentials";
      return "again";
    }
    const anyone = offered.includes(socksMethod.none);
    if (anyone && this.#authenticate(undefined)) {
      this.#write(methodAnswer(socksMethod.none));
      this.#phase = "request";
      return "again";
    }
    const answer = methodAnswer(socksMethod.unacceptable);
    if (anyone) return () => this.#refuse(answer, 407, "caller_required");
    const message = "the SOCKS client offers neither no authentication nor user and password";
    return () => this.#refuse(answer, 400, "malformed_request", message);
  }

  #onCredentials(): (() => void) | "again" | undefined {
    const credentials = readCredentials(this.#bytes);
    if (credentials === undefined) return undefined;
    this.#take(credentials.length);
    const { user, password } = credentials.message;
    // A token is the password; or the user, for clients that can be given nothing else, and goes on in the password
    // where it is longer than the 255 bytes that either can have.
    const whole = Buffer.concat([user, password]);
    const candidates = password.length === 0 ? [whole] : [password, whole];
    if (!candidates.some((token) => this.#authenticate(basic(token)))) {
      return () => this.#refuse(credentialsAnswer(false), 407, "caller_required");
    }
    this.#write(credentialsAnswer(true));
    this.#phase = "request";
    return "again";
  }

  #authenticate(proxyAuthorization: string | undefined): boolean {
    const who = this.#context.authenticate(proxyAuthorization);
    if (who === false) return false;
    this.#caller = who === true ? undefined : who;
    return true;
  }

  #onRequest(hostText: string, port: number): void {
    let authority: Authority;
    try {
      authority = makeAuthority(parseHost(hostText), port);
    } catch (error) {
      if (!(error instanceof AuthorityError)) throw error;
      this.#refuse(socksAnswer(socksReply.failure), 400, "invalid_host", error.message);
      return;
    }
    if (!this.#context.audit.healthy) {
      this.#refuse(socksAnswer(socksReply.failure), 503, "audit_unavailable");
      return;
    }
    const tunnel = new TunnelState("socks5", authority, this.#client.remoteAddress, this.#caller);
    const socket = this.#socket;
    // A paused socket does not tell that its peer has left, only that it was reset.
    socket.on("error", ignore);
    const left = new AbortController();
    const onGone = (): void => {
      left.abort();
      this.#record(tunnel, { action: "client_cancel", status: 0, reason: "client_disconnected" });
    };
    socket.once("close", onGone);
    openTunnel(tunnel, this.#context, left.signal, (outcome) => {
      socket.off("error", ignore).off("close", onGone);
      if (outcome.kind === "refused") this.#onRefused(tunnel, outcome.decision);
      else if (outcome.kind === "failed") this.#onFailed(tunnel, outcome.failure);
      else {
        this.#write(socksAnswer(socksReply.succeeded));
        this.#record(tunnel, { action: "allow", status: 200 });
        if (this.#bytes.length > 0) socket.unshift(this.#bytes);
        serveInside(socket, tunnel, outcome.upstream, this.#context);
      }
    });
  }

  #onRefused(tunnel: TunnelState, { verdict, by, error }: Decision): void {
    const rejected = verdict.kind === "reject";
    this.#end(socksAnswer(error === undefined ? socksReply.notAllowed : socksReply.failure), tunnel, {
      action: error === undefined ? verdict.kind : "error",
      status: rejected ? verdict.status : verdict.response.status,
      reason: rejected ? verdict.reason : undefined,
      rejectedBy: rejected ? by : undefined,
      error,
    });
  }

  #onFailed(tunnel: TunnelState, failure: DialFailure): void {
    const { status, reason, detail } = failure;
    const action = status === 403 ? "reject" : "error";
    this.#end(socksAnswer(socksReplyTo(failure)), tunnel, { action, status, reason, error: detail });
  }

  #onGiveUp(why: GaveUp): void {
    const message =
      why === "timeout" ? "the SOCKS messages did not arrive in time" : "closed before a whole SOCKS request";
    const reason =
      why === "timeout" ? "request_timeout" : why === "draining" ? "draining" : "client_disconnected";
    this.#record(undefined, {
      action: why === "closed" ? "client_cancel" : "reject",
      status: 0,
      reason,
      error: message,
    });
    this.#socket.destroy();
  }

  #refuse(answer: Buffer | undefined, status: number, reason: Reason, error?: string): void {
    this.#end(answer, undefined, { action: "reject", status, reason, error });
  }

  /** The record has the status that CONNECT would have had: SOCKS has fewer words. */
  #record(tunnel: TunnelState | undefined, event: Outcome): void {
    const { audit } = this.#context;
    const host = tunnel?.authority.text ?? "";
    const mode = tunnel && this.#context.unopened(tunnel.authority);
    const bytesOut = this.#bytesOut;
    const bytesIn = this.#bytesIn - this.#bytes.length;
    const facts = { client: { ...this.#client, caller: this.#caller }, tunnel };
    audit.write(
      connectionRecord(this.#context.nextId(), facts, {
        ...event,
        method: "CONNECT",
        host,
        mode,
        bytesIn,
        bytesOut,
      }),
    );
  }

  #take(length: number): void {
    this.#bytes = this.#bytes.subarray(length);
  }

  #write(bytes: Buffer): void {
    this.#bytesOut += bytes.length;
    this.#socket.write(bytes);
  }

  #end(answer: Buffer | undefined, tunnel: TunnelState | undefined, event: Outcome): void {
    const socket = this.#socket;
    this.#bytesOut += answer?.length ?? 0;
    this.#record(tunnel, event);
    socket.on("error", ignore);
    if (answer !== undefined) socket.write(answer);
    socket.end();
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once("close", () => clearTimeout(timer));
  }
}

/** As `Proxy-Authorization` would have it. */
function basic(token: Buffer): string {
  return `Basic ${Buffer.concat([Buffer.from("socks5:"), token]).toString("base64")}`;
}

function ignore(): void {}

/** RFC 1928 section 6, for what can go wrong on the way to an upstream. */
/** The reply that comes closest to why an upstream cannot be had. */
export function socksReplyTo({ reason, code }: Pick<DialFailure, "reason" | "code">): number {
  if (reason === "upstream_address_denied" || reason === "proxy_loop") return socksReply.notAllowed;
  if (reason === "upstream_resolve_failed" || reason === "upstream_connect_timeout")
    return socksReply.hostUnreachable;
  if (code === "ENETUNREACH") return socksReply.networkUnreachable;
  if (code === "EHOSTUNREACH") return socksReply.hostUnreachable;
  return code === "ECONNREFUSED" ? socksReply.refused : socksReply.failure;
}

import { type Authority, isLoopbackHost } from "../http/authority.ts";
import type { Finding } from "../findings/types.ts";
import type { Exposed } from "../scrub/forms.ts";
import { prepareRequest } from "../scrub/request.ts";
import type {
  Client,
  Exchange,
  ExchangeRequest,
  ExchangeResponse,
  Rejection,
  Trace,
  TunnelRequest,
  Caller,
} from "./types.ts";

/** What an exchange is made from. */
export interface ExchangeOptions {
  readonly id: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly client: Client;
  readonly request: ExchangeRequest;
  readonly maxRequestBody: number;
  readonly maxResponseBody: number;
  /** `proxy.plaintext_credentials: allow`. */
  readonly plaintextCredentials: boolean;
}

/** Who is told of findings, and of what there is to find. */
export interface FindingSink {
  report(exchange: ExchangeState, finding: Finding): void;
  /** Told of every value that goes out: from then on no workload may send it. */
  learn(exposed: Exposed): void;
}

/** The record of one exchange that transforms work on and the audit is written from. */
export class ExchangeState implements Exchange {
  readonly id: string;
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  readonly client: Client;
  readonly request: ExchangeRequest & { path: string };
  response: ExchangeResponse | undefined;
  readonly maxRequestBody: number;
  readonly maxResponseBody: number;
  readonly requestTraces: Trace[] = [];
  readonly responseTraces: Trace[] = [];
  bodyCapture: { request_body: string; request_body_truncated: boolean } | undefined;
  /** Trace of the transform that runs now. */
  current: Trace | undefined;
  /** A credential was attached or a request signed: what comes back may echo it. */
  credentialed = false;
  /** Values that went out with the request. */
  exposed: Exposed[] | undefined;
  /** Set where anything is looked for. */
  findings: FindingSink | undefined;
  readonly #plaintextCredentials: boolean;
  #claims: Set<string> | undefined;

  constructor(options: ExchangeOptions) {
    this.id = options.id;
    this.scheme = options.scheme;
    this.authority = options.authority;
    this.client = options.client;
    this.request = options.request;
    this.maxRequestBody = options.maxRequestBody;
    this.maxResponseBody = options.maxResponseBody;
    this.#plaintextCredentials = options.plaintextCredentials;
  }

  annotate(key: string, value: unknown): void {
    annotateTrace(this.current, key, value);
  }

  capture(_kind: "body_capture", value: { request_body: string; request_body_truncated: boolean }): void {
    this.bodyCapture = value;
  }

  setPath(path: string): void {
    this.request.path = path;
  }

  claim(place: string): boolean {
    this.#claims ??= new Set();
    if (this.#claims.has(place)) return false;
    this.#claims.add(place);
    return true;
  }

  /** Places that credentials were put in, as {@link claim} names them. */
  get claims(): ReadonlySet<string> | undefined {
    return this.#claims;
  }

  claimed(place: string): boolean {
    return this.#claims?.has(place) ?? false;
  }

  attachable(): Rejection | undefined {
    if (this.scheme === "http" && !this.#plaintextCredentials && !isLoopbackHost(this.authority.host)) {
      return { kind: "reject", status: 403, reason: "plaintext_upstream" };
    }
    this.credentialed = true;
    return undefined;
  }

  expose(exposed: Exposed): void {
    this.exposed ??= [];
    this.exposed.push(exposed);
    this.findings?.learn(exposed);
    prepareRequest(this.request.headers, exposed.keepsRange === true);
  }
}

/** A tunnel or TLS name that asks to be let in, and what the policies noted about it. */
export class TunnelState implements TunnelRequest {
  readonly kind: "connect" | "socks5" | "sni";
  readonly authority: Authority;
  readonly remoteAddress: string;
  readonly caller: Caller | undefined;
  readonly traces: Trace[] = [];
  current: Trace | undefined;

  constructor(
    kind: "connect" | "socks5" | "sni",
    authority: Authority,
    remoteAddress: string,
    caller: Caller | undefined,
  ) {
    this.kind = kind;
    this.authority = authority;
    this.remoteAddress = remoteAddress;
    this.caller = caller;
  }

  annotate(key: string, value: unknown): void {
    annotateTrace(this.current, key, value);
  }
}

function annotateTrace(trace: Trace | undefined, key: string, value: unknown): void {
  if (trace === undefined) return;
  trace.annotations ??= {};
  trace.annotations[key] = value;
}

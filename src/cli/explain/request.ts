import { type Authority, AuthorityError, defaultPorts, parseAuthority } from "../../http/authority.ts";
import { Body } from "../../http/body.ts";
import { Headers } from "../../http/headers.ts";
import { stripHopByHop } from "../../http/hop-by-hop.ts";
import type { RequestHead } from "../../http/message.ts";
import { parseTarget, TargetError } from "../../http/target.ts";
import type { Config } from "../../config/types.ts";
import { ExchangeState } from "../../pipeline/exchange.ts";
import type { Caller, Client } from "../../pipeline/types.ts";
import { RequestAuthorityError, requestAuthority } from "../../proxy/request-authority.ts";
import type { Reason } from "../../reasons.ts";
import { isHeaderName } from "../../transforms/header-matcher.ts";
import { CliError } from "../io.ts";

/** A request as a person describes it. */
export interface AskedRequest {
  readonly method: string;
  readonly url: string;
  /** `Name: value`, as curl takes them. */
  readonly headers: readonly string[];
  readonly data: string | undefined;
  /** Who asks; `undefined` for someone without limits. */
  readonly caller: Caller | undefined;
}

/** Where a request goes, before anything else of it is read. */
export interface Destination {
  readonly scheme: "http" | "https";
  readonly authority: Authority;
  /** Path and query, as a client would send them. */
  readonly target: string;
}

/** A request that is refused before any policy sees it. */
export class EarlyRefusal extends Error {
  override readonly name = "EarlyRefusal";
  readonly status: number;
  readonly reason: Reason;
  constructor(status: number, reason: Reason, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/**
 * @throws {CliError} exit code 2, where it is no URL of http or https
 * @throws {EarlyRefusal} where the proxy would not accept the host
 */
export function destinationOf(url: string): Destination {
  const match = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(url);
  if (match === null) throw new CliError("the URL must begin with https:// or http://", 2);
  const [, scheme, host, rest] = match as unknown as [string, string, string, string];
  const lowered = scheme.toLowerCase() as Destination["scheme"];
  try {
    const authority = parseAuthority(host, defaultPorts[lowered]);
    return { scheme: lowered, authority, target: rest.startsWith("/") ? rest : `/${rest}` };
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    throw new EarlyRefusal(400, "invalid_host", error.message);
  }
}

/** What transforms and the upstream's leg see of an exchange without a connection. */
const nobody: Client = {
  remoteAddress: "127.0.0.1:0",
  sni: undefined,
  tls: undefined,
  tunnel: undefined,
  caller: undefined,
};

/**
 * The exchange that a request would be, by the proxy's own parsers.
 * @throws {CliError} exit code 2, for a header that is none
 * @throws {EarlyRefusal} where the proxy would refuse it before any policy
 */
export function exchangeOf(asked: AskedRequest, destination: Destination, config: Config): ExchangeState {
  const { scheme, authority } = destination;
  const client: Client = { ...nobody, caller: asked.caller };
  const headers = headersOf(asked.headers);
  const body = asked.data === undefined ? Body.empty() : Body.of(Buffer.from(asked.data, "utf8"));
  if (!headers.has("host")) headers.append("Host", authority.text);
  if (asked.data !== undefined) headers.set("Content-Length", String(body.length));
  const head: RequestHead = {
    method: asked.method,
    target: destination.target,
    version: 11,
    headers,
    framing: body.length === 0 ? { kind: "none" } : { kind: "length", length: body.length ?? 0 },
    keepAlive: true,
    expectContinue: false,
    size: 0,
  };
  const target = early(() => {
    const parsed = parseTarget(head.method, head.target);
    requestAuthority(head, parsed, {
      scheme,
      client,
      tunnel: undefined,
      authority,
      host: undefined,
      refusal: undefined,
      proxyRequests: false,
    });
    return parsed;
  });
  stripHopByHop(headers);
  return new ExchangeState({
    id: "explain",
    scheme,
    authority,
    client,
    request: {
      method: asked.method,
      path: target.path,
      query: target.query,
      canonicalPath: target.canonicalPath,
      version: head.version,
      headers,
      body,
    },
    maxRequestBody: config.proxy.maxRequestBodyBytes,
    maxResponseBody: config.proxy.maxResponseBodyBytes,
    plaintextCredentials: config.proxy.plaintextCredentials === "allow",
  });
}

function early<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof TargetError) throw new EarlyRefusal(400, error.reason, error.message);
    if (error instanceof RequestAuthorityError) {
      throw new EarlyRefusal(error.status, error.reason, error.message);
    }
    throw error;
  }
}

/** No message repeats a value: people paste what they send (I14). */
function headersOf(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const [index, line] of lines.entries()) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).trim();
    if (!isHeaderName(name)) {
      throw new CliError(`-H number ${index + 1} has no header name; write -H 'Name: value'`, 2);
    }
    if (/[\0-\x08\x0a-\x1f\x7f]/.test(value)) {
      throw new CliError(`-H ${name} has a control character in its value, which no header may have`, 2);
    }
    headers.append(name, Buffer.from(value, "utf8").toString("latin1"));
  }
  return headers;
}

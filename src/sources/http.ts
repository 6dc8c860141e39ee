import type { Dispatcher } from "undici";
import { SourceError } from "./types.ts";

export interface HttpQuestion {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
  readonly dispatcher: Dispatcher | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

/** Largest answer of a secret store, in bytes; an item with a large file attached has no value in it (I12). */
const maxAnswerBytes = 1_048_576;

/**
 * One request to a secret store: redirects are not followed (a credential goes with it), the answer is bounded.
 * @throws {SourceError} when the answer is too large
 * @throws undici's error when there is no answer; see {@link networkProblem}
 */
export async function ask(question: HttpQuestion): Promise<HttpAnswer> {
  const { method, url, headers, body, signal, dispatcher } = question;
  // Loaded when it is needed: many a proxy asks nobody.
  const { request } = await import("undici");
  const response = await request(url, {
    method,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
    ...(dispatcher === undefined ? {} : { dispatcher }),
  });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxAnswerBytes) {
      throw new SourceError(
        `the answer (status ${response.statusCode}) is larger than ${maxAnswerBytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  const fields = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
  return { status: response.statusCode, headers: Object.fromEntries(fields), body: Buffer.concat(chunks) };
}

/**
 * Why there was no answer, without addresses and without the text of the error (I14). `undefined` when the
 * error is none of the network.
 */
export function networkProblem(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const dialling = dialProblems[String(Reflect.get(error, "reason"))];
  if (dialling !== undefined) return dialling;
  const code: unknown = Reflect.get(error, "code");
  if (typeof code !== "string" || !/^[A-Z][A-Z0-9_]{2,60}$/.test(code)) return undefined;
  const words =
    networkCodes[code] ??
    (/CERT|TLS|SSL|ISSUER/.test(code) ? "the TLS certificate was not accepted" : undefined);
  return words === undefined ? code : `${words} (${code})`;
}

/** What the proxy's own dialler says, by its reason. */
const dialProblems: Readonly<Record<string, string>> = {
  upstream_resolve_failed: "name not found",
  upstream_address_denied: "the address is one this proxy does not connect to (proxy.upstream_deny_cidrs)",
  upstream_connect_failed: "connection refused",
  upstream_connect_timeout: "connection timed out",
  upstream_tls_failed: "the TLS certificate was not accepted (tls.upstream_ca adds a root)",
  upstream_proxy_failed: "the forward proxy did not open the connection",
  proxy_loop: "the address is this proxy itself",
};

const networkCodes: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "host not reachable",
  ENETUNREACH: "network not reachable",
  ENOTFOUND: "name not found",
  EAI_AGAIN: "name server not reachable",
  ETIMEDOUT: "connection timed out",
  UND_ERR_CONNECT_TIMEOUT: "connection timed out",
  UND_ERR_SOCKET: "connection closed",
  UND_ERR_ABORTED: "given up",
  ABORT_ERR: "given up",
};

/**
 * Milliseconds of a Retry-After field, which is a number of seconds or a date (RFC 9110 section 10.2.3).
 * @returns `undefined` when it is absent or neither
 */
export function retryAfter(field: string | undefined, now: number = Date.now()): number | undefined {
  if (field === undefined) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(field)) return Number(field) * 1000;
  const date = Date.parse(field);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

import type { Answer } from "../http/h1/server.ts";
import { Headers } from "../http/headers.ts";
import { nodeHttp } from "../http/node-http.ts";
import type { Reason } from "../reasons.ts";
import type { Rejection, SyntheticResponse } from "./types.ts";

/** What is known where a refusal is put into words. */
export interface RefusalFacts {
  readonly status: number;
  readonly reason: Reason;
  readonly requestId: string;
  /** Host the workload asked for, as it may be shown to it. */
  readonly host?: string | undefined;
  /** The cause in one sentence, where there is more to say than the reason does. */
  readonly detail?: string | undefined;
  /** `proxy.denial_message`. */
  readonly override?: string | undefined;
}

/** The answer to something that was refused. */
export interface RefusalAnswer extends Answer {
  /** What its body says, for protocols that say it elsewhere. */
  readonly message: string;
}

/**
 * The answer to a refused request. It is an interface to programs and to language models alike: a bare 403
 * makes an agent look for a way round the proxy, so it says what happened and what will not help. No secret,
 * no internal address (I14).
 */
export function refusal(facts: RefusalFacts): RefusalAnswer {
  const message = facts.override ?? sentence(facts);
  const type = facts.status >= 500 ? "sallyport_failed" : "sallyport_denied";
  const error = { type, reason: facts.reason, message, request_id: facts.requestId };
  const headers = Headers.of([
    ["Content-Type", "application/json"],
    ["Sallyport-Reason", facts.reason],
  ]);
  return { ...answer(facts.status, headers, `${JSON.stringify({ error })}\n`), message };
}

/** The answer of a transform that has one of its own; a refusal still carries its reason in a header. */
export function syntheticAnswer(response: SyntheticResponse, reason?: Reason): Answer {
  const headers = Headers.of(response.headers);
  if (reason !== undefined) headers.append("Sallyport-Reason", reason);
  return answer(response.status, headers, response.body);
}

/** The answer to a rejection of the pipeline. */
export function rejectionAnswer(
  rejection: Rejection,
  facts: Omit<RefusalFacts, "status" | "reason">,
): RefusalAnswer {
  const { status, reason, detail, response } = rejection;
  const standard = refusal({ ...facts, status, reason, detail: detail ?? facts.detail });
  return response === undefined ? standard : { ...standard, ...syntheticAnswer(response, reason) };
}

function answer(status: number, headers: Headers, body: string): Answer {
  return { status, reason: nodeHttp.STATUS_CODES[status] ?? "", headers, body: Buffer.from(body, "utf8") };
}

function sentence({ reason, host, detail }: RefusalFacts): string {
  const where = host === undefined || host === "" ? "this host" : host;
  if (detail === undefined) return sentences[reason](where);
  // What went wrong on the way to an upstream is said in full by whoever met it.
  return reason.startsWith("upstream_") ? detail : `${detail} ${sentences[reason](where)}`;
}

const noUse = "Retrying or bypassing the proxy will not help";
const askRule = `${noUse}; ask the operator to add a rule.`;
const askOperator = `${noUse}; ask the operator to look at the proxy's log.`;
const legFailed = "The request did not get an answer from the upstream.";

const sentences: Record<Reason, (host: string) => string> = {
  host_not_allowed: (host) => `Requests to ${host} are not allowed by this proxy's policy. ${askRule}`,
  request_not_allowed: (host) =>
    `This method or path on ${host} is not allowed by this proxy's policy. ${askRule}`,
  authority_mismatch: () =>
    "The tunnel, the TLS server name and the Host header do not name the same host and port. They must agree.",
  caller_required: () =>
    "This proxy asks for credentials of its own (Proxy-Authorization); the proxy URL has them.",
  proxy_loop: (host) => `${host} is this proxy itself, which is never a valid upstream.`,
  malformed_request: () => "The request is not well-formed HTTP, or can be read in more than one way.",
  invalid_host: () => "The Host header is missing, repeated or not a valid host name.",
  invalid_target: () => "The request target is not valid.",
  ambiguous_path: () =>
    "The path can be read in more than one way (dot segments, backslashes or double encoding). Send it in plain form.",
  method_not_allowed: () => "This method is not forwarded by this proxy.",
  upgrade_not_supported: () => "This proxy forwards no change of protocol but that to WebSocket.",
  bad_websocket_handshake: () => "The WebSocket handshake is not a valid one (RFC 6455 section 4.1).",
  request_timeout: () => "The request did not arrive in time.",
  uri_too_long: () => "The request line is longer than this proxy accepts.",
  headers_too_large: () => "The header fields are larger or more numerous than this proxy accepts.",
  body_too_large: () =>
    "The request body is larger than this proxy may hold to change or sign it (proxy.max_request_body_bytes).",
  body_incomplete: () => "The request body ended before it was complete.",
  version_not_supported: () => "This version of HTTP is not supported here; use HTTP/1.1.",
  expectation_failed: () => "The only expectation this proxy knows is 100-continue.",
  placeholder_missing: (host) =>
    `This proxy attaches the credential for ${host} only where the request holds its placeholder, and it does not.`,
  placeholder_misused: (host) =>
    `The request to ${host} holds a placeholder where it does not belong: for this host, in this place, or so often. Send it only where the credential goes.`,
  credential_in_request: () =>
    `The request holds the real value of a credential, which no workload should have. ${askOperator}`,
  secret_unavailable: (host) => `The credential for ${host} cannot be read at the moment. ${askOperator}`,
  secret_invalid: (host) =>
    `The credential for ${host} cannot be used where the request wants it. ${askOperator}`,
  plaintext_upstream: (host) => `A credential is never sent to ${host} over plain HTTP. Use https.`,
  token_unavailable: (host) => `No token for ${host} could be had. ${askOperator}`,
  missing_sigv4: () =>
    "The request must be signed with Signature Version 4 (placeholder keys will do), so that its region and service are known.",
  sigv4a_not_supported: () =>
    "This proxy does not re-sign SigV4A (AWS4-ECDSA-P256-SHA256). Use an endpoint of a single region.",
  event_stream_not_supported: () => "This proxy does not re-sign event streams that are sent to AWS.",
  payload_not_supported: () =>
    "This proxy does not know how to re-sign this form of body (X-Amz-Content-Sha256).",
  region_not_allowed: () => `Requests to this AWS region are not allowed by this proxy's policy. ${askRule}`,
  service_not_allowed: () =>
    `Requests to this AWS service are not allowed by this proxy's policy. ${askRule}`,
  action_not_allowed: () => `This API operation is not allowed by this proxy's policy. ${askRule}`,
  metadata_flavor_missing: () =>
    "Requests to Google's metadata server must have the header Metadata-Flavor: Google.",
  scope_host_mismatch: (host) =>
    `The request is signed for another AWS region or service than ${host} belongs to.`,
  credential_unavailable: (host) => `The credential for ${host} cannot be had at the moment. ${askOperator}`,
  body_read_failed: () => "The request body could not be read to its end.",
  body_truncated: () =>
    "The request body is larger than this proxy may hold to sign it (proxy.max_request_body_bytes).",
  chunked_body_not_allowed: () =>
    "The request must have a Content-Length, because its signature covers the body (allow_chunked_body lifts this).",
  message_template_failed: (host) =>
    `The request to ${host} lacks a part that its signature is made from, or is too large. ${askOperator}`,
  key_decode_failed: (host) =>
    `The key that requests to ${host} are signed with is not usable. ${askOperator}`,
  header_template_failed: (host) =>
    `A header of the signed request to ${host} could not be made. ${askOperator}`,
  query_template_failed: (host) =>
    `A query parameter of the signed request to ${host} could not be made. ${askOperator}`,
  tls_client_hello_invalid: () => "The TLS ClientHello is not well-formed.",
  tls_name_missing: () => "The TLS ClientHello names no server, so there is no host to decide on.",
  tls_handshake_failed: () => "The TLS handshake with the client failed.",
  protocol_not_supported: () => "Only TLS and HTTP are spoken inside a tunnel.",
  upstream_resolve_failed: (host) => `The name ${host} could not be resolved. ${legFailed}`,
  upstream_address_denied: (host) => `${host} is at an address this proxy does not connect to. ${askRule}`,
  upstream_connect_failed: (host) => `${host} did not accept the connection. ${legFailed}`,
  upstream_connect_timeout: (host) => `${host} did not accept the connection in time. ${legFailed}`,
  client_certificate_unavailable: (host) =>
    `The client certificate for ${host} cannot be had at the moment. ${askOperator}`,
  upstream_tls_failed: (host) => `TLS with ${host} failed. ${legFailed}`,
  upstream_response_timeout: (host) => `${host} did not answer in time.`,
  upstream_response_invalid: (host) => `${host} sent an answer that is not well-formed HTTP.`,
  upstream_closed: (host) => `${host} closed the connection before it answered.`,
  unscrubbable_encoding: (host) =>
    `Answers of ${host} are searched for credentials, and this one cannot be. Ask for it without a content coding (Accept-Encoding: identity).`,
  upstream_proxy_failed: (host) =>
    `The proxy on the way to ${host} did not open the connection. ${legFailed}`,
  draining: () => "This proxy is stopping.",
  overloaded: () => "This proxy has as many connections as it may hold.",
  audit_unavailable: () => `This proxy cannot write its audit record and so forwards nothing. ${askOperator}`,
  transform_failed: () => `A step of this proxy's pipeline failed. ${askOperator}`,
  internal_error: () => `This proxy failed. ${askOperator}`,
  worker_died: () => "The process that served this request ended before it was done.",
  client_disconnected: () => "The client went away.",
  idle_timeout: () => "Nothing was said on this connection for as long as it may be silent.",
};

import { BodyTooLargeError } from "../../http/body.ts";
import type { Exchange, Rejection, Verdict } from "../../pipeline/types.ts";
import type { Reason } from "../../reasons.ts";
import { hasControl } from "../byte-string.ts";
import { expose, exposedValue } from "../exposure.ts";
import { escapeForm } from "../secrets/encodings.ts";
import { type Template, TemplateError } from "../template/index.ts";
import type { Field, Scheme } from "./build.ts";
import { CredentialError, type SigningCredentials } from "./credentials.ts";
import { type Draft, SigningFields } from "./fields.ts";
import { KeyError } from "./keys.ts";
import { withoutParameters } from "./parameters.ts";

/** Ends the signing of a request. */
class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly reason: Reason;
  /** Annotations beside the reason; nothing secret (I14). */
  readonly facts: Readonly<Record<string, unknown>>;
  constructor(status: number, reason: Reason, facts: Readonly<Record<string, unknown>> = {}) {
    super(reason);
    this.status = status;
    this.reason = reason;
    this.facts = facts;
  }
}

/** Why an entry leaves a request alone or refuses it, as far as the head of the request tells. */
export function checkHead(
  exchange: Exchange,
  scheme: Scheme,
): "credential_already_applied" | "chunked_body_not_allowed" | undefined {
  const { places, queryNames, allowChunkedBody } = scheme;
  // Changing the query would break a signature that is there already.
  const isLate = places.some((place) => exchange.claimed(place));
  if (isLate || (queryNames.size > 0 && exchange.claimed("signature"))) return "credential_already_applied";
  const { length } = exchange.request.body;
  return length === undefined && !allowChunkedBody ? "chunked_body_not_allowed" : undefined;
}

/**
 * Signs a request that matches the rules: reads the body, gets the credentials, renders and signs the message, and only
 * then writes. What is signed is what is sent.
 * @returns a promise only while a body, a source or a slow key has to be waited for
 */
export function signRequest(exchange: Exchange, scheme: Scheme): Verdict | Promise<Verdict> {
  try {
    const problem = checkHead(exchange, scheme);
    if (problem === "credential_already_applied") {
      exchange.annotate("skipped", problem);
      return undefined;
    }
    if (problem !== undefined) throw new Refusal(400, problem);
    const read = exchange.request.body.bytes ?? readBody(exchange);
    const verdict =
      read instanceof Promise
        ? read.then((body) => authorize(exchange, scheme, body))
        : authorize(exchange, scheme, checkedLength(exchange, read));
    return verdict instanceof Promise
      ? verdict.catch((error: unknown) => rejection(exchange, error))
      : verdict;
  } catch (error) {
    return rejection(exchange, error);
  }
}

/** @throws {Refusal} at once or later */
function readBody({ request: { body }, maxRequestBody }: Exchange): Buffer | Promise<Buffer> {
  const { length } = body;
  const unread = (error: unknown): never => {
    if (error instanceof BodyTooLargeError) {
      throw new Refusal(413, "body_truncated", { content_length: length, limit: error.limit });
    }
    throw new Refusal(400, "body_read_failed", { error: "the body ended before it was complete" });
  };
  try {
    const read = body.buffer(maxRequestBody);
    return read instanceof Promise ? read.catch(unread) : read;
  } catch (error) {
    return unread(error);
  }
}

/** An earlier transform may have made the body longer than it was. */
function checkedLength({ maxRequestBody: limit }: Exchange, bytes: Buffer): Buffer {
  if (bytes.length > limit) throw new Refusal(413, "body_truncated", { content_length: bytes.length, limit });
  return bytes;
}

function authorize(exchange: Exchange, scheme: Scheme, body: Buffer): Verdict | Promise<Verdict> {
  const plaintext = exchange.attachable();
  if (plaintext !== undefined) {
    exchange.annotate("rejected", plaintext.reason);
    return plaintext;
  }
  const credentials = scheme.credentials();
  return credentials instanceof Promise
    ? credentials.then((late) => sign(exchange, scheme, body, late))
    : sign(exchange, scheme, body, credentials);
}

function sign(
  exchange: Exchange,
  scheme: Scheme,
  body: Buffer,
  { signer, values: credentials, exposed }: SigningCredentials,
): Verdict | Promise<Verdict> {
  const { request } = exchange;
  expose(exchange, exposed);
  const { timestamp, counter, nonce, queryNames } = scheme;
  const draft: Draft = { query: request.query, body, message: "", signature: "" };
  if (queryNames.size > 0) {
    if (request.query !== undefined) draft.query = withoutParameters(request.query, queryNames);
    draft.body = withoutFormParameters(exchange, body, queryNames);
  }
  const sources = { timestamp: timestamp(), counter, nonce, credentials };
  const fields = new SigningFields(exchange, draft, sources);
  appendParameters(draft, scheme.signedQuery, fields);
  draft.message = render(scheme.message, fields, "message_template_failed", {});
  const signature = signer(draft.message);
  return signature instanceof Promise
    ? signature.then((late) => attach(exchange, scheme, draft, fields, late))
    : attach(exchange, scheme, draft, fields, signature);
}

/** A library that signs for itself may have put its own signature in the form it posts; two would contradict. */
function withoutFormParameters({ request }: Exchange, body: Buffer, names: ReadonlySet<string>): Buffer {
  const { headers } = request;
  if (body.length === 0 || headers.has("content-encoding")) return body;
  if (!/^application\/x-www-form-urlencoded(?:$|[ ;])/i.test(headers.get("content-type") ?? "")) return body;
  const text = body.toString("latin1");
  const rest = withoutParameters(text, names);
  return rest === text ? body : Buffer.from(rest, "latin1");
}

function appendParameters(draft: Draft, added: readonly Field[], fields: SigningFields): void {
  for (const { name, value } of added) {
    const text = render(value, fields, "query_template_failed", { query: name });
    const pair = `${escapeForm(name)}=${escapeForm(text)}`;
    draft.query = draft.query === undefined || draft.query === "" ? pair : `${draft.query}&${pair}`;
  }
}

/** Renders what holds the signature, and writes everything at once. */
function attach(
  exchange: Exchange,
  { headers, finalQuery, signedQuery, outputEncoding, places, exposure }: Scheme,
  draft: Draft,
  fields: SigningFields,
  signature: Buffer,
): Verdict {
  draft.signature = signature.toString(outputEncoding);
  const values = headers.map(({ name, value }) => {
    const text = render(value, fields, "header_template_failed", { header: name });
    if (!hasControl(text)) return text;
    const error = "the value has a line break or another control character";
    throw new Refusal(500, "header_template_failed", { header: name, error });
  });
  appendParameters(draft, finalQuery, fields);
  // A signed query is a credential by itself for as long as its time is accepted.
  if (finalQuery.length > 0) expose(exchange, exposedValue(exposure, draft.signature, { once: true }));
  exchange.claim("signature");
  for (const place of places) exchange.claim(place);
  const { request } = exchange;
  for (const [index, { name }] of headers.entries()) request.headers.set(name, values[index] as string);
  request.query = draft.query;
  if (draft.body !== request.body.bytes) request.body.replace(draft.body);
  exchange.annotate("injected", [
    ...headers.map(({ name }) => `header:${name}`),
    ...[...signedQuery, ...finalQuery].map(({ name }) => `query:${name}`),
  ]);
  return undefined;
}

function render(
  template: Template,
  fields: SigningFields,
  reason: Reason,
  facts: Readonly<Record<string, unknown>>,
): string {
  try {
    return template.render(fields);
  } catch (error) {
    if (error instanceof TemplateError) throw new Refusal(500, reason, { ...facts, error: error.message });
    throw error;
  }
}

/** Notes a refusal for the audit and puts it into the mechanism's own answer. Unknown errors go on to the pipeline. */
function rejection(exchange: Exchange, error: unknown): Rejection {
  const { status, reason, facts } = refusalOf(error);
  exchange.annotate("rejected", reason);
  for (const [key, value] of Object.entries(facts)) exchange.annotate(key, value);
  const body = JSON.stringify({ error: "hmac_sign", reason });
  const response = { status, headers: [["Content-Type", "application/json"]] as const, body };
  return { kind: "reject", status, reason, response };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof KeyError) return new Refusal(500, "key_decode_failed", { error: error.message });
  if (error instanceof CredentialError) {
    const { credential, message } = error;
    return new Refusal(502, "credential_unavailable", { credential, error: message });
  }
  throw error;
}

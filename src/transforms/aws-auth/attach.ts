import type { Exchange } from "../../pipeline/types.ts";
import { ChunkResigner } from "./aws-chunked.ts";
import { canonicalQuery, headersToSign } from "./canonical.ts";
import type { Plan } from "./check.ts";
import { isSignatureParameter, nameOf, parameterName } from "./inbound.ts";
import {
  algorithm,
  type RequestToSign,
  scopeText,
  signedHeaders,
  type Signer,
  type SigningTime,
} from "./sigv4.ts";

/**
 * Replaces the workload's signature by a real one, where it stood: in the headers or in the query. The bodies whose
 * chunks carry signatures get theirs while they stream.
 * @param payloadHash of the body, or the word that stands for it
 * @returns the places written, for the audit
 */
export function attachSignature(
  exchange: Exchange,
  { inbound, payload }: Plan,
  payloadHash: string,
  signer: Signer,
  time: SigningTime,
): string[] {
  const { request } = exchange;
  // A bare plus is a space for some servers and a plus for others; an escape is read the same by all.
  if (request.query?.includes("+") === true) request.query = request.query.replaceAll("+", "%20");
  const { scope, place } = inbound;
  const common = { method: request.method, path: request.path, payloadHash, time, scope };
  if (place === "query") return attachQuery(exchange, common, signer);
  const { signature, places } = attachHeaders(exchange, common, signer);
  if (payload.kind === "chunks") {
    const { trailer } = payload;
    const key = signer.signingKey(time.date, scope);
    const { dateTime } = time;
    const signing = { key, dateTime, scope: scopeText(time, scope), seed: signature, trailer };
    const maxChunk = exchange.maxRequestBody;
    request.body.wrap((source) => new ChunkResigner(source, { ...signing, maxChunk }));
  }
  return places;
}

type Unfinished = Omit<RequestToSign, "headers" | "query">;

function attachHeaders(
  exchange: Exchange,
  common: Unfinished,
  signer: Signer,
): { signature: string; places: string[] } {
  const { request } = exchange;
  const { headers } = request;
  const { time, scope, payloadHash } = common;
  const places = ["header:Authorization", "header:X-Amz-Date", "header:X-Amz-Content-Sha256"];
  headers.set("X-Amz-Date", time.dateTime);
  headers.set("X-Amz-Content-Sha256", payloadHash);
  if (signer.sessionToken === undefined) headers.delete("X-Amz-Security-Token");
  else {
    headers.set("X-Amz-Security-Token", signer.sessionToken);
    places.push("header:X-Amz-Security-Token");
  }
  const signed = headersToSign(headers, hostOf(exchange), contentLength(exchange));
  const query = canonicalQuery(request.query) as string;
  const signature = signer.sign({ ...common, headers: signed, query });
  const credential = `${signer.accessKeyId}/${scopeText(time, scope)}`;
  headers.set(
    "Authorization",
    `${algorithm} Credential=${credential}, SignedHeaders=${signedHeaders(signed)}, Signature=${signature}`,
  );
  return { signature, places };
}

/** Presigns again: everything but the signature's own parameters stays, `X-Amz-Expires` included. */
function attachQuery(exchange: Exchange, common: Unfinished, signer: Signer): string[] {
  const { request } = exchange;
  const { headers } = request;
  const { time, scope, payloadHash } = common;
  // The query says these; a copy in a header would be the placeholder's.
  for (const name of ["Authorization", "X-Amz-Date", "X-Amz-Security-Token"]) headers.delete(name);
  if (headers.has("X-Amz-Content-Sha256")) headers.set("X-Amz-Content-Sha256", payloadHash);
  const signed = headersToSign(headers, hostOf(exchange), contentLength(exchange));
  const kept = (request.query ?? "")
    .split("&")
    .filter((field) => field !== "" && !isSignatureParameter(nameOf(field)))
    .map((field) => (isPayloadHash(field) ? `X-Amz-Content-Sha256=${payloadHash}` : field));
  const own: [name: string, value: string][] = [
    ["X-Amz-Algorithm", algorithm],
    ["X-Amz-Credential", `${signer.accessKeyId}/${scopeText(time, scope)}`],
    ["X-Amz-Date", time.dateTime],
    ["X-Amz-SignedHeaders", signedHeaders(signed)],
  ];
  if (signer.sessionToken !== undefined) own.push(["X-Amz-Security-Token", signer.sessionToken]);
  const unsigned = [...kept, ...own.map(([name, value]) => `${name}=${encodeURIComponent(value)}`)].join("&");
  const signature = signer.sign({ ...common, headers: signed, query: canonicalQuery(unsigned) as string });
  request.query = `${unsigned}&X-Amz-Signature=${signature}`;
  return [...own.slice(1).map(([name]) => `query:${name}`), "query:X-Amz-Signature"];
}

function isPayloadHash(field: string): boolean {
  return parameterName(nameOf(field)).toLowerCase() === "x-amz-content-sha256";
}

/** Host as it goes upstream: the forwarder has made it one canonical field. */
function hostOf({ request, authority, scheme }: Exchange): string {
  const sent = request.headers.get("host");
  if (sent !== undefined) return sent;
  return authority.port === (scheme === "https" ? 443 : 80) ? authority.host.name : authority.text;
}

/** The Content-Length that will be written: none for no body, and none for one that stays chunked. */
function contentLength({ request: { body } }: Exchange): number | undefined {
  if (body.length === 0 || (body.bytes !== undefined && body.trailers !== undefined)) return undefined;
  return body.length;
}

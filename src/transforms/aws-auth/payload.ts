import type { Exchange } from "../../pipeline/types.ts";
import { isS3 } from "./canonical.ts";
import { type InboundSignature, nameOf, parameterName } from "./inbound.ts";

/** How the body is covered by the new signature. */
export type Payload =
  /** The word or the hash is signed as it is and the body streams through. */
  | { readonly kind: "literal"; readonly hash: string }
  /** The body is read and hashed. */
  | { readonly kind: "hash" }
  /** aws-chunked with a signature for each chunk, re-signed while it streams. */
  | { readonly kind: "chunks"; readonly hash: string; readonly trailer: boolean };

/** Why a body cannot be signed. */
export interface PayloadProblem {
  readonly reason: "event_stream_not_supported" | "payload_not_supported" | "chunked_body_not_allowed";
}

export interface PayloadSettings {
  readonly unsignedPayload: boolean;
  readonly allowChunkedBody: boolean;
}

export const unsigned = "UNSIGNED-PAYLOAD";
const chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const chunksTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const events = "STREAMING-AWS4-HMAC-SHA256-EVENTS";
const eventStream = /^application\/vnd\.amazon\.eventstream(?:$|[ ;])/i;
const sha256 = /^[0-9a-f]{64}$/;

/** Chooses how to sign the body of a request by what the workload's client said about it. */
export function planPayload(
  exchange: Exchange,
  { place, scope }: InboundSignature,
  settings: PayloadSettings,
): Payload | PayloadProblem {
  const { headers, body, query } = exchange.request;
  const declared = headers.get("x-amz-content-sha256") ?? declaredInQuery(place, query);
  if (declared === events || eventStream.test(headers.get("content-type") ?? "")) {
    return { reason: "event_stream_not_supported" };
  }
  if (declared?.startsWith("STREAMING-") === true) {
    if (place === "query" || headers.getAll("x-amz-content-sha256").length > 1) {
      return { reason: "payload_not_supported" };
    }
    if (declared === chunks) return { kind: "chunks", hash: chunks, trailer: false };
    if (declared === chunksTrailer) return { kind: "chunks", hash: chunksTrailer, trailer: true };
    if (declared === unsignedTrailer) return { kind: "literal", hash: unsignedTrailer };
    return { reason: "payload_not_supported" };
  }
  // A presigned S3 URL is made before its body is known; other services have no word for that.
  const isUnsigned = place === "header" ? settings.unsignedPayload : isS3(scope.service) && !declared;
  if (isUnsigned || declared === unsigned) return { kind: "literal", hash: unsigned };
  if (body.length === undefined && !settings.allowChunkedBody) return { reason: "chunked_body_not_allowed" };
  // S3 compares the body with the hash it was told, so a large upload need not be held to be signed.
  const tooLarge = body.bytes === undefined && (body.length ?? 0) > exchange.maxRequestBody;
  if (tooLarge && isS3(scope.service) && sha256.test(declared ?? "") && !exchange.claimed(":body")) {
    return { kind: "literal", hash: declared as string };
  }
  return { kind: "hash" };
}

/** The JavaScript presigner says `X-Amz-Content-Sha256=UNSIGNED-PAYLOAD` among the parameters. */
function declaredInQuery(place: InboundSignature["place"], query: string | undefined): string | undefined {
  if (place === "header") return undefined;
  const field = query
    ?.split("&")
    .find((part) => parameterName(nameOf(part)).toLowerCase() === "x-amz-content-sha256");
  return field === undefined ? undefined : parameterName(field.slice(nameOf(field).length + 1));
}

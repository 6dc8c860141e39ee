import type { Answer } from "../http/h1/server.ts";
import { Headers } from "../http/headers.ts";
import type { RequestHead } from "../http/message.ts";
import type { Reason } from "../reasons.ts";

/** Codes of gRPC that an answer of this proxy's own can have. */
const codes = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  internal: 13,
  unavailable: 14,
} as const;

const noBytes = Buffer.alloc(0);

/** Whether a request is a gRPC call: those know no other status than gRPC's. gRPC-Web is HTTP like any other. */
export function isGrpcCall({ version, headers }: RequestHead): boolean {
  return version >= 20 && isGrpcType(headers.get("content-type"));
}

export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:[+;]|$)/i.test(contentType);
}

/**
 * A refusal as a client of gRPC understands it: an answer of nothing but its head ("trailers-only" in gRPC's description of its
 * protocol over HTTP/2), whose `grpc-status` is about what the refusal's status is about.
 * @param message for the person or model that reads it
 */
export function grpcAnswer(answer: Answer, reason: Reason, message: string): Answer {
  const headers = Headers.of([
    ["content-type", "application/grpc"],
    ["grpc-status", String(grpcStatus(answer.status, reason))],
    ["grpc-message", percentEncoded(`${reason}: ${message}`)],
    ["sallyport-reason", reason],
  ]);
  return { status: 200, reason: "OK", headers, body: noBytes };
}

function grpcStatus(status: number, reason: Reason): number {
  if (status === 504 || status === 408) return codes.deadlineExceeded;
  if (status === 413 || status === 431 || status === 414 || status === 429) return codes.resourceExhausted;
  if (status === 400 || status === 417) return codes.invalidArgument;
  if (reason === "internal_error" || reason === "transform_failed") return codes.internal;
  return status >= 500 ? codes.unavailable : codes.permissionDenied;
}

/** As gRPC's description of `grpc-message` has it: UTF-8, with everything but printable ASCII as `%XX`, and `%` too. */
function percentEncoded(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded.trim();
}

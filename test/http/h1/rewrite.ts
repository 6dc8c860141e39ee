import assert from "node:assert/strict";
import {
  chunkHeader,
  joinHead,
  lastChunk,
  requestHeadText,
  responseHeadText,
} from "../../../src/http/h1/write.ts";
import { Headers } from "../../../src/http/headers.ts";
import type { Framing, RequestHead, ResponseHead } from "../../../src/http/message.ts";
import { feedRequests, feedResponses, type Message } from "./recorder.ts";

/** Writes a message that was read, reads that, and checks that it is the same message in HTTP/1.1. */
export function rewriteRequest(message: Message<RequestHead>): void {
  const { method, target, headers, framing } = message.head;
  const fields = Headers.of(headers);
  // HTTP/1.0 may lack it, what is written is HTTP/1.1.
  if (!fields.has("host")) fields.append("Host", "h");
  const input = written(requestHeadText(method, target, fields, framing), message, framing);
  const { messages, refusal, rest } = feedRequests(input);
  assert.equal(refusal, undefined);
  assert.equal(rest, "");
  assert.equal(messages.length, 1);
  sameMessage(messages[0] as Message<RequestHead>, message, [...fields]);
  assert.equal(messages[0]?.head.method, method);
  assert.equal(messages[0]?.head.target, target);
}

/** As {@link rewriteRequest}, for the response to a request of this method. */
export function rewriteResponse(message: Message<ResponseHead>, method: string): void {
  const { status, reason, headers, framing } = message.head;
  const fields = Headers.of(headers);
  const head = responseHeadText(
    status,
    reason,
    fields,
    framing,
    undefined,
    method === "HEAD" || status === 304,
  );
  const { messages, refusal, rest } = feedResponses(written(head, message, framing), [method]);
  assert.equal(refusal, undefined);
  assert.equal(rest, "");
  assert.equal(messages.length, 1);
  const expected = headers.filter(([name]) => isWritten(name, status, method, framing));
  sameMessage(messages[0] as Message<ResponseHead>, message, expected);
  assert.equal(messages[0]?.head.status, status);
  assert.equal(messages[0]?.head.reason, reason);
}

/** Framing fields of a message without a body go, but for the length that HEAD and 304 announce. */
function isWritten(name: string, status: number, method: string, framing: Framing): boolean {
  const key = name.toLowerCase();
  if (key !== "content-length" && key !== "transfer-encoding") return true;
  if (framing.kind !== "none") return true;
  return key === "content-length" && status !== 204 && (method === "HEAD" || status === 304);
}

function written(head: string, message: Message<RequestHead | ResponseHead>, framing: Framing): Buffer {
  const body = Buffer.from(message.body, "latin1");
  if (framing.kind !== "chunked") return joinHead(head, body);
  const trailers =
    message.trailers === undefined || message.trailers === "none" ? undefined : Headers.of(message.trailers);
  const chunk = body.length === 0 ? "" : `${chunkHeader(body.length)}${message.body}\r\n`;
  return joinHead(`${head}${chunk}${lastChunk(trailers)}`, undefined);
}

function sameMessage(
  read: Message<RequestHead | ResponseHead>,
  message: Message<RequestHead | ResponseHead>,
  headers: [string, string][],
): void {
  const spelled = headers.map(([name, value]) =>
    name.toLowerCase() === "transfer-encoding"
      ? [name, "chunked"]
      : name.toLowerCase() === "content-length" && message.head.framing.kind === "length"
        ? [name, String(message.head.framing.length)]
        : [name, value],
  );
  assert.deepEqual(read.head.headers, spelled);
  assert.deepEqual(read.head.framing, message.head.framing);
  assert.equal(read.body, message.body);
  const none = (trailers: unknown): unknown =>
    Array.isArray(trailers) && trailers.length === 0 ? "none" : trailers;
  assert.deepEqual(none(read.trailers), none(message.trailers));
}

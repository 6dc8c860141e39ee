import assert from "node:assert/strict";
import http from "node:http";
import { isForbiddenTrailer } from "../../../src/http/h1/framing.ts";
import type { RequestHead, ResponseHead } from "../../../src/http/message.ts";
import { nodeRequests, nodeResponses, type PeerMessage } from "./node-peer.ts";
import { feedRequests, feedResponses, type Message } from "./recorder.ts";

/**
 * Where node reads a request differently that we accept. After such a request nothing is compared, because
 * node has closed the connection or reads what follows as something else.
 */
const requestDifferences: { reason: string; applies(message: Message<RequestHead>): boolean }[] = [
  {
    reason: "node has a list of methods; any token is a method (RFC 9110 section 9.1) and policy decides",
    applies: ({ head }) => !http.METHODS.includes(head.method),
  },
  {
    reason:
      "node takes only host:port as the target of CONNECT, and what follows it for a tunnel; our owner decides",
    applies: ({ head }) => head.method === "CONNECT",
  },
  {
    reason: "node checks the form of the target; here the one parser for targets does, later (I3)",
    applies: ({ head }) => !/^(?:\/|\*|[a-z]+:\/\/[a-z0-9.:-]+(?:[/?]|$))/i.test(head.target),
  },
];

/** Asserts that every request accepted from these bytes is one that node reads from them too, and reads alike. */
export async function compareRequests(input: Buffer): Promise<number> {
  const { messages, ends } = feedRequests(input);
  const ours = messages.slice(0, ends.length);
  const comparable = ours.findIndex((message) => requestDifferences.some(({ applies }) => applies(message)));
  const compared = comparable < 0 ? ours : ours.slice(0, comparable);
  if (compared.length === 0) return 0;
  // Only what was accepted: node takes a connection down at once for what is wrong in the next request.
  const theirs = await nodeRequests(input.subarray(0, ends[compared.length - 1]));
  for (const [index, message] of compared.entries()) {
    const { head, body, trailers } = message;
    const read = { headers: head.headers, body, trailers: trailers === "none" ? [] : trailers };
    assert.deepEqual(theirs[index], {
      start: [head.method, head.target],
      ...read,
      complete: true,
    } as PeerMessage);
  }
  return compared.length;
}

/** As above, for responses. */
const responseDifferences: {
  reason: string;
  applies(message: Message<ResponseHead>, method: string): boolean;
}[] = [
  {
    reason: "node takes any first head for the answer to CONNECT, also 1xx and a refusal with its body",
    applies: ({ head }, method) => method === "CONNECT" && (head.status < 200 || head.status > 299),
  },
];

/** Asserts that a response accepted from these bytes, 1xx included, is what node reads from them. */
export async function compareResponse(input: Buffer, method: string): Promise<number> {
  const { messages: ours, ends } = feedResponses(input, [method]);
  if (ours.at(-1)?.trailers === undefined) return 0;
  if (ours.some((message) => responseDifferences.some(({ applies }) => applies(message, method)))) return 0;
  const theirs = await nodeResponses(input.subarray(0, ends[0]), method);
  for (const [index, { head, body, trailers }] of ours.entries()) {
    const read = { headers: head.headers, body, trailers: Array.isArray(trailers) ? trailers : [] };
    const expected = { start: [String(head.status), head.reason], ...read, complete: trailers !== undefined };
    const their = theirs[index];
    // Node hands every trailer on; those that would be believed as headers are dropped here.
    if (their !== undefined)
      their.trailers = their.trailers.filter(([name]) => !isForbiddenTrailer(name.toLowerCase()));
    assert.deepEqual(their, expected as PeerMessage);
  }
  return ours.length;
}

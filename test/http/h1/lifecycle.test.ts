import assert from "node:assert/strict";
import { test } from "node:test";
import { H1Error } from "../../../src/http/h1/errors.ts";
import { defaultH1Limits } from "../../../src/http/h1/limits.ts";
import { RequestParser, ResponseParser } from "../../../src/http/h1/parser.ts";
import { feedRequests, feedResponses, lines } from "./recorder.ts";

const nothing = { onHead() {}, onBody() {}, onEnd() {} };

test("phase says how much of a message has arrived", () => {
  const parser = new RequestParser(defaultH1Limits, nothing);
  const phases: [piece: string, phase: string][] = [
    ["", "idle"],
    ["\r", "idle"],
    ["\n", "idle"],
    ["G", "head"],
    ["ET / HTTP/1.1\r\n", "head"],
    ["Host: h\r\nContent-Length: 2\r\n\r", "head"],
    ["\n", "body"],
    ["a", "body"],
    ["b", "idle"],
    ["POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "body"],
    ["1\r\nx\r\n0\r\n", "body"],
    ["A: b\r\n\r", "body"],
    ["\n", "idle"],
  ];
  for (const [piece, phase] of phases) {
    assert.equal(parser.execute(Buffer.from(piece)), piece.length);
    assert.equal(parser.phase, phase, `after ${JSON.stringify(piece)}`);
  }
});

test("body bytes are a part of the chunk that was fed, not a copy", () => {
  const bodies: Buffer[] = [];
  const parser = new RequestParser(defaultH1Limits, { ...nothing, onBody: (bytes) => bodies.push(bytes) });
  const chunk = lines("POST / HTTP/1.1", "Host: h", "Content-Length: 6", "", "ab");
  parser.execute(chunk);
  const next = Buffer.from("cd");
  parser.execute(next);
  assert.equal(bodies[0]?.buffer, chunk.buffer);
  assert.equal(bodies[0]?.byteOffset, chunk.byteOffset + chunk.length - 4);
  assert.equal(bodies[1], next);
});

const cuts: [where: string, input: string, reason: string][] = [
  ["the request line", "GET / HT", "malformed_request"],
  ["the fields", "GET / HTTP/1.1\r\nHost: h\r\n", "malformed_request"],
  ["a body with a length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", "body_incomplete"],
  ["a chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "body_incomplete"],
  [
    "the last chunk",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "body_incomplete",
  ],
];
for (const [where, input, reason] of cuts) {
  test(`I9: a connection closed inside ${where} of a request is refused`, () => {
    const { refusal } = feedRequests(Buffer.from(input));
    assert.equal(refusal?.status, 400);
    assert.equal(refusal?.reason, reason);
  });
}

test("a connection may close between messages", () => {
  for (const input of ["", "\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"]) {
    assert.equal(feedRequests(Buffer.from(input)).refusal, undefined);
  }
  assert.equal(feedResponses(Buffer.alloc(0)).refusal, undefined);
});

const responseCuts: [where: string, input: string][] = [
  ["the status line", "HTTP/1.1 20"],
  ["a body with a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"],
  ["a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"],
];
for (const [where, input] of responseCuts) {
  test(`I9: a connection closed inside ${where} of a response never looks complete`, () => {
    const { refusal, messages } = feedResponses(Buffer.from(input));
    assert.equal(refusal?.status, 502);
    assert.equal(refusal?.reason, "upstream_response_invalid");
    assert.equal(messages[0]?.trailers, undefined);
  });
}

test("I10 attack 32: a response that no request asked for is refused", () => {
  const parser = new ResponseParser(defaultH1Limits, nothing);
  const response = lines("HTTP/1.1 200 OK", "Content-Length: 0", "");
  parser.expect("GET");
  parser.execute(response);
  assert.throws(() => parser.execute(response), H1Error);
});

test("a parser that has thrown takes no more bytes", () => {
  const parser = new RequestParser(defaultH1Limits, nothing);
  assert.throws(() => parser.execute(Buffer.from("\n")), H1Error);
  assert.throws(() => parser.execute(lines("GET / HTTP/1.1", "Host: h", "")), /has thrown/);
  parser.finish();
});

test("a parser whose owner throws takes no more bytes", () => {
  const onHead = (): never => {
    throw new TypeError("owner");
  };
  const parser = new RequestParser(defaultH1Limits, { ...nothing, onHead });
  assert.throws(() => parser.execute(lines("GET / HTTP/1.1", "Host: h", "")), TypeError);
  assert.throws(() => parser.execute(lines("GET / HTTP/1.1", "Host: h", "")), /has thrown/);
});

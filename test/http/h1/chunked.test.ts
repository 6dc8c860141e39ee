import assert from "node:assert/strict";
import { test } from "node:test";
import { feedRequests, feedResponses, lines, type Pair } from "./recorder.ts";

const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

function chunked(body: string): Buffer {
  return Buffer.from(head + body, "latin1");
}

const accepted: [behaviour: string, body: string, bytes: string][] = [
  ["one chunk", "3\r\nabc\r\n0\r\n\r\n", "abc"],
  ["no chunk", "0\r\n\r\n", ""],
  ["lower and upper case digits", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"],
  ["13 digits", "0000000000001\r\nx\r\n0000000000000\r\n\r\n", "x"],
  ["what looks like a chunk in the data", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"],
  ["extensions of every form", '1;a;b=c;d="e\\"f ;=\xe9"\r\nx\r\n0;z\r\n\r\n', "x"],
];
for (const [behaviour, body, bytes] of accepted) {
  test(`reads a chunked body with ${behaviour}`, () => {
    const { messages, refusal } = feedRequests(chunked(body));
    assert.equal(refusal, undefined);
    assert.equal(messages[0]?.body, bytes);
    assert.equal(messages[0]?.trailers, "none");
  });
}

const refused: [behaviour: string, body: string, message: string][] = [
  ["an empty size", "\r\n", "a bare CR in place of a size"],
  ["a size of 0x", "0x5\r\nhello\r\n", "byte 0x78 in the chunk header"],
  ["a sign", "+5\r\nhello\r\n", "byte 0x2b in place of a size"],
  ["a negative size", "-1\r\n", "byte 0x2d in place of a size"],
  ["a space before the size", " 5\r\nhello\r\n", "a space in place of a size"],
  ["a space after the size", "5 \r\nhello\r\n", "a space in the chunk header"],
  ["a tab after the size", "5\t;a\r\nhello\r\n", "a tab in the chunk header"],
  ["an underscore in the size", "1_0\r\n", "byte 0x5f in the chunk header"],
  ["a letter that is no digit", "g\r\n", "byte 0x67 in place of a size"],
  ["14 digits", "00000000000001\r\nx\r\n", "a size of more than 13 digits"],
  ["a bare LF after the size", "5\nhello\r\n", "a bare LF in the chunk header"],
  ["a bare CR after the size", "5\rhello\r\n", "a bare CR in the chunk header"],
  ["an extension without a name", "5;\r\nhello\r\n", "a bare CR in place of an extension's name or value"],
  ["an extension without a value", "5;a=\r\nhello\r\n", "a bare CR in place of an extension's name or value"],
  ["a value without a name", "5;=a\r\n", "byte 0x3d in place of an extension's name or value"],
  ["whitespace in an extension", "5; a\r\n", "a space in place of an extension's name or value"],
  ["a bare LF in an extension", "5;a\nhello\r\n", "a bare LF in the chunk header"],
  ["a bare CR in an extension", "5;a\rb\r\nhello\r\n", "a bare CR in the chunk header"],
  ["a NUL in an extension", "5;a\0\r\n", "a NUL byte in the chunk header"],
  ["CR in a quoted extension", '5;a="\r\n"\r\n', "a bare CR in a quoted extension"],
  ["an escaped LF in a quoted extension", '5;a="\\\n"\r\n', "a bare LF in a quoted extension"],
  ["a byte after a quoted extension", '5;a="b"c\r\n', "byte 0x63 in the chunk header"],
  ["data longer than its size", "2\r\nabc\r\n0\r\n\r\n", "the data is longer than its size"],
  ["data that ends with LF", "3\r\nabc\n0\r\n\r\n", "the data is longer than its size"],
  ["a bare CR after the data", "3\r\nabc\r0\r\n\r\n", "a bare CR after the data"],
];
for (const [behaviour, body, message] of refused) {
  test(`I9 attack 21: refuses a chunked body with ${behaviour}`, () => {
    const whole = feedRequests(chunked(body), { closes: false });
    const expected = { status: 400, reason: "malformed_request", message: `chunked body: ${message}` };
    assert.deepEqual(whole.refusal, expected);
    assert.equal(whole.messages[0]?.trailers, undefined, "a refused body has no end");
    assert.deepEqual(feedRequests(chunked(body), { closes: false, cuts: [1] }), whole);
  });
}

const badTrailers: [behaviour: string, line: string, message: string][] = [
  ["a folded line", " a", "field line 1: whitespace at the start of the line (folded lines are not allowed)"],
  ["a space before the colon", "a : b", "field line 1: whitespace in or after the field name"],
  ["a NUL", "a: \0", "field line 1: a NUL byte in the value"],
  ["a bare LF", "a: b\nc: d", "field line 1: a bare LF in the value"],
];
for (const [behaviour, line, message] of badTrailers) {
  test(`I9: refuses trailers with ${behaviour}`, () => {
    const { refusal } = feedRequests(chunked(`0\r\n${line}\r\n\r\n`));
    assert.deepEqual(refusal, { status: 400, reason: "malformed_request", message });
  });
}

const forbidden = [
  "Content-Length",
  "Transfer-Encoding",
  "Host",
  "Trailer",
  "Connection",
  "Keep-Alive",
  "TE",
  "Upgrade",
  "Proxy-Connection",
  "Proxy-Authorization",
  "PROXY-anything",
  "Authorization",
  "Cookie",
  "Set-Cookie",
  "WWW-Authenticate",
  "Expect",
];
for (const name of forbidden) {
  test(`I9: ${name} in the trailers of a request is refused, and dropped from those of a response`, () => {
    const trailers = `0\r\nX-A: 1\r\n${name}: 2\r\n${name}: 2\r\nX-B: 3\r\n\r\n`;
    const message = `${name.toLowerCase()} is not allowed in trailers`;
    assert.deepEqual(feedRequests(chunked(trailers)).refusal, {
      status: 400,
      reason: "malformed_request",
      message,
    });
    const response = feedResponses(
      Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${trailers}`),
    );
    const kept: Pair[] = [
      ["X-A", "1"],
      ["X-B", "3"],
    ];
    assert.deepEqual(response.messages[0]?.trailers, kept);
  });
}

test("I9: a chunked response is read as strictly as a request", () => {
  const { refusal } = feedResponses(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "0x1", "a"));
  assert.deepEqual(refusal, {
    status: 502,
    reason: "upstream_response_invalid",
    message: "chunked body: byte 0x78 in the chunk header",
  });
});

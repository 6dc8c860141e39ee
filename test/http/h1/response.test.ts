import assert from "node:assert/strict";
import { test } from "node:test";
import { feedResponses, lines } from "./recorder.ts";

const malformed: [behaviour: string, input: string | Buffer, message: string][] = [
  [
    "an empty line before it",
    "\r\nHTTP/1.1 200 OK\r\n",
    "the start line has no version of the form HTTP/1.1",
  ],
  ["another protocol", "ICY 200 OK\r\n", "the start line has no version of the form HTTP/1.1"],
  ["a lower-case version", "http/1.1 200 OK\r\n", "the start line has no version of the form HTTP/1.1"],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\n", "HTTP/2.0 is not spoken here, only HTTP/1.1 and HTTP/1.0"],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\n", "status line: the status is not three digits"],
  ["a tab before the status", "HTTP/1.1\t200 OK\r\n", "status line: no space after the version"],
  ["no status", "HTTP/1.1\r\n", "status line: no space after the version"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n", "status line: the status is not three digits"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n", "status line: byte 0x30 after the status"],
  ["a status with a sign", "HTTP/1.1 +20 OK\r\n", "status line: the status is not three digits"],
  ["status 099", "HTTP/1.1 099 No\r\n", "status line: the status is not within 100 to 599"],
  ["status 600", "HTTP/1.1 600 No\r\n", "status line: the status is not within 100 to 599"],
  ["status 999", "HTTP/1.1 999 No\r\n", "status line: the status is not within 100 to 599"],
  ["a phrase without its space", "HTTP/1.1 200OK\r\n", "status line: byte 0x4f after the status"],
  ["a bare LF after the status", "HTTP/1.1 200\n", "status line: a bare LF after the status"],
  ["a bare LF after the phrase", "HTTP/1.1 200 OK\n", "status line: a bare LF in the reason phrase"],
  ["a bare CR in the phrase", "HTTP/1.1 200 O\rK\r\n", "status line: a bare CR in it"],
  ["a NUL in the phrase", "HTTP/1.1 200 O\0K\r\n", "status line: a NUL byte in the reason phrase"],
  ["DEL in the phrase", "HTTP/1.1 200 O\x7fK\r\n", "status line: byte 0x7f in the reason phrase"],
  [
    "a folded line",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n",
    "field line 2: whitespace at the start of the line (folded lines are not allowed)",
  ],
  [
    "a space before the colon",
    "HTTP/1.1 200 OK\r\nA : b\r\n",
    "field line 1: whitespace in or after the field name",
  ],
  ["a bare LF in a value", "HTTP/1.1 200 OK\r\nA: b\n", "field line 1: a bare LF in the value"],
  ["a NUL in a value", "HTTP/1.1 200 OK\r\nA: \0\r\n", "field line 1: a NUL byte in the value"],
  [
    "both Content-Length and Transfer-Encoding",
    framed("Content-Length: 1", "Transfer-Encoding: chunked"),
    "both Content-Length and Transfer-Encoding",
  ],
  [
    "a repeated Content-Length",
    framed("Content-Length: 1", "Content-Length: 1"),
    "Content-Length is repeated",
  ],
  ["a list in Content-Length", framed("Content-Length: 1, 1"), "Content-Length is not a number of bytes"],
  [
    "another coding",
    framed("Transfer-Encoding: gzip, chunked"),
    "Transfer-Encoding is not exactly `chunked`",
  ],
  ["1xx in HTTP/1.0", lines("HTTP/1.0 100 Continue", ""), "an interim response in HTTP/1.0"],
  ["101 in HTTP/1.0", lines("HTTP/1.0 101 Switching", ""), "an interim response in HTTP/1.0"],
  [
    "Transfer-Encoding in HTTP/1.0",
    lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked", ""),
    "Transfer-Encoding in HTTP/1.0",
  ],
];

function framed(...fields: string[]): Buffer {
  return lines("HTTP/1.1 200 OK", ...fields, "", "0", "");
}

for (const [behaviour, input, message] of malformed) {
  test(`I9 attack 20 21: refuses a response with ${behaviour}`, () => {
    const bytes = Buffer.isBuffer(input) ? input : Buffer.from(input, "latin1");
    for (const methods of [["GET"], ["HEAD"]]) {
      const whole = feedResponses(bytes, methods, { closes: false });
      assert.deepEqual(whole.refusal, { status: 502, reason: "upstream_response_invalid", message });
      assert.deepEqual(whole.messages, []);
      assert.deepEqual(feedResponses(bytes, methods, { closes: false, cuts: [1] }), whole);
    }
  });
}

const heads: [line: string, status: number, reason: string][] = [
  ["HTTP/1.1 200 OK", 200, "OK"],
  ["HTTP/1.1 200 ", 200, ""],
  ["HTTP/1.1 200", 200, ""],
  ["HTTP/1.1 404  two spaces ", 404, " two spaces "],
  ["HTTP/1.1 599 caf\xe9\t!", 599, "caf\xe9\t!"],
];
for (const [line, status, reason] of heads) {
  test(`reads the status line ${JSON.stringify(line)}`, () => {
    const { messages, refusal } = feedResponses(lines(line, "Content-Length: 0", ""));
    assert.equal(refusal, undefined);
    assert.equal(messages[0]?.head.status, status);
    assert.equal(messages[0]?.head.reason, reason);
  });
}

const noBody = { kind: "none" };
const framings: [behaviour: string, method: string, head: string[], framing: unknown, keepAlive: boolean][] =
  [
    ["a length", "GET", ["HTTP/1.1 200 OK", "Content-Length: 0"], { kind: "length", length: 0 }, true],
    ["until close", "GET", ["HTTP/1.1 200 OK"], { kind: "close" }, false],
    [
      "until close, whatever Connection says",
      "GET",
      ["HTTP/1.1 200 OK", "Connection: keep-alive"],
      { kind: "close" },
      false,
    ],
    ["until close in HTTP/1.0", "GET", ["HTTP/1.0 200 OK"], { kind: "close" }, false],
    [
      "HTTP/1.0 that stays",
      "GET",
      ["HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 0"],
      { kind: "length", length: 0 },
      true,
    ],
    [
      "HTTP/1.0 that does not",
      "GET",
      ["HTTP/1.0 200 OK", "Content-Length: 0"],
      { kind: "length", length: 0 },
      false,
    ],
    [
      "HTTP/1.1 that closes",
      "GET",
      ["HTTP/1.1 200 OK", "Connection: x, Close", "Content-Length: 0"],
      { kind: "length", length: 0 },
      false,
    ],
    ["HEAD with a length", "HEAD", ["HTTP/1.1 200 OK", "Content-Length: 9"], noBody, true],
    ["HEAD with chunked", "HEAD", ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], noBody, true],
    ["HEAD with neither", "HEAD", ["HTTP/1.1 200 OK"], noBody, true],
    ["204", "GET", ["HTTP/1.1 204 No Content", "Content-Length: 9"], noBody, true],
    ["304", "GET", ["HTTP/1.1 304 Not Modified", "Content-Length: 9"], noBody, true],
    ["2xx to CONNECT", "CONNECT", ["HTTP/1.1 200 OK", "Content-Length: 9"], noBody, true],
  ];
for (const [behaviour, method, head, framing, keepAlive] of framings) {
  test(`frames a response: ${behaviour}`, () => {
    const { messages, refusal } = feedResponses(lines(...head, ""), [method]);
    assert.equal(refusal, undefined);
    assert.deepEqual(messages[0]?.head.framing, framing);
    assert.equal(messages[0]?.head.keepAlive, keepAlive);
    assert.equal(messages[0]?.trailers, "none");
  });
}

test("a refused CONNECT has a body", () => {
  const { messages } = feedResponses(lines("HTTP/1.1 407 No", "Content-Length: 2", "", ""), ["CONNECT"]);
  assert.equal(messages[0]?.body, "\r\n");
});

test("what follows 2xx to CONNECT belongs to the tunnel", () => {
  const { messages, rest } = feedResponses(Buffer.from("HTTP/1.1 200 OK\r\n\r\ntunnel"), ["CONNECT"]);
  assert.equal(messages[0]?.trailers, "none");
  assert.equal(rest, "tunnel");
});

test("1xx heads come before the response they belong to and end nothing", () => {
  const input = lines(
    "HTTP/1.1 100 Continue",
    "",
    "HTTP/1.1 103 Early",
    "Content-Length: 5",
    "",
    "HTTP/1.1 200 OK",
    "Content-Length: 0",
    "",
  );
  const { messages, refusal } = feedResponses(input, ["HEAD"]);
  assert.equal(refusal, undefined);
  assert.deepEqual(
    messages.map(({ head, trailers }) => [head.status, head.framing.kind, trailers]),
    [
      [100, "none", undefined],
      [103, "none", undefined],
      [200, "none", "none"],
    ],
  );
});

test("101 ends HTTP: what follows is left to the owner, now and later", () => {
  const input = Buffer.from(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
  );
  const { messages, rest } = feedResponses(input);
  assert.equal(messages.length, 1);
  assert.deepEqual(messages[0]?.head.framing, noBody);
  assert.equal(messages[0]?.trailers, undefined);
  assert.equal(rest, "HTTP/1.1 200 OK\r\n\r\n");
});

test("I10 attack 32: bytes after a response are left, not taken for the next one", () => {
  const { messages, rest } = feedResponses(
    Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK"),
  );
  assert.equal(messages.length, 1);
  assert.equal(rest, "HTTP/1.1 200 OK");
});

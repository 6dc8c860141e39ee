import assert from "node:assert/strict";
import { test } from "node:test";
import { feedRequests, lines } from "./recorder.ts";

const host = "Host: h";
const both = "both Content-Length and Transfer-Encoding";

/** A head that ends, with these fields. */
function head(...fields: string[]): Buffer {
  return lines("GET / HTTP/1.1", ...fields, "");
}

/** A request whose head is fine but for the framing fields given. */
function framed(...fields: string[]): Buffer {
  return lines("POST / HTTP/1.1", host, ...fields, "", "0", "");
}

function fold(line: number): string {
  return `field line ${line}: whitespace at the start of the line (folded lines are not allowed)`;
}

test("reads a request head into its parts and keeps order, repeats and casing of the fields", () => {
  const input = lines(
    "POST /a?b=%20c HTTP/1.1",
    "host: h",
    "X-A: 1",
    "x-a:2",
    "Content-LENGTH: 3",
    "",
    "xyz",
  );
  const { messages, refusal, rest } = feedRequests(input.subarray(0, -2));
  assert.equal(refusal, undefined);
  assert.equal(rest, "");
  assert.deepEqual(messages, [
    {
      head: {
        method: "POST",
        target: "/a?b=%20c",
        version: 11,
        headers: [
          ["host", "h"],
          ["X-A", "1"],
          ["x-a", "2"],
          ["Content-LENGTH", "3"],
        ],
        framing: { kind: "length", length: 3 },
        keepAlive: true,
        expectContinue: false,
        size: input.length - "xyz\r\n".length,
      },
      body: "xyz",
      trailers: "none",
    },
  ]);
});

test("stops right after a message, so that its owner decides about the next", () => {
  const { messages, rest } = feedRequests(
    lines("GET / HTTP/1.1", host, "Connection: close", "", "GET /next HTTP/1.1", host, ""),
  );
  assert.equal(messages.length, 1);
  assert.equal(rest, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
});

/** What makes a malformed request line or field section, and the exact refusal. */
const malformed: [behaviour: string, input: Buffer | string, message: string][] = [
  [
    "a second empty line before the request",
    "\r\n\r\nGET / HTTP/1.1\r\n",
    "request line: more than one empty line before it",
  ],
  ["a bare LF before the request", "\nGET / HTTP/1.1\r\n", "request line: a bare LF in place of a method"],
  ["a bare CR before the request", "\rGET / HTTP/1.1\r\n", "a bare CR before the request line"],
  ["whitespace before the method", " GET / HTTP/1.1\r\n", "request line: a space in place of a method"],
  [
    "TLS on a plain port",
    Buffer.from([0x16, 3, 1]),
    "request line: this looks like TLS; plain HTTP is expected here",
  ],
  ["a method that is not a token", "GE(T / HTTP/1.1\r\n", "request line: byte 0x28 in the method"],
  ["a NUL in the method", "GE\0T / HTTP/1.1\r\n", "request line: a NUL byte in the method"],
  ["a tab after the method", "GET\t/ HTTP/1.1\r\n", "request line: a tab in the method"],
  ["a method alone", "GET\r\n", "request line: no request target"],
  [
    "two spaces before the target",
    "GET  / HTTP/1.1\r\n",
    "request line: more than one space after the method",
  ],
  [
    "two spaces before the version",
    "GET /  HTTP/1.1\r\n",
    "the start line has no version of the form HTTP/1.1",
  ],
  ["a space after the version", "GET / HTTP/1.1 \r\n", "request line: a space after the version"],
  ["HTTP/0.9", "GET /\r\n", "request line: no version"],
  ["a lower-case version", "GET / http/1.1\r\n", "the start line has no version of the form HTTP/1.1"],
  ["a version of three digits", "GET / HTTP/1.10\r\n", "request line: byte 0x30 after the version"],
  ["a version without its dot", "GET / HTTP/1,1\r\n", "the start line has no version of the form HTTP/1.1"],
  ["a version with a sign", "GET / HTTP/+.1\r\n", "the start line has no version of the form HTTP/1.1"],
  [
    "a bare LF after the request line",
    "GET / HTTP/1.1\nHost: h\r\n",
    "request line: a bare LF after the version",
  ],
  ["a bare CR after the request line", "GET / HTTP/1.1\rHost: h\r\n", "request line: a bare CR at its end"],
  ["a folded line", head("X: a", " b"), fold(2)],
  ["a line folded with a tab", head("X: a", "\tb"), fold(2)],
  ["whitespace at the start of the first line", head(" X: a"), fold(1)],
  ["a space before the colon", head("X : a"), "field line 1: whitespace in or after the field name"],
  ["a tab before the colon", head("X\t: a"), "field line 1: whitespace in or after the field name"],
  ["a space in the name", head(host, "A B: c"), "field line 2: whitespace in or after the field name"],
  ["an empty name", head(": a"), "field line 1: an empty field name"],
  ["a line without a colon", head("X"), "field line 1: no colon"],
  ["a line without a colon that ends with LF", "GET / HTTP/1.1\r\nX\n", "field line 1: no colon"],
  ["a slash in a name", head("a/b: c"), "field line 1: byte 0x2f in the field name"],
  ["a NUL in a name", head("a\0b: c"), "field line 1: a NUL byte in the field name"],
  ["obs-text in a name", head("caf\xe9: c"), "field line 1: byte 0xe9 in the field name"],
  [
    "a control byte at the start of a line",
    head("\x01a: c"),
    "field line 1: byte 0x01 at the start of the line",
  ],
  ["a quote at the start of a line", head('"a": c'), "field line 1: byte 0x22 at the start of the line"],
  ["a NUL in a value", head("X: a\0b"), "field line 1: a NUL byte in the value"],
  ["a vertical tab in a value", head("X: a\x0bb"), "field line 1: byte 0x0b in the value"],
  ["an escape in a value", head("X: a\x1b[2J"), "field line 1: byte 0x1b in the value"],
  ["DEL in a value", head("X: a\x7f"), "field line 1: byte 0x7f in the value"],
  ["a bare LF in a value", head("X: a\nY: b"), "field line 1: a bare LF in the value"],
  ["a bare CR in a value", head("X: a\rY: b"), "field line 1: a bare CR in the value"],
  ["two CRs at the end of a line", head("X: a\r"), "field line 1: a bare CR in the value"],
  ["a bare CR at the start of a line", head("\rX: a"), "field line 1: a bare CR at the start of the line"],
  [
    "an empty line with a bare LF",
    "GET / HTTP/1.1\r\nHost: h\r\n\n",
    "field line 2: a bare LF at the start of the line",
  ],
  [
    "both Content-Length and Transfer-Encoding",
    framed("Content-Length: 5", "Transfer-Encoding: chunked"),
    both,
  ],
  ["both in the other order", framed("Transfer-Encoding: chunked", "Content-Length: 0"), both],
  [
    "a repeated Content-Length",
    framed("Content-Length: 5", "Content-Length: 6"),
    "Content-Length is repeated",
  ],
  [
    "an equal repeated Content-Length",
    framed("Content-Length: 5", "content-length: 5"),
    "Content-Length is repeated",
  ],
  [
    "a repeated Content-Length of 0",
    framed("Content-Length: 0", "content-length: 0"),
    "Content-Length is repeated",
  ],
  [
    "Transfer-Encoding in HTTP/1.0",
    lines("POST / HTTP/1.0", "Transfer-Encoding: chunked", ""),
    "Transfer-Encoding in HTTP/1.0",
  ],
  [
    "a repeated Transfer-Encoding",
    framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "Transfer-Encoding is repeated",
  ],
];

malformed.push(
  ...[" ", "\t", " \t "].map((padding): [string, Buffer, string] => [
    `${JSON.stringify(padding)} after Transfer-Encoding's value`,
    framed(`Transfer-Encoding: chunked${padding}`),
    "whitespace after the value of Transfer-Encoding",
  ]),
);

for (const [behaviour, input, message] of malformed) {
  test(`I9 attack 20 21: refuses ${behaviour}`, () => {
    refuses(input, 400, "malformed_request", message);
  });
}

function refuses(input: Buffer | string, status: number, reason: string, message: string): void {
  const bytes = typeof input === "string" ? Buffer.from(input, "latin1") : input;
  const whole = feedRequests(bytes, { closes: false });
  assert.deepEqual(whole.refusal, { status, reason, message });
  assert.deepEqual(whole.messages, [], "nothing of a refused head is told");
  assert.deepEqual(feedRequests(bytes, { closes: false, cuts: [1] }), { ...whole, rest: "" });
}

for (const value of [
  "",
  "+5",
  "-5",
  "0x5",
  "5, 5",
  "5,5",
  "5 5",
  "5.0",
  "1e3",
  "five",
  "\xb2",
  "9007199254740992",
  "9".repeat(400),
]) {
  test(`I9 attack 20: refuses Content-Length ${JSON.stringify(value.slice(0, 20))}`, () => {
    refuses(
      framed(`Content-Length: ${value}`),
      400,
      "malformed_request",
      "Content-Length is not a number of bytes",
    );
  });
}

const codings = [
  "",
  "gzip",
  "identity",
  "gzip, chunked",
  "chunked, chunked",
  "chunked, identity",
  "chunked,",
  ", chunked",
  "xchunked",
  "chunkedx",
  "chunked;a=b",
  '"chunked"',
  "chunked\xa0",
  "\x85chunked",
  "chun ked",
];
for (const value of codings) {
  test(`I9 attack 20: refuses Transfer-Encoding ${JSON.stringify(value)}`, () => {
    const message = "Transfer-Encoding is not exactly `chunked`";
    refuses(framed(`Transfer-Encoding: ${value}`), 400, "malformed_request", message);
  });
}

const targets: [behaviour: string, target: string, byte: string][] = [
  ["a NUL", "/a\0b", "a NUL byte"],
  ["a tab", "/a\tb", "a tab"],
  ["a bare LF", "/a\n", "a bare LF"],
  ["DEL", "/\x7f", "byte 0x7f"],
  ["obs-text", "/caf\xe9", "byte 0xe9"],
];
for (const [behaviour, target, byte] of targets) {
  test(`I9: refuses ${behaviour} in the target`, () => {
    const message = `request target: ${byte}; escape it with a percent sign`;
    refuses(`GET ${target} HTTP/1.1\r\n`, 400, "invalid_target", message);
  });
}

for (const version of ["2.0", "0.9", "1.2", "3.7"]) {
  test(`refuses HTTP/${version}, also as prior knowledge`, () => {
    const message = `HTTP/${version} is not spoken here, only HTTP/1.1 and HTTP/1.0`;
    refuses(`PRI * HTTP/${version}\r\n\r\nSM\r\n\r\n`, 505, "version_not_supported", message);
  });
}

test("I1 I9: refuses HTTP/1.1 without Host", () => {
  refuses(head("X: y"), 400, "invalid_host", "Host is missing; HTTP/1.1 requires it");
});

test("I1 I9: refuses a repeated Host, equal or not, in any casing and version", () => {
  refuses(head(host, host), 400, "invalid_host", "Host is repeated");
  refuses(head(host, "hOST: other"), 400, "invalid_host", "Host is repeated");
  refuses(lines("GET / HTTP/1.0", host, "HOST: h", ""), 400, "invalid_host", "Host is repeated");
});

test("I9: refuses CONNECT with a body, which others read as the first bytes of the tunnel", () => {
  for (const field of ["Content-Length: 1", "Transfer-Encoding: chunked"]) {
    const input = lines("CONNECT h:443 HTTP/1.1", host, field, "");
    refuses(input, 400, "malformed_request", "CONNECT with a body");
  }
  const empty = feedRequests(lines("CONNECT h:443 HTTP/1.1", host, "Content-Length: 0", ""));
  assert.equal(empty.messages[0]?.trailers, "none");
});

test("takes a Content-Length up to 2^53-1, with leading zeros", () => {
  for (const value of ["9007199254740991", "0009007199254740991"]) {
    const { messages } = feedRequests(head(host, `Content-Length: ${value}`), { closes: false });
    assert.deepEqual(messages[0]?.head.framing, { kind: "length", length: Number.MAX_SAFE_INTEGER });
  }
});

const connections: [version: string, fields: string[], keepAlive: boolean][] = [
  ["1.1", [], true],
  ["1.1", ["Connection: close"], false],
  ["1.1", ["Connection: CLOSE"], false],
  ["1.1", ["Connection: foo , Close\t,bar"], false],
  ["1.1", ["Connection: foo", "connection: close"], false],
  ["1.1", ["Connection: closed, xclose, clo se"], true],
  ["1.1", ["Connection: close\xa0"], true],
  ["1.1", ["Connection: keep-alive"], true],
  ["1.1", ["Connection: keep-alive, close"], false],
  ["1.0", [], false],
  ["1.0", ["Connection: Keep-Alive"], true],
  ["1.0", ["Connection: x", "Connection: y,keep-alive"], true],
  ["1.0", ["Connection: keep-alive, close"], false],
];
for (const [version, fields, keepAlive] of connections) {
  test(`HTTP/${version} with ${JSON.stringify(fields)} ${keepAlive ? "keeps" : "closes"} the connection`, () => {
    const { messages } = feedRequests(lines(`GET / HTTP/${version}`, host, ...fields, ""));
    assert.equal(messages[0]?.head.keepAlive, keepAlive);
  });
}

const expectations: [version: string, fields: string[], expectContinue: boolean][] = [
  ["1.1", ["Expect: 100-continue"], true],
  ["1.1", ["expect: 100-Continue"], true],
  ["1.1", ["Expect: 100-continue, x"], false],
  ["1.1", ["Expect: other"], false],
  ["1.1", ["Expect: 100-continue", "Expect: 100-continue"], false],
  ["1.0", ["Expect: 100-continue"], false],
];
for (const [version, fields, expected] of expectations) {
  test(`HTTP/${version} with ${JSON.stringify(fields)} ${expected ? "waits" : "does not wait"} for 100`, () => {
    const { messages } = feedRequests(lines(`GET / HTTP/${version}`, host, ...fields, ""));
    assert.equal(messages[0]?.head.expectContinue, expected);
  });
}

test("I14: a refusal does not quote what it refuses", () => {
  const secret = "s3cr3t";
  const inputs = [
    `GET /${secret}\x00 HTTP/1.1\r\n`,
    head(`X: ${secret}\x00`),
    head(`X ${secret}: a`),
    framed(`Content-Length: ${secret}`),
    framed(`Transfer-Encoding: ${secret}`),
    `${secret}\x00 / HTTP/1.1\r\n`,
  ];
  for (const input of inputs) {
    const { refusal } = feedRequests(Buffer.from(input));
    assert.ok(refusal !== undefined);
    assert.ok(!refusal.message.includes(secret), refusal.message);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chunkHeader,
  joinHead,
  lastChunk,
  requestHeadText,
  responseHeadText,
} from "../../../src/http/h1/write.ts";
import { Headers } from "../../../src/http/headers.ts";
import type { Framing } from "../../../src/http/message.ts";
import type { Pair } from "./recorder.ts";

const none: Framing = { kind: "none" };
const chunked: Framing = { kind: "chunked" };
const length = (bytes: number): Framing => ({ kind: "length", length: bytes });

function request(pairs: Pair[], framing: Framing): string[] {
  return requestHeadText("POST", "/a", Headers.of(pairs), framing).split("\r\n").slice(1, -2);
}

test("writes request line, fields in order and casing, and the blank line", () => {
  const headers = Headers.of([
    ["hOst", "h"],
    ["X-A", "1"],
    ["x-a", ""],
    ["X-Latin", "caf\xe9\t!"],
  ]);
  const text = requestHeadText("GET", "/a%2Fb?c", headers, none);
  assert.equal(text, "GET /a%2Fb?c HTTP/1.1\r\nhOst: h\r\nX-A: 1\r\nx-a: \r\nX-Latin: caf\xe9\t!\r\n\r\n");
});

const host: Pair = ["Host", "h"];
const framings: [behaviour: string, pairs: Pair[], framing: Framing, expected: string[]][] = [
  ["appends a length", [host], length(5), ["Host: h", "Content-Length: 5"]],
  ["appends chunked", [host], chunked, ["Host: h", "Transfer-Encoding: chunked"]],
  ["keeps position and casing", [["content-LENGTH", "3"], host], length(5), ["content-LENGTH: 5", "Host: h"]],
  [
    "keeps them for chunked",
    [["te", "x"], ["transfer-encoding", "gzip"], host],
    chunked,
    ["te: x", "transfer-encoding: chunked", "Host: h"],
  ],
  [
    "keeps the length of an empty body",
    [host, ["Content-Length", "0"]],
    length(0),
    ["Host: h", "Content-Length: 0"],
  ],
  [
    "drops what contradicts a length",
    [["Transfer-Encoding", "chunked"], host],
    length(5),
    ["Host: h", "Content-Length: 5"],
  ],
  [
    "drops what contradicts chunked",
    [["Content-Length", "3"], host],
    chunked,
    ["Host: h", "Transfer-Encoding: chunked"],
  ],
  [
    "drops repeats",
    [["Content-Length", "3"], host, ["content-length", "4"]],
    length(5),
    ["Content-Length: 5", "Host: h"],
  ],
  [
    "drops both without a body",
    [["Content-Length", "3"], ["Transfer-Encoding", "chunked"], host],
    none,
    ["Host: h"],
  ],
];
for (const [behaviour, pairs, framing, expected] of framings) {
  test(`I9 attack 20: framing ${behaviour}`, () => assert.deepEqual(request(pairs, framing), expected));
}

test("a request body cannot end with the connection", () => {
  assert.throws(() => request([host], { kind: "close" }), TypeError);
});

for (const bytes of [-1, 0.5, Number.NaN, 2 ** 53]) {
  test(`refuses a length of ${bytes} bytes`, () =>
    assert.throws(() => request([host], length(bytes)), TypeError));
}

test("writes a status line, an empty reason phrase and the connection option at the end", () => {
  const headers = Headers.of([["A", "b"]]);
  assert.equal(
    responseHeadText(200, "", headers, length(0), "close"),
    "HTTP/1.1 200 \r\nA: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  );
  assert.equal(
    responseHeadText(404, "Not Found", headers, { kind: "close" }, undefined),
    "HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n",
  );
});

test("an answer to HEAD and a 304 keep the length they announce, where it is asked for and valid", () => {
  const written = (status: number, pairs: Pair[], keepsLength: boolean): string[] =>
    responseHeadText(status, "", Headers.of(pairs), none, undefined, keepsLength).split("\r\n").slice(1, -2);
  const announced: Pair[] = [
    ["content-length", "7"],
    ["Transfer-Encoding", "chunked"],
  ];
  assert.deepEqual(written(304, announced, true), ["content-length: 7"]);
  assert.deepEqual(written(304, announced, false), []);
  assert.deepEqual(written(200, [["Content-Length", "7, 7"]], true), []);
  assert.deepEqual(
    written(
      200,
      [
        ["Content-Length", "7"],
        ["Content-Length", "7"],
      ],
      true,
    ),
    [],
  );
  assert.deepEqual(written(200, [["A", "b"]], true), ["A: b"]);
});

for (const status of [100, 103, 204]) {
  test(`RFC 9110 section 8.6: ${status} carries no framing field`, () => {
    const headers = Headers.of([["Content-Length", "7"]]);
    for (const framing of [none, length(0), chunked]) {
      assert.equal(
        responseHeadText(status, "x", headers, framing, undefined, true),
        `HTTP/1.1 ${status} x\r\n\r\n`,
      );
    }
  });
}

for (const status of [0, 99, 600, 200.5, Number.NaN]) {
  test(`refuses status ${status}`, () => {
    assert.throws(() => responseHeadText(status, "", new Headers(), none, undefined), TypeError);
  });
}

/** U+010A and U+010D written as one byte each are LF and CR. */
const injections = [
  "a\r\nX: b",
  "a\nb",
  "a\rb",
  "a\0b",
  "a\x7f",
  "a\x1bb",
  "a\u010ab",
  "a\u010db",
  "\ud83d\ude00",
];
for (const value of injections) {
  test(`I9 attack 33: never sends ${JSON.stringify(value)}`, () => {
    const headers = Headers.of([["X-Secret", value]]);
    const error = {
      name: "TypeError",
      message: "cannot send X-Secret: its value holds a control or non-latin1 character",
    };
    assert.throws(() => requestHeadText("GET", "/", headers, none), error);
    assert.throws(() => responseHeadText(200, "OK", headers, none, undefined), error);
    assert.throws(() => lastChunk(headers), error);
    assert.throws(() => responseHeadText(200, value, new Headers(), none, undefined), TypeError);
    assert.throws(() => requestHeadText("GET", `/${value}`, new Headers(), none), TypeError);
    assert.throws(() => requestHeadText(value, "/", new Headers(), none), TypeError);
    assert.throws(() => requestHeadText("GET", "/", Headers.of([[value, "x"]]), none), TypeError);
  });
}

for (const name of ["", "a b", "a:", "a ", " a", "caf\xe9", "a\r"]) {
  test(`I9: refuses the field name ${JSON.stringify(name)}`, () => {
    assert.throws(
      () => requestHeadText("GET", "/", Headers.of([[name, "x"]]), none),
      /its name is not a token/,
    );
  });
}

for (const target of ["", "/a b", "/caf\xe9", "/\t"]) {
  test(`I9: refuses the target ${JSON.stringify(target)}`, () => {
    assert.throws(() => requestHeadText("GET", target, new Headers(), none), TypeError);
  });
}

test("chunk headers are hexadecimal, and none ends the body by accident", () => {
  assert.equal(chunkHeader(1), "1\r\n");
  assert.equal(chunkHeader(65_536), "10000\r\n");
  for (const bytes of [0, -1, 1.5, Number.NaN]) assert.throws(() => chunkHeader(bytes), RangeError);
});

test("the last chunk carries trailers, but none that would be believed as a header", () => {
  assert.equal(lastChunk(undefined), "0\r\n\r\n");
  const trailers = Headers.of([
    ["X-Sum", "1"],
    ["Content-Length", "3"],
    ["Authorization", "x"],
    ["Server-Timing", "a"],
  ]);
  assert.equal(lastChunk(trailers), "0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n");
});

test("joins a head and a part of a body, one byte for each character", () => {
  assert.deepEqual(joinHead("caf\xe9", undefined), Buffer.from([0x63, 0x61, 0x66, 0xe9]));
  assert.deepEqual(joinHead("a", new Uint8Array([0, 255])), Buffer.from([0x61, 0, 255]));
});

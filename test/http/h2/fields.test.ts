import assert from "node:assert/strict";
import { test } from "node:test";
import { requestBlock, responseBlock, trailerBlock } from "../../../src/http/h2/encode.ts";
import { StreamError } from "../../../src/http/h2/errors.ts";
import { type FieldList, requestHead, responseHead, trailerFields } from "../../../src/http/h2/fields.ts";
import { HpackDecoder } from "../../../src/http/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/http/h2/hpack/encoder.ts";
import { makeEntry } from "../../../src/http/h2/hpack/entry.ts";
import { Headers } from "../../../src/http/headers.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

const list = (pairs: Pairs): FieldList => ({
  entries: pairs.map(([name, value]) => makeEntry(name, value)),
  size: 0,
  tooLarge: false,
  wireSize: 0,
});
const get: Pairs = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "api.example.com"],
  [":path", "/a?b"],
];
const request = (pairs: Pairs, end = true) => requestHead(list(pairs), end, { scheme: "https" });

test("a request keeps the order and the repeats of its fields, with :authority in front as host", () => {
  const head = request([...get, ["x-b", "1"], ["accept", "*/*"], ["x-b", "2"]]);
  assert.deepEqual([head.method, head.target, head.version], ["GET", "/a?b", 20]);
  assert.deepEqual(
    [...head.headers],
    [
      ["host", "api.example.com"],
      ["x-b", "1"],
      ["accept", "*/*"],
      ["x-b", "2"],
    ],
  );
  assert.deepEqual(head.framing, { kind: "none" });
});

test("the crumbs of a cookie are put together where the first one stood", () => {
  const head = request([...get, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"], ["cookie", "c=3"]]);
  assert.deepEqual([...head.headers].slice(1), [
    ["cookie", "a=1; b=2; c=3"],
    ["x", "y"],
  ]);
});

test("I1: a host beside :authority stays, for whoever compares them", () => {
  const head = request([...get, ["host", "other.example.com"]]);
  assert.equal(head.authority, "api.example.com");
  assert.deepEqual(head.headers.getAll("host"), ["other.example.com"]);
});

const framings: readonly (readonly [string, Pairs, boolean, unknown])[] = [
  ["an end with the head is no body", get, true, { kind: "none" }],
  ["no end and no length is an open end", get, false, { kind: "chunked" }],
  ["a length is a length", [...get, ["content-length", "3"]], false, { kind: "length", length: 3 }],
  [
    "a length of 0 with the end stays",
    [...get, ["content-length", "0"]],
    true,
    { kind: "length", length: 0 },
  ],
];
for (const [what, pairs, end, framing] of framings) {
  test(`framing: ${what}`, () => assert.deepEqual(request(pairs, end).framing, framing));
}

test("an extended CONNECT is a GET that asks for a protocol (RFC 8441)", () => {
  const head = request([[":method", "CONNECT"], [":protocol", "websocket"], ...get.slice(1)], false);
  assert.deepEqual([head.method, head.protocol, head.target], ["GET", "websocket", "/a?b"]);
});

test("an expectation is known as such, with a body or without, and only alone", () => {
  const expecting = (...values: string[]) =>
    request([...get, ...values.map((value) => ["expect", value] as const)]).expectContinue;
  assert.deepEqual(
    [expecting("100-Continue"), expecting("200-ok"), expecting("100-continue", "100-continue")],
    [true, false, false],
  );
});

test("a CONNECT has its authority as target", () => {
  const head = request([
    [":method", "CONNECT"],
    [":authority", "api.example.com:443"],
  ]);
  assert.deepEqual([head.method, head.target], ["CONNECT", "api.example.com:443"]);
});

const without = (name: string): Pairs => get.filter(([field]) => field !== name);
const malformedRequests: readonly (readonly [attack: string, what: string, Pairs])[] = [
  ["24", "a line break in a value", [...get, ["x", "a\r\nx-injected: 1"]]],
  ["24", "a bare CR in a value", [...get, ["x", "a\rb"]]],
  ["24", "a NUL in a value", [...get, ["x", "a\0b"]]],
  ["24", "a line break in a name", [...get, ["x\r\ny", "1"]]],
  ["24", "a colon in a name", [...get, ["x:y", "1"]]],
  ["24", "a space in a name", [...get, ["x y", "1"]]],
  ["24", "an upper-case name", [...get, ["X-Y", "1"]]],
  ["24", "an empty name", [...get, ["", "1"]]],
  ["24", "whitespace before a value", [...get, ["x", " 1"]]],
  ["24", "whitespace behind a value", [...get, ["x", "1\t"]]],
  ["24", "transfer-encoding", [...get, ["transfer-encoding", "chunked"]]],
  ["24", "connection", [...get, ["connection", "close"]]],
  ["24", "keep-alive", [...get, ["keep-alive", "timeout=5"]]],
  ["24", "proxy-connection", [...get, ["proxy-connection", "keep-alive"]]],
  ["24", "upgrade", [...get, ["upgrade", "h2c"]]],
  ["24", "te with anything but trailers", [...get, ["te", "gzip"]]],
  ["24", "a method that is no token", [[":method", "GET / HTTP/1.1\r\nx: y"], ...get.slice(1)]],
  ["24", "a path with a space", [...without(":path"), [":path", "/a HTTP/1.1"]]],
  ["24", "a path that is none", [...without(":path"), [":path", "http://other.example.com/"]]],
  ["24", "an empty path", [...without(":path"), [":path", ""]]],
  ["24", "an asterisk for GET", [...without(":path"), [":path", "*"]]],
  ["20", "two content-lengths", [...get, ["content-length", "0"], ["content-length", "0"]]],
  ["20", "a content-length that is no number", [...get, ["content-length", "+3"]]],
  ["20", "a content-length although nothing follows", [...get, ["content-length", "3"]]],
  ["25", "a repeated :method", [...get, [":method", "POST"]]],
  ["25", "a repeated :path", [[":path", "/admin"], ...get]],
  ["25", "a repeated :authority", [[":authority", "evil.example"], ...get]],
  ["25", "a repeated :scheme", [[":scheme", "https"], ...get]],
  ["25", "a pseudo-header behind a field", [...get.slice(0, 3), ["x", "y"], [":path", "/"]]],
  ["25", "an unknown pseudo-header", [...get, [":secret", "1"]]],
  ["25", ":status in a request", [...get, [":status", "200"]]],
  ["25", "no :method", without(":method")],
  ["25", "no :scheme", without(":scheme")],
  ["25", "no :path", without(":path")],
  ["25", "another scheme than the connection's", [...without(":scheme"), [":scheme", "http"]]],
  ["25", "two hosts", [...get, ["host", "api.example.com"], ["host", "api.example.com"]]],
  ["19", "CONNECT with a path", [[":method", "CONNECT"], ...get.slice(1)]],
  ["19", "CONNECT without authority", [[":method", "CONNECT"]]],
  ["27", ":protocol without CONNECT", [...get, [":protocol", "websocket"]]],
];
for (const [attack, what, pairs] of malformedRequests) {
  test(`I9 attack ${attack}: refuses ${what}`, () => assert.throws(() => request(pairs), StreamError));
}

const ok: Pairs = [[":status", "200"]];

test("a response has its status, and no reason phrase", () => {
  const head = responseHead(list([...ok, ["set-cookie", "a=1"], ["set-cookie", "b=2"]]), true, "GET");
  assert.deepEqual([head.status, head.reason, head.version, head.framing], [200, "", 20, { kind: "none" }]);
  assert.deepEqual(head.headers.getAll("set-cookie"), ["a=1", "b=2"]);
});

test("an answer to HEAD has no body, whatever length it announces", () => {
  const head = responseHead(list([...ok, ["content-length", "500"]]), true, "HEAD");
  assert.deepEqual([head.framing, head.headers.get("content-length")], [{ kind: "none" }, "500"]);
});

test("one that accepts a CONNECT has no body either, one that refuses it has", () => {
  const length: Pairs = [["content-length", "5"]];
  assert.equal(responseHead(list([...ok, ...length]), false, "CONNECT").framing.kind, "none");
  assert.equal(responseHead(list([[":status", "404"], ...length]), false, "CONNECT").framing.kind, "length");
});

const malformedResponses: readonly (readonly [string, Pairs, boolean?])[] = [
  ["no :status", [["x", "y"]]],
  ["a repeated :status", [...ok, ...ok]],
  ["a status of four digits", [[":status", "2000"]]],
  ["a status out of range", [[":status", "600"]]],
  ["101", [[":status", "101"]]],
  ["an interim response that ends", [[":status", "103"]]],
  ["a request's pseudo-header", [...ok, [":path", "/"]]],
  ["transfer-encoding", [...ok, ["transfer-encoding", "chunked"]]],
  ["a line break in a value", [...ok, ["location", "/\r\nset-cookie: a=1"]]],
  [
    "a length that is no number, and no body",
    [
      [":status", "304"],
      ["content-length", "x"],
    ],
  ],
  [
    "two lengths, and no body",
    [
      [":status", "204"],
      ["content-length", "0"],
      ["content-length", "0"],
    ],
  ],
  ["a length although it ends", [...ok, ["content-length", "3"]]],
];
for (const [what, pairs, end = true] of malformedResponses) {
  test(`I9: refuses a response with ${what}`, () => {
    assert.throws(() => responseHead(list(pairs), end, "GET"), StreamError);
  });
}

test("trailers that frame, route or authenticate are refused of a client and left out of a response", () => {
  const trailers: Pairs = [
    ["grpc-status", "0"],
    ["authorization", "x"],
  ];
  assert.throws(() => trailerFields(list(trailers), true), StreamError);
  assert.deepEqual([...(trailerFields(list(trailers), false) ?? [])], [["grpc-status", "0"]]);
  assert.throws(() => trailerFields(list(ok), false), StreamError);
  assert.equal(trailerFields(list([]), true), undefined);
});

function decoded(block: Buffer): Pairs {
  const fields: [string, string][] = [];
  new HpackDecoder(4096).decode(block.subarray(9), ({ name, value }) => fields.push([name, value]));
  return fields;
}

test("a request goes out with its Host as :authority, lower-cased, its length made anew", () => {
  const headers = Headers.of([
    ["X-Case", "One"],
    ["Host", "api.example.com"],
    ["Content-Length", "999"],
    ["Transfer-Encoding", "chunked"],
    ["x-case", "Two"],
  ]);
  const fields = { method: "POST", scheme: "https", target: "/p", headers, sensitive: undefined };
  assert.deepEqual(
    decoded(requestBlock(new HpackEncoder(), { ...fields, framing: { kind: "length", length: 5 } })),
    [
      [":method", "POST"],
      [":scheme", "https"],
      [":authority", "api.example.com"],
      [":path", "/p"],
      ["x-case", "One"],
      ["content-length", "5"],
      ["x-case", "Two"],
    ],
  );
});

test("an answer without a body keeps its one valid length, and only that", () => {
  const block = (...lengths: string[]) => {
    const headers = Headers.of(lengths.map((length) => ["Content-Length", length]));
    return decoded(responseBlock(new HpackEncoder(), 200, headers, { kind: "none" }, true)).slice(1);
  };
  assert.deepEqual(block("500"), [["content-length", "500"]]);
  assert.deepEqual(block("500", "501"), []);
  assert.deepEqual(block("5 00"), []);
});

test("attack 33: what a transform put there cannot become a field, and the error has no value (I14)", () => {
  const encoder = new HpackEncoder();
  for (const [name, value] of [
    ["x-a", "secret\r\nx: y"],
    ["x-a", "secret\u010a"],
    ["bad name", "secret"],
  ] as const) {
    const headers = Headers.of([[name, value]]);
    for (const send of [
      () => responseBlock(encoder, 200, headers, { kind: "none" }),
      () => trailerBlock(encoder, headers),
    ]) {
      assert.throws(send, (error: Error) => error instanceof TypeError && !error.message.includes("secret"));
    }
  }
});

test("trailers that HTTP does not allow there are not sent", () => {
  const trailers = Headers.of([
    ["Content-Length", "3"],
    ["Grpc-Status", "0"],
  ]);
  assert.deepEqual(decoded(trailerBlock(new HpackEncoder(), trailers) as Buffer), [["grpc-status", "0"]]);
  assert.equal(trailerBlock(new HpackEncoder(), Headers.of([["Host", "x"]])), undefined);
});

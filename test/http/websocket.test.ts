// WebSocket handshakes as field lists (RFC 6455 section 4); the e2e tests have them on the wire.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../../src/http/headers.ts";
import type { RequestHead } from "../../src/http/message.ts";
import {
  acceptanceProblem,
  acceptFor,
  HandshakeError,
  webSocketHandshake,
  writeAcceptance,
  writeHandshake,
} from "../../src/http/websocket.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const valid: readonly (readonly [string, string])[] = [
  ["Upgrade", "websocket"],
  ["Connection", "keep-alive, Upgrade"],
  ["Sec-WebSocket-Version", "13"],
  ["Sec-WebSocket-Key", key],
];

function head(fields: Iterable<readonly [string, string]>, more: Partial<RequestHead> = {}): RequestHead {
  return {
    method: "GET",
    target: "/",
    version: 11,
    headers: Headers.of(fields),
    framing: { kind: "none" },
    keepAlive: true,
    expectContinue: false,
    size: 0,
    ...more,
  };
}

function without(name: string): (readonly [string, string])[] {
  return valid.filter(([one]) => one !== name);
}

test("gives the example's Accept (RFC 6455 section 1.3)", () => {
  assert.equal(acceptFor(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

test("knows a handshake, in whatever case and list it is written", () => {
  assert.deepEqual(webSocketHandshake(head(valid)), { key });
  const spelled: (readonly [string, string])[] = [
    ["upgrade", "h2c, WebSocket"],
    ["connection", "close"],
    ["CONNECTION", "UPGRADE"],
    ...valid.slice(2),
  ];
  assert.deepEqual(webSocketHandshake(head(spelled)), { key });
});

for (const [what, request] of [
  ["a request without Upgrade", head(without("Upgrade"))],
  ["an upgrade to another protocol", head([["Upgrade", "h2c"], ...without("Upgrade")])],
  ["a name that only contains it", head([["Upgrade", "websocket2"], ...without("Upgrade")])],
  ["HTTP/1.0", head(valid, { version: 10 })],
  ["another protocol of an extended CONNECT", head([], { version: 20, protocol: "connect-udp" })],
] as const) {
  test(`${what} is none`, () => {
    assert.equal(webSocketHandshake(request), undefined);
  });
}

for (const [what, request] of [
  ["POST", head(valid, { method: "POST" })],
  ["HEAD", head(valid, { method: "HEAD" })],
  ["a body", head(valid, { framing: { kind: "length", length: 0 } })],
  ["chunks", head(valid, { framing: { kind: "chunked" } })],
  ["no Connection", head(without("Connection"))],
  ["no version", head(without("Sec-WebSocket-Version"))],
  ["two versions", head([...valid, ["Sec-WebSocket-Version", "13"]])],
  ["a list of versions", head([...without("Sec-WebSocket-Version"), ["Sec-WebSocket-Version", "13, 8"]])],
  ["no key", head(without("Sec-WebSocket-Key"))],
  ["two keys", head([...valid, ["Sec-WebSocket-Key", key]])],
  [
    "a key of 15 bytes",
    head([...without("Sec-WebSocket-Key"), ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"]]),
  ],
  [
    "a key that is no base64",
    head([...without("Sec-WebSocket-Key"), ["Sec-WebSocket-Key", `${"%".repeat(22)}==`]]),
  ],
  [
    "another version over HTTP/2",
    head([["sec-websocket-version", "8"]], { version: 20, protocol: "websocket" }),
  ],
] as const) {
  test(`attack 28: refuses a handshake with ${what}`, () => {
    assert.throws(() => webSocketHandshake(request), HandshakeError);
  });
}

test("a handshake over HTTP/2 gets a key and the fields that HTTP/1.1 wants", () => {
  const request = head([["x-own", "1"]], { version: 20, protocol: "websocket" });
  const handshake = webSocketHandshake(request);
  assert.ok(handshake !== undefined);
  assert.notEqual(webSocketHandshake(request)?.key, handshake.key, "a new one each time");
  writeHandshake(request.headers, handshake);
  assert.deepEqual(
    [...request.headers],
    [
      ["x-own", "1"],
      ["Upgrade", "websocket"],
      ["Connection", "Upgrade"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", handshake.key],
    ],
  );
  const answer = Headers.of([
    ["Sec-WebSocket-Accept", "x"],
    ["Sec-WebSocket-Protocol", "chat"],
    ["Content-Length", "0"],
  ]);
  writeAcceptance(answer, 20);
  assert.deepEqual([...answer], [["Sec-WebSocket-Protocol", "chat"]]);
});

const accept = ["Sec-WebSocket-Accept", acceptFor(key)] as const;
const offers = Headers.of([
  ["Sec-WebSocket-Protocol", "chat, superchat"],
  ["Sec-WebSocket-Protocol", "third"],
  ["Sec-WebSocket-Extensions", 'permessage-deflate; client_max_window_bits, x-quoted; a="1, x-hidden"'],
]);

const answers: readonly (readonly [
  what: string,
  fields: readonly (readonly [string, string])[],
  isFine: boolean,
])[] = [
  ["nothing chosen", [accept], true],
  ["an offered subprotocol", [accept, ["Sec-WebSocket-Protocol", "superchat"]], true],
  ["one of another field", [accept, ["Sec-WebSocket-Protocol", "third"]], true],
  [
    "an offered extension",
    [accept, ["Sec-WebSocket-Extensions", "Permessage-Deflate; server_no_context_takeover"]],
    true,
  ],
  ["no Accept", [], false],
  ["two Accepts", [accept, accept], false],
  ["another case of Accept", [["Sec-WebSocket-Accept", accept[1].toLowerCase()]], false],
  ["a subprotocol nobody offered", [accept, ["Sec-WebSocket-Protocol", "other"]], false],
  ["a subprotocol in another case", [accept, ["Sec-WebSocket-Protocol", "Chat"]], false],
  [
    "two subprotocols",
    [accept, ["Sec-WebSocket-Protocol", "chat"], ["Sec-WebSocket-Protocol", "third"]],
    false,
  ],
  ["an extension nobody offered", [accept, ["Sec-WebSocket-Extensions", "x-other"]], false],
  ["an extension that stood in a quoted string", [accept, ["Sec-WebSocket-Extensions", "x-hidden"]], false],
];

for (const [what, fields, isFine] of answers) {
  test(`attack 29: a 101 with ${what} is ${isFine ? "accepted" : "not accepted"}`, () => {
    const problem = acceptanceProblem({ key }, offers, Headers.of(fields));
    assert.equal(problem === undefined, isFine, problem ?? "accepted");
  });
}

// Bad input of HTTP/2 from either side of the real executable: what the other side is told, and the record.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, describe, test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { clientPreface, rstStreamFrame, settingsFrame } from "../../src/http/h2/frames.ts";
import { resetSocket } from "../../src/http/reset-socket.ts";
import { makeLeaf } from "../helpers/pki.ts";
import { frame, RawClient } from "../http/h2/kit.ts";
import { type Raw, speakRaw } from "../upstream/h2-support.ts";
import { exchange, openH2, tunnelTo } from "./h2-support.ts";
import { type Client, startTls } from "./harness/client.ts";
import { eventually, within } from "./harness/wait.ts";
import { openWorld, secureHosts } from "./harness/world.ts";

const world = await openWorld({
  config: () => ({
    proxy: {
      upstream_response_header_timeout: "300ms",
      limits: { max_start_line: 4096 },
      timeouts: { client_header: "500ms", client_body: "300ms", upstream_body: "300ms" },
    },
  }),
});
const { proxy, secure } = world;

// --- from the client

interface RawH2 {
  readonly tls: Client;
  readonly raw: RawClient;
  /** HEADERS of stream 1. */
  headers(end: boolean, ...more: (readonly [string, string])[]): Buffer;
}

/** A client of frames made by hand, in a tunnel. */
async function openFrames(): Promise<RawH2> {
  const authority = world.secureAuthority;
  const tls = await startTls(world.context, await tunnelTo(world, authority, proxy), {
    ALPNProtocols: ["h2"],
  });
  const socket = tls.socket as TLSSocket;
  const unread = tls.reader.release();
  if (unread.length > 0) socket.unshift(unread);
  const raw = new RawClient(socket);
  socket.on("error", () => {}).resume();
  raw.send(clientPreface, settingsFrame([]), frame(4, 1, 0));
  return {
    tls,
    raw,
    headers(end, ...more) {
      const fields = new Map<string, string>([
        [":method", end ? "GET" : "POST"],
        [":scheme", "https"],
        [":authority", authority],
        [":path", "/hang"],
      ]);
      const replaced = more.filter(([name]) => fields.has(name));
      for (const [name, value] of replaced) fields.set(name, value);
      const others = more.filter(([name]) => !fields.has(name));
      return frame(1, end ? 5 : 4, 1, raw.block([...fields, ...others]));
    },
  };
}

/** How the proxy met stream 1: a reset, an answer, or the end of the connection. */
async function metWith(raw: RawClient): Promise<string> {
  const found = await eventually("an answer", () => raw.frames.find(({ type }) => [1, 3, 7].includes(type)));
  if (found.type === 3) return `reset ${found.payload.readUInt32BE(0)}`;
  if (found.type === 7) return `goaway ${found.payload.readUInt32BE(4)}`;
  const head = await raw.fields(1);
  const grpc = head["grpc-status"] === undefined ? "" : `, gRPC ${head["grpc-status"]}`;
  return `${head[":status"]} ${head["sallyport-reason"]}${grpc}`;
}

const many = Array.from({ length: 140 }, (_, n) => [`x-${n}`, "1"] as const);

const fromClients: readonly {
  readonly what: string;
  readonly send: (client: RawH2) => Uint8Array[];
  readonly met: string;
  readonly audit: readonly [action: string, status: number, reason: string];
}[] = [
  {
    what: "a malformed field",
    send: ({ headers }) => [headers(true, ["X-Upper", "1"])],
    met: "reset 1",
    audit: ["reject", 0, "malformed_request"],
  },
  {
    what: "a malformed frame",
    send: () => [frame(4, 0, 0, Buffer.alloc(5))],
    met: "goaway 6",
    audit: ["reject", 0, "malformed_request"],
  },
  {
    what: "too many fields",
    send: ({ headers }) => [headers(true, ...many)],
    met: "431 headers_too_large",
    audit: ["reject", 431, "headers_too_large"],
  },
  {
    what: "too many fields of a gRPC call",
    send: ({ headers }) => [headers(false, ["content-type", "application/grpc"], ...many)],
    met: "200 headers_too_large, gRPC 8",
    audit: ["reject", 431, "headers_too_large"],
  },
  {
    what: "half a gRPC message and then silence",
    send: ({ headers }) => [
      headers(false, ["content-type", "application/grpc"]),
      frame(0, 0, 1, Buffer.of(0, 0, 0, 0, 9, 1)),
    ],
    met: "200 request_timeout, gRPC 4",
    audit: ["reject", 408, "request_timeout"],
  },
  {
    what: "too long a path",
    send: ({ headers }) => [headers(true, [":path", `/${"a".repeat(5000)}`])],
    met: "414 uri_too_long",
    audit: ["reject", 414, "uri_too_long"],
  },
  {
    what: "half a head and then silence",
    send: ({ raw }) => [frame(1, 0, 1, raw.block([[":method", "GET"]]))],
    met: "goaway 0",
    audit: ["reject", 0, "request_timeout"],
  },
  {
    what: "half a body and then silence",
    send: ({ headers }) => [headers(false, ["content-length", "9"]), frame(0, 0, 1, Buffer.from("half"))],
    met: "408 request_timeout",
    audit: ["reject", 408, "request_timeout"],
  },
];

describe("from a client", { concurrency: true }, () => {
  for (const { what, send, met, audit } of fromClients) {
    test(`I13: ${what}: ${met}`, async () => {
      const client = await openFrames();
      client.raw.send(...send(client));
      assert.equal(await metWith(client.raw), met);
      const line = await proxy.audit.last(client.tls, 2);
      assert.deepEqual([line.audit.action, line.audit.status_code, line.audit.reason], audit);
    });
  }
});

for (const [how, leave] of [
  ["ends its side", (client: Client) => void client.socket.end()],
  ["is cut", (client: Client) => client.reset()],
] as const) {
  test(`I13: a client that ${how} while it waits takes its request back`, async () => {
    let gone = 0;
    secure.on("/hang", async (request) => {
      await request.reader.rest();
      gone++;
    });
    const client = await openFrames();
    const asked = secure.count("/hang");
    client.raw.send(client.headers(true));
    await eventually("the request is there", () => secure.count("/hang") > asked);
    leave(client.tls);
    await eventually("the upstream's connection is cut", () => gone === 1);
    const line = await proxy.audit.last(client.tls, 2);
    assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
  });
}

// --- from the upstream

const leaf = makeLeaf(world.upstreamCa, [...secureHosts]);
const open = new Set<TLSSocket>();
let script: (parts: Raw) => Buffer[] = () => [];
const upstream = createServer({ cert: leaf.certPem, key: leaf.keyPem, ALPNProtocols: ["h2"] }, (socket) => {
  open.add(socket);
  socket.on("error", () => {}).on("close", () => open.delete(socket));
  speakRaw(socket, (parts) => script(parts));
});
upstream.on("tlsClientError", () => {});
upstream.listen(0, "127.0.0.1");
await once(upstream, "listening");
after(() => {
  for (const socket of open) socket.destroy();
  upstream.close();
});
const authority = `api.e2e.test:${(upstream.address() as AddressInfo).port}`;

const ok: [string, string][] = [[":status", "200"]];
const tooMany = [...ok, ...many.map(([name, value]): [string, string] => [name, value])];
type Script = (parts: Raw) => Buffer[];

/** In place of an answer. */
const noAnswers: readonly (readonly [what: string, script: Script, status: number, reason: string])[] = [
  [
    "a malformed field",
    ({ headers }) => [headers(true, [...ok, ["X-Upper", "1"]])],
    502,
    "upstream_response_invalid",
  ],
  ["too many fields", ({ headers }) => [headers(true, tooMany)], 502, "upstream_response_invalid"],
  ["a malformed frame", () => [frame(4, 0, 0, Buffer.alloc(5))], 502, "upstream_response_invalid"],
  [
    "too large a frame",
    ({ stream }) => [frame(1, 5, stream, Buffer.alloc(20_000))],
    502,
    "upstream_response_invalid",
  ],
  ["half a head and then silence", ({ stream }) => [frame(1, 1, stream)], 504, "upstream_response_timeout"],
  ["silence", () => [], 504, "upstream_response_timeout"],
  ["a reset of the stream", ({ stream }) => [rstStreamFrame(stream, 2)], 502, "upstream_closed"],
  ["the end of its side", ({ socket }) => (socket.end(), []), 502, "upstream_closed"],
  [
    "a reset of the connection",
    ({ socket }) => (setImmediate(resetSocket, socket), []),
    502,
    "upstream_closed",
  ],
];

/** Behind the head of an answer and a part of its body. */
const half: readonly (readonly [what: string, script: Script, reason: string])[] = [
  [
    "more than was announced",
    ({ stream }) => [frame(0, 0, stream, Buffer.alloc(9))],
    "upstream_response_invalid",
  ],
  ["its end too early", ({ stream }) => [frame(0, 1, stream)], "upstream_response_invalid"],
  ["malformed trailers", ({ headers }) => [headers(true, [["x y", "1"]])], "upstream_response_invalid"],
  ["silence", () => [], "upstream_response_timeout"],
  ["a reset of the stream", ({ stream }) => [rstStreamFrame(stream, 2)], "upstream_closed"],
  ["the end of its side", ({ socket }) => (socket.end(), []), "upstream_closed"],
  ["a reset of the connection", ({ socket }) => (resetSocket(socket), []), "upstream_closed"],
];

for (const [what, answer, status, reason] of noAnswers) {
  test(`I13: ${what} of an upstream is ${status} ${reason} to clients of either version`, async () => {
    script = answer;
    // What may be sent twice would be, on a connection that was used before.
    const h2 = await openH2(world, authority, proxy);
    const overH2 = await exchange(world, h2, { ":method": "POST", ":path": "/no-answer" }, "x");
    assert.deepEqual([overH2.status, overH2.headers["sallyport-reason"]], [status, reason]);
    const h1 = await startTls(world.context, await tunnelTo(world, authority, proxy));
    assert.equal((await h1.request("POST", "/no-answer", { body: "x" })).status, status);
    // A client of gRPC has an answer of gRPC's, and a stream that was not reset.
    const grpc = await openH2(world, authority, proxy);
    const call = { ":method": "POST", ":path": "/no.Answer/Call", "content-type": "application/grpc" };
    const { headers } = await exchange(world, grpc, call, "x");
    assert.equal(headers["grpc-status"], status === 504 ? "4" : "14");
    assert.match(String(headers["grpc-message"]), new RegExp(`^${reason}: `));
    for (const client of [h2.tls, h1, grpc.tls]) {
      const { audit } = await proxy.audit.last(client, 2);
      assert.deepEqual([audit.action, audit.status_code, audit.reason], ["error", status, reason]);
    }
  });
}

for (const [what, behind, reason] of half) {
  test(`I13: ${what} of an upstream behind half an answer cuts the answer: ${reason}`, async () => {
    script = (parts) => {
      // Not in the read that brings the head, or there is no answer at all.
      setTimeout(() => parts.socket.write(Buffer.concat(behind(parts))), 20);
      return [
        parts.headers(false, [...ok, ["content-length", "8"]]),
        frame(0, 0, parts.stream, Buffer.from("half")),
      ];
    };
    const h2 = await openH2(world, authority, proxy);
    const stream = h2.session.request({ ":path": "/half" });
    const [error] = (await within("the reset", once(stream.resume(), "error"))) as [Error];
    assert.match(error.message, /INTERNAL_ERROR/);
    const h1 = await startTls(world.context, await tunnelTo(world, authority, proxy));
    h1.send(h1.text("GET", "/half"));
    assert.equal((await h1.answer())?.complete, false);
    for (const client of [h2.tls, h1]) {
      const { audit } = await proxy.audit.last(client, 2);
      assert.deepEqual([audit.action, audit.status_code, audit.reason], ["error", 200, reason]);
    }
  });
}

test("nothing is left of all this: no connection to an upstream, and the proxy stops", async () => {
  await proxy.stop();
  await eventually("no connection is open", () => open.size === 0 && secure.open === 0);
});

// Upstreams that offer HTTP/2 and then want HTTP/1.1 after all (HTTP_1_1_REQUIRED, RFC 9113 section 7).
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { Body } from "../../src/http/body.ts";
import { codes } from "../../src/http/h2/errors.ts";
import { goawayFrame, rstStreamFrame } from "../../src/http/h2/frames.ts";
import { always, type Raw, secure, serveRaw, speakRaw } from "./h2-support.ts";
import { eventually, leaf, makeUpstream, ManualBody, ok, send, serve } from "./kit.ts";

/**
 * Speaks both versions: `answer` is what a stream gets, and HTTP/1.1 always says ok.
 * @returns what was offered on each connection, in order
 */
async function serveBoth(t: TestContext, answer: (parts: Raw) => Buffer[]) {
  const offers: string[] = [];
  const server = await serve(
    t,
    (peer) => {
      if ((peer.socket as TLSSocket).alpnProtocol === "h2") speakRaw(peer.socket, answer);
      else peer.socket.on("data", () => peer.send(ok));
    },
    {
      cert: leaf.certPem,
      key: leaf.keyPem,
      ALPNCallback: ({ protocols }) => {
        offers.push(protocols.join());
        return protocols[0];
      },
    },
  );
  return { address: server.address, peers: server.peers, offers };
}

const required = codes.http11Required;
const post = { method: "POST", body: "whole" };

const ways: readonly (readonly [what: string, answer: (parts: Raw) => Buffer[]])[] = [
  ["on a stream", ({ stream }) => [rstStreamFrame(stream, required)]],
  ["by GOAWAY, without having looked at the stream", () => [goawayFrame(0, required)]],
];

for (const [how, answer] of ways) {
  test(`asked for HTTP/1.1 ${how}: sent once more over it, and so is what follows`, async (t) => {
    const server = await serveBoth(t, answer);
    const upstream = makeUpstream(t, always);
    const first = await send(upstream, secure(server.address), post);
    assert.deepEqual([first.head?.version, first.body], [11, "ok"]);
    assert.match(server.peers[1]?.received() ?? "", /^POST \/ HTTP\/1\.1\r\n[^]*whole$/);
    const second = await send(upstream, secure(server.address, "other caller"), post);
    assert.deepEqual([second.head?.version, second.body], [11, "ok"]);
    assert.deepEqual(server.offers, ["h2,http/1.1", "http/1.1", "http/1.1"]);
    assert.equal(upstream.stats().retried, 1);
    await eventually(() => upstream.stats().active === 0, "nothing is left of HTTP/2");
  });
}

for (const [method, body, outcome] of [
  ["GET", undefined, [11, "ok", undefined, undefined]],
  ["POST", "whole", [undefined, "", "upstream_closed", "HTTP_1_1_REQUIRED"]],
] as const) {
  test(`a ${method} that a closed connection may have carried ${body === undefined ? "is sent again" : "is not"}`, async (t) => {
    const server = await serveBoth(t, ({ stream, socket }) => {
      setImmediate(() => socket.end());
      return [goawayFrame(stream, required)];
    });
    const upstream = makeUpstream(t, always);
    const request = body === undefined ? { method } : { method, body };
    const { head, error, ...rest } = await send(upstream, secure(server.address), request);
    assert.deepEqual([head?.version, rest.body, error?.reason, error?.detail], outcome);
    assert.equal((await send(upstream, secure(server.address), post)).head?.version, 11);
  });
}

test("a body that was begun is not sent again; the next request takes HTTP/1.1", async (t) => {
  let refuse: (() => void) | undefined;
  const server = await serveBoth(t, ({ stream, socket }) => {
    refuse = () => void socket.write(rstStreamFrame(stream, required));
    return [];
  });
  const upstream = makeUpstream(t, always);
  const manual = new ManualBody();
  const outcome = send(upstream, secure(server.address), { method: "PUT", body: Body.from(manual) });
  await eventually(() => manual.started, "the body");
  manual.sink?.write(Buffer.from("part"));
  await eventually(() => refuse !== undefined, "the head");
  refuse?.();
  const { error } = await outcome;
  assert.deepEqual(
    [error?.reason, error?.status, error?.detail],
    ["upstream_closed", 502, "HTTP_1_1_REQUIRED"],
  );
  assert.equal(manual.cancelled, true);
  assert.equal((await send(upstream, secure(server.address), post)).head?.version, 11);
  assert.deepEqual(server.offers, ["h2,http/1.1", "http/1.1"]);
});

test("an upstream that takes neither version is asked for each once", async (t) => {
  let streams = 0;
  const address = await serveRaw(t, ({ stream }) => {
    streams++;
    return [rstStreamFrame(stream, required)];
  });
  const { error } = await send(makeUpstream(t, always), secure(address), post);
  assert.deepEqual([error?.reason, error?.detail], ["upstream_closed", "HTTP_1_1_REQUIRED"]);
  assert.equal(streams, 2);
});

for (const [name, code] of [
  ["HTTP_1_1_REQUIRED", required],
  ["REFUSED_STREAM", codes.refusedStream],
] as const) {
  test(`an upstream that says ${name} behind the head of its answer is not asked again`, async (t) => {
    let streams = 0;
    const server = await serveBoth(t, ({ headers, stream, socket }) => {
      streams++;
      setTimeout(() => socket.write(rstStreamFrame(stream, code)), 20);
      return [headers(false, [[":status", "200"]])];
    });
    const { head, aborted } = await send(makeUpstream(t, always), secure(server.address));
    assert.deepEqual([head?.status, aborted?.reason], [200, "upstream_closed"]);
    assert.deepEqual([streams, server.offers.length], [1, 1]);
  });
}

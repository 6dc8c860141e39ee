import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "undici";
import { standardDenyCidrs } from "../../src/config/defaults.ts";
import { UpstreamError } from "../../src/upstream/index.ts";
import { answering, makeUpstream, ok, serve, target, send } from "./kit.ts";

test("I11: the product's own requests use the same roots", async (t) => {
  const server = await answering(t, ok, true);
  const { dispatcher } = makeUpstream(t);
  const answer = await request(`https://localhost:${server.port}/token`, {
    method: "POST",
    body: "a=b",
    dispatcher,
  });
  assert.equal(await answer.body.text(), "ok");
  assert.match(server.peers[0]?.received() ?? "", /^POST \/token HTTP\/1\.1/);
  const untrusting = makeUpstream(t, { secureContext: undefined }).dispatcher;
  await assert.rejects(request(`https://localhost:${server.port}/`, { dispatcher: untrusting }), {
    reason: "upstream_tls_failed",
  });
});

test("I11: the product's own requests are guarded, except to what the operator named", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t, { denyCidrs: standardDenyCidrs });
  for (const host of ["127.0.0.1", "localhost"]) {
    await assert.rejects(
      request(`http://${host}:${server.port}/`, { dispatcher: upstream.dispatcher }),
      (error) => {
        assert.ok(error instanceof UpstreamError);
        assert.equal(error.reason, "upstream_address_denied");
        return true;
      },
    );
  }
  const answer = await request(`http://127.0.0.1:${server.port}/`, {
    dispatcher: upstream.operatorDispatcher,
  });
  assert.equal(await answer.body.text(), "ok");
});

test("I11: the product's own requests go through the forward proxy", async (t) => {
  const proxy = await serve(t, async (peer) => {
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
    await peer.until("GET ");
    peer.send(ok);
  });
  const { dispatcher } = makeUpstream(t, {
    forwardProxy: { httpProxy: `http://127.0.0.1:${proxy.port}`, httpsProxy: undefined, noProxy: undefined },
    resolver: "127.0.0.1:9",
  });
  const answer = await request("http://token.example/x", { dispatcher });
  assert.equal(await answer.body.text(), "ok");
  assert.match(proxy.peers[0]?.received() ?? "", /^CONNECT token\.example:80 HTTP\/1\.1\r\n/);
});

test("close ends the product's own connections too", async (t) => {
  const server = await answering(t, ok);
  const upstream = makeUpstream(t);
  const answer = await request(`http://127.0.0.1:${server.port}/`, { dispatcher: upstream.dispatcher });
  await answer.body.text();
  await upstream.close();
  await assert.rejects(request(`http://127.0.0.1:${server.port}/`, { dispatcher: upstream.dispatcher }));
  assert.equal((await send(upstream, target(server.address))).error?.reason, "draining");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { request } from "undici";
import { createSecureContext, type TLSSocket } from "node:tls";
import { type IdentityOf, type TlsIdentity, UpstreamError } from "../../src/upstream/index.ts";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { ca, leaf, makeUpstream, ok, pause, send, serve, target } from "./kit.ts";

const client = makeLeaf(ca, "workload-a");
const other = makeLeaf(ca, "workload-b");

function identity(id: string, certificate?: { certPem: string; keyPem: string }, trusted = ca): TlsIdentity {
  const own = certificate && { cert: certificate.certPem, key: certificate.keyPem };
  return { id, context: createSecureContext({ ca: trusted.certPem, minVersion: "TLSv1.2", ...own }) };
}

/** A server that answers everything and writes down whose certificate it saw on each connection. */
async function asking(t: Parameters<typeof serve>[0], certificate = leaf) {
  const seen: (string | undefined)[] = [];
  const resumed: boolean[] = [];
  const server = await serve(
    t,
    async (peer) => {
      const socket = peer.socket as TLSSocket;
      const shown: unknown = socket.getPeerCertificate().subject?.CN;
      seen.push(shown as string | undefined);
      resumed.push(socket.isSessionReused());
      for (let count = 1; !socket.destroyed; count++) {
        await peer.until(Array.from({ length: count }, () => "\r\n\r\n").join(""));
        peer.send(ok);
        return;
      }
    },
    {
      cert: certificate.certPem,
      key: certificate.keyPem,
      requestCert: true,
      rejectUnauthorized: false,
    },
  );
  return { server, seen, resumed };
}

const fresh: IdentityOf = () => undefined;

test("presents the certificate of the host's identity, and none where there is none", async (t) => {
  const { server, seen } = await asking(t);
  const to = target(`localhost:${server.port}`, "https");
  assert.equal((await send(makeUpstream(t, { identityOf: () => identity("a", client) }), to)).body, "ok");
  assert.equal((await send(makeUpstream(t, { identityOf: fresh }), to)).body, "ok");
  assert.equal((await send(makeUpstream(t), to)).body, "ok");
  assert.deepEqual(seen, ["workload-a", undefined, undefined]);
});

test("I10: connections and sessions of one identity are not used for another", async (t) => {
  const { server, seen, resumed } = await asking(t);
  const identities = [identity("a", client), identity("b", other), identity("c")];
  let now = 0;
  const upstream = makeUpstream(t, { identityOf: () => identities[now] });
  const to = target(`localhost:${server.port}`, "https");
  for (now = 0; now < 3; now++) {
    assert.equal((await send(upstream, to)).body, "ok");
    // Tickets come after the handshake.
    await pause(20);
  }
  assert.deepEqual(seen, ["workload-a", "workload-b", undefined]);
  assert.deepEqual(resumed, [false, false, false]);
});

test("an identity that takes its time is waited for", async (t) => {
  const { server, seen } = await asking(t);
  const identityOf: IdentityOf = async () => {
    await pause(20);
    return identity("a", client);
  };
  const outcome = await send(makeUpstream(t, { identityOf }), target(`localhost:${server.port}`, "https"));
  assert.equal(outcome.body, "ok");
  assert.deepEqual(seen, ["workload-a"]);
});

test("I4: without the certificate that is wanted nothing is dialled", async (t) => {
  const { server } = await asking(t);
  const failure = new UpstreamError({
    reason: "client_certificate_unavailable",
    leg: "tls",
    status: 502,
    message: "The client certificate cannot be had.",
  });
  const atOnce: IdentityOf = () => {
    throw failure;
  };
  const later: IdentityOf = () => Promise.reject(failure);
  for (const identityOf of [atOnce, later]) {
    const upstream = makeUpstream(t, { identityOf });
    const { error } = await send(upstream, target(`localhost:${server.port}`, "https"));
    assert.equal(error, failure);
    await assert.rejects(upstream.connect(target(`localhost:${server.port}`, "https")), failure);
    assert.equal(upstream.stats().dialing, 0);
  }
  assert.equal(server.peers.length, 0);
});

test("plain HTTP and unopened TLS ask for no identity", async (t) => {
  const { server } = await asking(t);
  const identityOf: IdentityOf = () => assert.fail("asked");
  const upstream = makeUpstream(t, { identityOf });
  const raw = await upstream.connect(target(`localhost:${server.port}`, "https"), { raw: true });
  raw.socket.destroy();
  const plain = await upstream.connect(target(`localhost:${server.port}`, "http"));
  plain.socket.destroy();
});

test("a caller who may not be vouched for is told apart", async (t) => {
  const { server } = await asking(t);
  const asked: boolean[] = [];
  const identityOf: IdentityOf = (_, certificate) => {
    asked.push(certificate);
    return undefined;
  };
  const upstream = makeUpstream(t, { identityOf });
  const to = target(`localhost:${server.port}`, "https");
  await send(upstream, to);
  await send(upstream, { ...to, partition: "limited", clientCertificate: false });
  assert.deepEqual(asked, [true, false]);
});

test("roots of one host's identity are trusted for it alone", async (t) => {
  const company = makeCa();
  const { server } = await asking(t, makeLeaf(company, ["localhost", "127.0.0.1"]));
  const identityOf: IdentityOf = ({ host }) =>
    host.name === "localhost" ? identity("company", undefined, company) : undefined;
  const upstream = makeUpstream(t, { identityOf });
  assert.equal((await send(upstream, target(`localhost:${server.port}`, "https"))).body, "ok");
  const { error } = await send(upstream, target(`127.0.0.1:${server.port}`, "https"));
  assert.equal(error?.reason, "upstream_tls_failed");
});

test("calls of mechanisms present certificates, those to secret stores do not", async (t) => {
  const { server, seen } = await asking(t);
  const identityOf: IdentityOf = (_, certificate) => (certificate ? identity("a", client) : identity("c"));
  const upstream = makeUpstream(t, { identityOf });
  for (const dispatcher of [upstream.dispatcher, upstream.operatorDispatcher]) {
    const { body } = await request(`https://localhost:${server.port}/`, { dispatcher });
    assert.equal(await body.text(), "ok");
  }
  assert.deepEqual(seen, ["workload-a", undefined]);
});

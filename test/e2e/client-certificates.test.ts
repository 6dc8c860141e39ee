// Client certificates and roots of single hosts, with the real executable and real TLS upstreams.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { makeCa, makeLeaf } from "../helpers/pki.ts";
import { valueOf } from "./harness/message.ts";
import { startUpstream, type Upstream } from "./harness/upstream.ts";
import { pause } from "./harness/wait.ts";
import { openWorld } from "./harness/world.ts";

const company = makeCa();
const clients = makeCa();
const first = makeLeaf(clients, "first.workload");
const second = makeLeaf(clients, "second.workload");

const world = await openWorld({
  config: ({ folder }) => {
    const file = (name: string, ttl = "1s") => ({ type: "file", path: join(folder, name), ttl });
    writeFileSync(join(folder, "client.crt"), first.certPem);
    writeFileSync(join(folder, "client.key"), first.keyPem, { mode: 0o600 });
    writeFileSync(join(folder, "company.crt"), company.certPem);
    return {
      tls: {
        client_certificates: [
          { rules: [{ host: "mtls.e2e.test:*" }], cert: file("client.crt"), key: file("client.key") },
          {
            rules: [{ host: "pair.e2e.test:*" }],
            cert: file("client.crt", "1h"),
            key: { type: "env", var: "OTHER_KEY" },
          },
          {
            rules: [{ host: "missing.e2e.test:*" }],
            cert: file("client.crt", "1h"),
            key: { type: "env", var: "NO_SUCH_KEY" },
          },
        ],
        upstream_roots: [{ rules: [{ host: "company.e2e.test:*" }], file: join(folder, "company.crt") }],
      },
    };
  },
  env: { OTHER_KEY: second.keyPem },
});
for (const key of [first.keyPem, second.keyPem]) {
  // A line of it will do: nobody prints a key whole.
  world.canary.watch("key", key.split("\n")[1] as string);
}

/** A TLS server that asks for a certificate and says whose it got. */
async function started(names: string[], issuer = world.upstreamCa): Promise<Upstream> {
  const leaf = makeLeaf(issuer, names);
  const upstream = await startUpstream({
    tls: { cert: leaf.certPem, key: leaf.keyPem, requestCert: true, rejectUnauthorized: false },
  });
  upstream.on("*", ({ socket, write }) => {
    const shown = (socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined;
    const body = shown ?? "none";
    write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  after(() => upstream.close());
  return upstream;
}

const names = ["mtls.e2e.test", "api.e2e.test", "pair.e2e.test", "missing.e2e.test"];
const asking = await started(names);
const private_ = await started(["company.e2e.test", "api.e2e.test"], company);

async function get(host: string, { port }: Pick<Upstream, "port"> = asking) {
  const client = await world.connect(`${host}:${port}`);
  const answer = await client.request("GET", "/");
  client.close();
  return {
    status: answer.status,
    body: answer.body.toString(),
    reason: valueOf(answer.fields, "sallyport-reason"),
  };
}

test("a host of the rules is shown the certificate, others are not", async () => {
  assert.equal((await get("mtls.e2e.test")).body, "first.workload");
  assert.equal((await get("api.e2e.test")).body, "none");
});

test("I10: a renewed certificate is presented without a restart, on a new connection", async () => {
  writeFileSync(join(world.folder, "client.crt"), second.certPem);
  // Both are read anew after a second; what does not fit does not replace what does.
  for (const end = performance.now() + 1500; performance.now() < end; await pause(100)) {
    assert.equal((await get("mtls.e2e.test")).body, "first.workload");
  }
  writeFileSync(join(world.folder, "client.key"), second.keyPem);
  const until = performance.now() + 10_000;
  let body = "";
  while (body !== "second.workload" && performance.now() < until) {
    await pause(50);
    ({ body } = await get("mtls.e2e.test"));
  }
  assert.equal(body, "second.workload");
});

test("I4 I14: a key of another certificate is refused, and the log says why at the start", async () => {
  const { status, reason, body } = await get("pair.e2e.test");
  assert.deepEqual([status, reason], [502, "client_certificate_unavailable"]);
  assert.match(body, /client certificate for pair\.e2e\.test cannot be had/);
  const line = await world.proxy.line("a client certificate cannot be used");
  assert.equal(line["error"], "the key is not that of the certificate");
});

test("I4: a key that cannot be read is refused", async () => {
  const { status, reason } = await get("missing.e2e.test");
  assert.deepEqual([status, reason], [502, "client_certificate_unavailable"]);
});

test("I10: over HTTP/2 the certificate is shown as well, and a host without one has a connection of its own", async () => {
  const leaf = makeLeaf(world.upstreamCa, names);
  const server = createSecureServer({
    cert: leaf.certPem,
    key: leaf.keyPem,
    requestCert: true,
    rejectUnauthorized: false,
  });
  let connections = 0;
  server.on("session", (session) => {
    connections++;
    after(() => session.destroy());
  });
  server.on("stream", (stream) => {
    const socket = (stream.session as ServerHttp2Session).socket as TLSSocket;
    (stream as ServerHttp2Stream).respond({ ":status": 200 });
    stream.end(socket.getPeerCertificate().subject?.CN ?? "none");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const shown: string[] = [];
  for (const host of ["mtls.e2e.test", "api.e2e.test", "mtls.e2e.test", "api.e2e.test"]) {
    shown.push((await get(host, { port })).body);
  }
  assert.deepEqual(shown, ["second.workload", "none", "second.workload", "none"]);
  assert.equal(connections, 2);
  assert.equal((await get("missing.e2e.test", { port })).reason, "client_certificate_unavailable");
});

test("extra roots are trusted for their hosts and no others", async () => {
  assert.equal((await get("company.e2e.test", private_)).status, 200);
  const { status, reason } = await get("api.e2e.test", private_);
  assert.deepEqual([status, reason], [502, "upstream_tls_failed"]);
});

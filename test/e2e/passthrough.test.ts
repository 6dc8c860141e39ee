// TLS that is not opened: decided on by its name, passed on byte by byte, never with a credential (I2).
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { after, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { essentials, type Extension, helloBytes, serverName } from "../helpers/client-hello.ts";
import type { AuditLine } from "./harness/audit-log.ts";
import { type Client, openRaw, openTunnel, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import type { Address, Sallyport } from "./harness/sallyport.ts";
import { startUpstream } from "./harness/upstream.ts";
import { eventually, pause, within } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder } from "./harness/world.ts";

/** A forward proxy that leads every CONNECT to one port, so that names without a port can be followed too. */
const forwarded: string[] = [];
let leadsTo = 0;
const forwardProxy = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.once("data", (head: Buffer) => {
    forwarded.push(head.toString("latin1").split(" ")[1] as string);
    const on = connect({ port: leadsTo, host: "127.0.0.1", allowHalfOpen: true });
    on.on("error", () => socket.destroy());
    on.once("connect", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(on).pipe(socket);
    });
    socket.on("close", () => on.destroy());
    on.on("close", () => socket.destroy());
  });
});
forwardProxy.listen(0, "127.0.0.1");
await once(forwardProxy, "listening");
after(() => forwardProxy.close());
const forwardProxyUrl = `http://127.0.0.1:${(forwardProxy.address() as AddressInfo).port}`;

const world = await openWorld({
  halfOpen: true,
  config: () => ({
    proxy: {
      shutdown_timeout: "1s",
      timeouts: { passthrough_idle: "1s", tls_handshake: "1s" },
    },
    tls: { passthrough: ["other.e2e.test:*"] },
  }),
});
const { proxy, secure } = world;
leadsTo = secure.port;

/** No CA at all; plain HTTP is still decided on request by request. */
const sniOnly = await world.another("sni-only", {
  config: ({ plainPort }) => ({
    proxy: { timeouts: { tls_handshake: "1s" } },
    tls: { mode: "sni-only", ca_cert: undefined, ca_key: undefined, upstream_ca: undefined },
    transforms: [
      allowlist(["*.e2e.test:*", "127.0.0.66", { host: `plain.localhost:${plainPort}`, methods: ["GET"] }]),
    ],
  }),
});

/** Everything goes by way of the forward proxy. */
const behind = await world.another("behind", {
  config: () => ({
    proxy: { upstream_proxy: { https_proxy: forwardProxyUrl } },
    tls: { passthrough: ["other.e2e.test"] },
  }),
});

const pinned = `other.e2e.test:${secure.port}`;
/** A client that trusts the upstream's certificate and no other, as pinned ones do. */
const pins = { ca: world.upstreamCa.certPem };

function port(of: Sallyport, name: "tunnel" | "http" | "https"): Address {
  return of.addresses[name] as Address;
}

async function through(of: Sallyport, authority: string, servername?: string): Promise<Client> {
  const tunnel = await openTunnel(world.context, port(of, "tunnel"), authority);
  return startTls(world.context, tunnel, { ...pins, ...(servername === undefined ? {} : { servername }) });
}

/** The alert that TLS is refused with, in OpenSSL's words. */
async function alertOf(over: Client, servername: string | undefined): Promise<string> {
  const unread = over.reader.release();
  assert.equal(unread.length, 0);
  const socket = connectTls({
    socket: over.socket,
    ...(servername === undefined ? {} : { servername }),
    rejectUnauthorized: false,
  });
  const [error] = (await within(
    "an alert",
    once(socket, "error").catch((thrown: unknown) => [thrown]),
  )) as [Error];
  return error.message;
}

for (const [what, of, mode] of [
  ["tls.passthrough", proxy, "passthrough"],
  ["tls.mode: sni-only", sniOnly, "sni-only"],
] as const) {
  test(`I2: ${what}: a pinned client reaches the upstream itself, and no credential is attached`, async () => {
    secure.on("/pinned", async (request) => {
      await request.body();
      request.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsaid");
    });
    const client = await through(of, pinned);
    const answer = await client.request("GET", "/pinned", {
      fields: [`Authorization: Bearer ${placeholder}`],
    });
    assert.equal(answer.body.toString(), "said");
    const sent = await secure.request("/pinned");
    assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${placeholder}`);
    client.socket.end();
    secure.cutAll();
    const [tunnel, passed] = (await of.audit.of(client, 2)) as [AuditLine, AuditLine];
    assert.equal(tunnel.audit.mode, mode);
    const { audit } = passed;
    assert.deepEqual([audit.mode, audit.status_code, audit.method, audit.path], [mode, 200, "", ""]);
    assert.deepEqual([audit.host, audit.sni], [pinned, "other.e2e.test"]);
    assert.equal(audit.upstream_addr, `127.0.0.1:${secure.port}`);
    assert.equal(passed.tunnel?.target, pinned);
    assert.ok(audit.bytes_in > 300 && audit.bytes_out > 300, `${audit.bytes_in} in, ${audit.bytes_out} out`);
  });
}

test("everything else is opened as ever", async () => {
  const client = await world.connect();
  const answer = await client.request("GET", "/opened", { fields: [`Authorization: Bearer ${placeholder}`] });
  assert.equal(answer.status, 200);
  const sent = await secure.request("/opened");
  assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${world.credential}`);
  const line = await proxy.audit.last(client, 2);
  assert.equal(line.audit.mode, "mitm");
});

test("I11: redirected TLS goes to the host of its name on 443, by way of the forward proxy", async () => {
  const client = await startTls(
    world.context,
    await openRaw(world.context, port(behind, "https"), "other.e2e.test"),
    pins,
  );
  assert.equal((await client.request("GET", "/redirected")).status, 200);
  assert.deepEqual(forwarded, ["other.e2e.test:443"]);
  client.reset();
  const line = await behind.audit.last(client, 1);
  assert.equal(line.audit.host, "other.e2e.test");
  assert.equal(line.audit.action, "client_cancel");
  assert.equal(line.request_transforms?.[0]?.name, "allowlist");
});

test("half-closes go on as such, and both directions have the pace of their readers", async () => {
  const big = 2 * 1024 * 1024;
  secure.on("/after-the-end", async (request) => {
    await request.reader.rest();
    for (let sent = 0; sent < big; sent += 65_536) {
      if (!request.socket.write(Buffer.alloc(65_536, "x"))) await once(request.socket, "drain");
    }
    request.end();
  });
  const client = await through(proxy, pinned);
  client.socket.end(client.text("GET", "/after-the-end"));
  assert.equal((await within("all of it", client.reader.rest())).length, big);
  assert.equal(await client.ended(), "end");
  const line = await proxy.audit.last(client, 2);
  assert.equal(line.audit.action, "allow");
  assert.ok(line.audit.bytes_out > big);
});

test("I12: a connection on which nothing is said ends", async () => {
  const client = await through(proxy, pinned);
  await client.ended();
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["allow", "idle_timeout"]);
});

test("I13: an upstream that is cut cuts the client, and is on record", async () => {
  secure.on("/cut", (request) => request.reset());
  const client = await through(proxy, pinned);
  client.send(client.text("GET", "/cut"));
  assert.equal(await client.ended(), "cut");
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["error", "upstream_closed"]);
});

// --- who is let through

test("I13: a client that is cut cuts the upstream, and is on record", async () => {
  secure.on("/wait", () => {});
  const client = await through(proxy, pinned);
  const asked = secure.count("/wait");
  client.send(client.text("GET", "/wait"));
  await eventually("the request is there", () => secure.count("/wait") > asked);
  const open = secure.open;
  client.reset();
  const line = await proxy.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
  await eventually("the upstream is cut", () => secure.open < open);
});

test("I8: sni-only: a name that policy refuses gets an alert, no look-up and no connection", async () => {
  const before = [world.dns.queries.length, secure.connections];
  const client = await openRaw(world.context, port(sniOnly, "https"));
  assert.match(await alertOf(client, "refused.test"), /unrecognized name/);
  assert.deepEqual([world.dns.queries.length, secure.connections], before);
  const line = await sniOnly.audit.last(client, 1);
  assert.deepEqual([line.audit.action, line.audit.reason], ["reject", "host_not_allowed"]);
  assert.equal(line.audit.mode, "sni-only");
});

test("attack 16: sni-only: without a server name a tunnel's name counts, and nothing does without a tunnel", async () => {
  const client = await through(sniOnly, pinned, "");
  assert.equal((await client.request("GET", "/no-sni")).status, 200);
  client.reset();
  await sniOnly.audit.of(client, 2);
  const redirected = await openRaw(world.context, port(sniOnly, "https"));
  await alertOf(redirected, undefined);
  const line = await sniOnly.audit.last(redirected, 1);
  assert.equal(line.audit.reason, "tls_name_missing");
});

test("attack 16: sni-only: the name beside a hidden one (ECH) is what policy decides on", async () => {
  const outer: Extension = [0xfe0d, Buffer.concat([Buffer.of(0), Buffer.alloc(40, 1)])];
  const client = await openRaw(world.context, port(sniOnly, "https"));
  client.send(helloBytes({ extensions: [...essentials, serverName("cover.test"), outer] }));
  const alert = await client.reader.rest();
  assert.deepEqual([...alert], [21, 3, 3, 0, 2, 2, 112]);
  const line = await sniOnly.audit.last(client, 1);
  assert.deepEqual([line.audit.reason, line.audit.sni], ["host_not_allowed", "cover.test"]);
  // In a tunnel it has to be the tunnel's name besides.
  const inTunnel = await openTunnel(world.context, port(sniOnly, "tunnel"), pinned);
  inTunnel.send(helloBytes({ extensions: [...essentials, serverName("api.e2e.test"), outer] }));
  assert.equal((await inTunnel.reader.rest())[6], 112);
  assert.equal((await sniOnly.audit.last(inTunnel, 2)).audit.reason, "authority_mismatch");
});

for (const [what, of] of [
  ["tls.passthrough", proxy],
  ["tls.mode: sni-only", sniOnly],
] as const) {
  test(`I1 attack 1: ${what}: a tunnel's name and another in the ClientHello: refused, nothing passes`, async () => {
    const tunnel = await openTunnel(world.context, port(of, "tunnel"), pinned);
    await eventually("the upstream is connected", () => secure.open >= 0);
    if (of === sniOnly) {
      assert.match(await alertOf(tunnel, "api.e2e.test"), /unrecognized name/);
    } else {
      const client = await startTls(world.context, tunnel, { servername: "api.e2e.test" });
      assert.equal((await client.request("GET", "/mismatch")).status, 421);
      assert.equal(secure.count("/mismatch"), 0);
    }
    const line = await of.audit.last(tunnel, 2);
    assert.equal(line.audit.reason, "authority_mismatch");
  });
}

test("I1 attack 2: a tunnel to an address whose ClientHello has a pinned name takes the name", async () => {
  const at = `127.0.0.1:${secure.port}`;
  const strict = await world.another("by-address", {
    config: () => ({
      tls: { passthrough: ["other.e2e.test:*"] },
      transforms: [allowlist(["*.e2e.test:*", "127.0.0.1:*"])],
    }),
  });
  const client = await through(strict, at, "other.e2e.test");
  client.send(`GET /by-name HTTP/1.1\r\nHost: ${pinned}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 200);
  client.reset();
  const line = await strict.audit.last(client, 2);
  assert.equal(line.audit.host, pinned);
  await strict.stop();
});

test("I11: an address on the deny list is not passed to either", async () => {
  const client = await openTunnel(world.context, port(sniOnly, "tunnel"), "127.0.0.66:443");
  assert.match(await alertOf(client, undefined), /access denied/);
  const line = await sniOnly.audit.last(client, 2);
  assert.deepEqual([line.audit.action, line.audit.reason], ["reject", "upstream_address_denied"]);
});

test("an upstream that cannot be reached is told before the tunnel is open, as what it is", async () => {
  const gone = await startUpstream();
  await gone.close();
  const client = await openRaw(world.context, port(proxy, "tunnel"));
  client.send(`CONNECT other.e2e.test:${gone.port} HTTP/1.1\r\nHost: other.e2e.test:${gone.port}\r\n\r\n`);
  const answer = await client.answer();
  assert.equal(answer?.status, 502);
  assert.equal(valueOf(answer?.fields ?? [], "sallyport-reason"), "upstream_connect_failed");
  assert.match(answer?.body.toString() ?? "", /nothing listens there/);
  const line = await proxy.audit.last(client, 1);
  assert.deepEqual([line.audit.action, line.audit.reason], ["error", "upstream_connect_failed"]);
});

test("where callers are required, TLS that proves nobody is not passed through", async () => {
  const strict = await world.another("callers", {
    config: () => ({ proxy: { require_caller: true }, tls: { passthrough: ["other.e2e.test"] } }),
    env: { SANDBOX_SIGNING_KEY: "0".repeat(64) },
  });
  const before = secure.connections;
  const client = await openRaw(world.context, port(strict, "https"));
  assert.match(await alertOf(client, "other.e2e.test"), /access denied/);
  assert.equal(secure.connections, before);
  const line = await strict.audit.last(client, 1);
  assert.deepEqual([line.audit.action, line.audit.reason], ["reject", "caller_required"]);
  await strict.stop();
});

test("sni-only: plain HTTP is decided on request by request, in tunnels too", async () => {
  for (const client of [
    await openRaw(world.context, port(sniOnly, "http"), world.plainAuthority),
    await openTunnel(world.context, port(sniOnly, "tunnel"), world.plainAuthority),
  ]) {
    assert.equal((await client.request("GET", "/plain")).status, 200);
    assert.equal((await client.request("POST", "/plain", { body: "x" })).status, 403);
  }
});

test("I12: a tunnel whose ClientHello does not come ends with its upstream connection", async () => {
  const before = secure.open;
  const client = await openTunnel(world.context, port(proxy, "tunnel"), pinned);
  client.send(Buffer.of(22, 3, 1));
  await client.ended();
  const line = await proxy.audit.last(client, 2);
  assert.equal(line.audit.reason, "tls_client_hello_invalid");
  await eventually("no connection is left behind", () => secure.open <= before);
});

test("what is open at a stop is cut after proxy.shutdown_timeout, and on record", async () => {
  const short = await world.another("stopping", {
    config: () => ({
      proxy: { shutdown_timeout: "500ms" },
      tls: { passthrough: ["other.e2e.test:*"] },
    }),
  });
  const client = await through(short, pinned);
  const waiting = await openTunnel(world.context, port(short, "tunnel"), pinned);
  assert.equal((await client.request("GET", "/still-there")).status, 200);
  short.signal("SIGTERM");
  await pause(200);
  assert.equal(client.reader.ended, undefined, "those under way have their time");
  assert.notEqual(waiting.reader.ended, undefined, "those that said nothing have none");
  await client.ended();
  assert.equal(await within("the end", short.exited), 0);
  const line = await short.audit.last(client, 2);
  assert.equal(line.audit.action, "client_cancel");
});

test("I13: the other proxies stop in order, each with the records it should have", async () => {
  await sniOnly.stop();
  await behind.stop();
});

// SOCKS5 on the tunnel port (RFC 1928, RFC 1929): names and addresses, who asks, and replies that are true.
import assert from "node:assert/strict";
import { test } from "node:test";
import { issueToken } from "../../src/callers/token.ts";
import { keysOf, newKey } from "../callers/support.ts";
import { type Client, openRaw, startTls } from "./harness/client.ts";
import { valueOf } from "./harness/message.ts";
import { missing, run } from "./harness/programs.ts";
import type { Address } from "./harness/sallyport.ts";
import { pause } from "./harness/wait.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";
import { anyone, ask, credentials, request } from "./socks5-support.ts";

const signingKey = newKey();
const token = issueToken(
  { name: "sandbox-1", tools: undefined, ttl: 600 },
  keysOf(signingKey).current.key,
  Date.now(),
).token;

/** Longer than a user or a password may be. */
const longToken = issueToken(
  { name: "sandbox-2", tools: Array.from({ length: 18 }, (_, index) => `tool-${index}`), ttl: 600 },
  keysOf(signingKey).current.key,
  Date.now(),
).token;

const world = await openWorld({
  config: ({ securePort, plainPort }) => ({
    proxy: { timeouts: { client_header: "1s" } },
    transforms: [
      allowlist(["*.e2e.test:*", "plain.localhost", "127.0.0.1", "[::1]"]),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`, `plain.localhost:${plainPort}`])]),
    ],
  }),
  env: { SANDBOX_SIGNING_KEY: signingKey },
});
const { proxy, secure, plain } = world;

function open(authority: string): Promise<Client> {
  return openRaw(world.context, proxy.addresses.tunnel as Address, authority);
}

async function tunnel(host: string, port: number): Promise<Client> {
  const client = await open(`${host}:${port}`);
  assert.equal(await ask(client, request(host, port)), 0);
  return client;
}

const auth = { fields: [`Authorization: Bearer ${placeholder}`] };

test("a name: TLS inside is opened, decided on and given its credential as in CONNECT", async () => {
  const connections = secure.connections;
  const client = await startTls(world.context, await tunnel("api.e2e.test", secure.port));
  assert.equal(secure.connections, connections, "I8: nothing is dialled before a request was decided on");
  assert.equal((await client.request("GET", "/socks", auth)).status, 200);
  const sent = await secure.request("/socks");
  assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${world.credential}`);
  const [opened, request] = await proxy.audit.of(client, 2);
  assert.equal(opened?.audit.method, "CONNECT");
  assert.equal(opened?.audit.host, world.secureAuthority);
  assert.deepEqual([opened?.audit.action, opened?.audit.status_code], ["allow", 200]);
  assert.deepEqual([opened?.audit.bytes_in, opened?.audit.bytes_out], [3 + 4 + 1 + 12 + 2, 12]);
  assert.equal(request?.tunnel?.target, world.secureAuthority);
});

test("plain HTTP inside is decided on as in CONNECT", async () => {
  const client = await tunnel("plain.localhost", plain.port);
  assert.equal((await client.request("GET", "/socks-plain", auth)).status, 200);
  const other = await client.request("GET", "/x", { fields: [] });
  assert.equal(other.status, 200);
  client.send("GET / HTTP/1.1\r\nHost: api.e2e.test\r\n\r\n");
  assert.equal((await client.answer())?.status, 421, "I1 attack 1");
  await proxy.audit.of(client, 4);
});

test("addresses: IPv4, IPv6, and either spelled as a name", async () => {
  const v6 = Buffer.alloc(16);
  v6[15] = 1;
  for (const [message, target] of [
    [request(Buffer.of(127, 0, 0, 1), 80, { type: 1 }), "127.0.0.1:80"],
    [request(v6, 80, { type: 4 }), "[::1]:80"],
    [request("127.0.0.1", 80), "127.0.0.1:80"],
    [request("::1", 80), "[::1]:80"],
    [
      request(Buffer.concat([Buffer.alloc(10), Buffer.of(255, 255, 127, 0, 0, 1)]), 80, { type: 4 }),
      "127.0.0.1:80",
    ],
  ] as const) {
    const client = await open(target);
    const reply = await ask(client, message);
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.host, target);
    assert.equal(reply, 0, target);
    client.close();
  }
});

test("I1 attack 2: a tunnel to an address whose ClientHello has a name takes the name", async () => {
  const client = await open(`api.e2e.test:${secure.port}`);
  assert.equal(await ask(client, request(Buffer.of(127, 0, 0, 1), secure.port, { type: 1 })), 0);
  const inside = await startTls(world.context, client);
  assert.equal((await inside.request("GET", "/by-name")).status, 200);
  const line = await proxy.audit.last(client, 2);
  assert.equal(line.audit.host, world.secureAuthority);
});

test("I1 attack 1: a ClientHello with another name than the request's is refused", async () => {
  const client = await tunnel("api.e2e.test", secure.port);
  const inside = await startTls(world.context, client, { servername: "other.e2e.test" });
  const answer = await inside.request("GET", "/x");
  assert.equal(answer.status, 421);
  await proxy.audit.of(client, 2);
});

test("I8: a refused host gets reply 2, before any look-up or connection", async () => {
  const before = [world.dns.queries.length, secure.connections, plain.connections];
  const client = await open("refused.test:443");
  assert.equal(await ask(client, request("refused.test", 443)), 2);
  assert.equal(await client.ended(), "end");
  assert.deepEqual([world.dns.queries.length, secure.connections, plain.connections], before);
  const line = await proxy.audit.last(client, 1);
  assert.deepEqual(
    [line.audit.action, line.audit.status_code, line.audit.reason, line.rejected_by],
    ["reject", 403, "host_not_allowed", "allowlist"],
  );
});

for (const [what, message, reply, reason] of [
  ["BIND", request("api.e2e.test", 443, { command: 2 }), 7, "malformed_request"],
  ["UDP ASSOCIATE", request("api.e2e.test", 443, { command: 3 }), 7, "malformed_request"],
  ["an unknown type of address", Buffer.of(5, 1, 0, 2, 0, 0), 8, "malformed_request"],
  ["an empty name", request("", 443), 1, "invalid_host"],
  ["attack 8: a name with a NUL", request("api.e2e.test\0.evil.test", 443), 1, "invalid_host"],
  ["attack 8: a name with a line break", request("api.e2e.test\r\nx", 443), 1, "invalid_host"],
  ["attack 11: a number for a name", request("2130706433", 443), 1, "invalid_host"],
  ["port 0", request("api.e2e.test", 0), 1, "invalid_host"],
] as const) {
  test(`reply ${reply} to ${what}`, async () => {
    const client = await open("");
    assert.equal(await ask(client, message), reply);
    assert.equal(await client.ended(), "end");
    const line = await proxy.audit.last(client, 1);
    assert.deepEqual([line.audit.action, line.audit.status_code], ["reject", 400]);
    assert.equal(line.audit.reason, reason);
  });
}

for (const [what, bytes, answer] of [
  ["no method that is known", Buffer.of(5, 1, 1), [5, 0xff]],
  ["no method at all", Buffer.of(5, 0), [5, 0xff]],
  ["a request of another version", Buffer.concat([anyone, Buffer.of(4, 1, 0, 80, 127, 0, 0, 1, 0)]), [5, 0]],
  ["credentials of another version", Buffer.of(5, 1, 2, 5, 1, 97, 1, 97), [5, 2]],
] as const) {
  test(`${what}: the connection is closed, and on record`, async () => {
    const client = await open("");
    client.send(bytes);
    assert.deepEqual([...(await client.reader.rest())], answer);
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.reason, "malformed_request");
  });
}

test("I12: messages that do not arrive in time end the connection; one without a byte leaves no record", async () => {
  const silent = await open("");
  const slow = await open("");
  slow.send(Buffer.of(5, 3, 0));
  assert.equal((await slow.reader.rest()).length, 0);
  assert.equal((await silent.reader.rest()).length, 0);
  const line = await proxy.audit.last(slow, 1);
  assert.equal(line.audit.reason, "request_timeout");
  proxy.audit.expect(silent.remote, 0);
});

for (const [how, leave] of [
  ["ends", (client: Client) => void client.socket.end()],
  ["is cut", (client: Client) => client.reset()],
] as const) {
  test(`a client that ${how} in the middle is on record`, async () => {
    const client = await open("");
    client.send(Buffer.concat([anyone, Buffer.of(5, 1, 0)]));
    await client.reader.take(2);
    leave(client);
    const line = await proxy.audit.last(client, 1);
    assert.deepEqual([line.audit.action, line.audit.reason], ["client_cancel", "client_disconnected"]);
  });
}

test("everything at once, or byte by byte, is the same", async () => {
  const hello = `GET /at-once HTTP/1.1\r\nHost: plain.localhost:${plain.port}\r\n\r\n`;
  const all = Buffer.concat([anyone, request("plain.localhost", plain.port), Buffer.from(hello)]);
  const whole = await open(`plain.localhost:${plain.port}`);
  whole.send(all);
  const pieces = await open(`plain.localhost:${plain.port}`);
  for (const byte of all) {
    pieces.send(Buffer.of(byte));
    await pause(0);
  }
  for (const client of [whole, pieces]) {
    assert.equal((await client.reader.take(12)).length, 12);
    assert.equal((await client.answer())?.status, 200);
    await proxy.audit.of(client, 2);
  }
});

// --- who asks

for (const [what, user, password] of [
  ["password", "sbx", token],
  ["user", token, ""],
  ["user and the rest as password", longToken.slice(0, 255), longToken.slice(255)],
] as const) {
  test(`a token as ${what} says who asks, for the tunnel and all inside it`, async () => {
    const client = await open(world.secureAuthority);
    client.send(Buffer.of(5, 2, 0, 2));
    assert.deepEqual([...(await client.reader.take(2))], [5, 2], "who can say who it is does");
    client.send(credentials(user, password));
    assert.deepEqual([...(await client.reader.take(2))], [1, 0]);
    client.send(request("api.e2e.test", secure.port));
    assert.equal((await client.reader.take(10))[1], 0);
    const inside = await startTls(world.context, client);
    assert.equal((await inside.request("GET", "/known")).status, 200);
    const lines = await proxy.audit.of(client, 2);
    const callers = lines.map(({ audit }) => (audit as { caller?: string }).caller);
    const name = user === "sbx" || user === token ? "sandbox-1" : "sandbox-2";
    assert.deepEqual(callers, [name, name]);
  });
}

test("a wrong token is refused as such", async () => {
  const client = await open("");
  client.send(Buffer.of(5, 1, 2));
  await client.reader.take(2);
  client.send(credentials("sbx", `${token}x`));
  assert.deepEqual([...(await client.reader.rest())], [1, 1]);
  const line = await proxy.audit.last(client, 1);
  assert.deepEqual([line.audit.reason, line.audit.status_code], ["caller_required", 407]);
});

test("where callers are required, a client that cannot say who it is gets no method", async () => {
  const strict = await world.another("strict", {
    config: () => ({ proxy: { require_caller: true } }),
    env: { SANDBOX_SIGNING_KEY: signingKey },
  });
  const client = await openRaw(world.context, strict.addresses.tunnel as Address);
  client.send(anyone);
  assert.deepEqual([...(await client.reader.rest())], [5, 0xff]);
  const line = await strict.audit.last(client, 1);
  assert.deepEqual([line.audit.reason, line.audit.status_code], ["caller_required", 407]);
  await strict.stop();
});

const noCurl = missing("curl");

for (const way of ["socks5-hostname", "socks5"] as const) {
  test(`curl --${way}`, { skip: noCurl }, async () => {
    const { host, port } = proxy.addresses.tunnel as Address;
    const url = `http://plain.localhost:${plain.port}/curl-${way}`;
    const args = ["-sS", "--noproxy", "", "--max-time", "10", `--${way}`, `${host}:${port}`];
    const resolved = way === "socks5" ? [`http://127.0.0.1:${plain.port}/curl-${way}`] : [url];
    const { stdout, stderr, code } = await run("curl", [...args, ...resolved]);
    assert.deepEqual([code, stdout], [0, "ok"], stderr);
  });
}

test("curl --socks5-hostname with TLS inside and a token", { skip: noCurl }, async () => {
  const { host, port } = proxy.addresses.tunnel as Address;
  const { stdout, stderr, code } = await run("curl", [
    "-sS",
    "--noproxy",
    "",
    "--max-time",
    "10",
    "--socks5-hostname",
    `${host}:${port}`,
    "--proxy-user",
    `sbx:${token}`,
    "--cacert",
    world.proxyCaFile,
    "-H",
    `Authorization: Bearer ${placeholder}`,
    `https://${world.secureAuthority}/curl-tls`,
  ]);
  assert.deepEqual([code, stdout], [0, "ok"], stderr);
  const sent = await secure.request("/curl-tls");
  assert.equal(valueOf(sent.fields, "authorization"), `Bearer ${world.credential}`);
});

// Attacks 1 to 15: which host a request is for, and where it really goes.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { makeLeaf } from "../helpers/pki.ts";
import { type Client, openAbsolute, type Way } from "./harness/client.ts";
import { deniedLiterals, lookAlikes, refusedHosts } from "./harness/hostile.ts";
import { type Answer, valueOf } from "./harness/message.ts";
import { startUpstream } from "./harness/upstream.ts";
import { allowlist, openWorld, placeholder, secrets, swap } from "./harness/world.ts";

const world = await openWorld({
  config: ({ securePort, plainPort }) => ({
    transforms: [
      allowlist([
        "api.e2e.test:*",
        "other.e2e.test:*",
        "meta.e2e.test:*",
        "denied-address.e2e.test:*",
        "rebound.e2e.test:*",
        "*.deep.e2e.test:*",
        "*.localhost",
        { cidr: "127.0.0.0/8" },
        { cidr: "169.254.0.0/16" },
        { cidr: "::/0" },
      ]),
      secrets([swap("E2E_KEY", placeholder, [`api.e2e.test:${securePort}`, `plain.localhost:${plainPort}`])]),
    ],
  }),
});
const { secure, plain, proxy } = world;
const auth = [`Authorization: Bearer ${placeholder}`];

function reasonOf(answer: Answer | undefined): string | undefined {
  return valueOf(answer?.fields ?? [], "sallyport-reason");
}

/** Sends raw bytes to the tunnel port and reads the answer. */
async function say(bytes: string): Promise<{ client: Client; answer: Answer | undefined }> {
  const client = await world.raw();
  client.send(bytes);
  return { client, answer: await client.answer() };
}

// --- I1: one authority

const fronting: readonly (readonly [Way, string, (client: Client) => string])[] = [
  ["connect", "another Host", () => "GET /f HTTP/1.1\r\nHost: other.e2e.test\r\n\r\n"],
  ["connect", "the right Host with another port", () => "GET /f HTTP/1.1\r\nHost: api.e2e.test:1\r\n\r\n"],
  [
    "connect",
    "an absolute target for another host",
    ({ authority }) => `GET https://other.e2e.test/f HTTP/1.1\r\nHost: ${authority}\r\n\r\n`,
  ],
  ["redirected", "another Host", () => "GET /f HTTP/1.1\r\nHost: other.e2e.test\r\n\r\n"],
  [
    "redirected",
    "an absolute target for another host",
    ({ authority }) => `GET https://other.e2e.test/f HTTP/1.1\r\nHost: ${authority}\r\n\r\n`,
  ],
  [
    "absolute",
    "a Host that is not the target's",
    ({ authority }) => `GET http://${authority}/f HTTP/1.1\r\nHost: other.e2e.test\r\n\r\n`,
  ],
];
for (const [way, what, text] of fronting) {
  test(`I1 attack 1: ${way}: ${what} is refused with 421`, async () => {
    const before = secure.received.length + plain.received.length;
    const client = await world.open(way);
    client.send(text(client));
    const answer = await client.answer();
    assert.equal(answer?.status, 421);
    assert.equal(reasonOf(answer), "authority_mismatch");
    const line = await proxy.audit.last(client, way === "connect" ? 2 : 1);
    assert.equal(line.audit.reason, "authority_mismatch");
    assert.equal(line.audit.action, "reject");
    assert.equal(secure.received.length + plain.received.length, before);
  });
}

test("I1 attack 1: CONNECT with a Host for somebody else is refused", async () => {
  const { client, answer } = await say(
    "CONNECT api.e2e.test:443 HTTP/1.1\r\nHost: other.e2e.test:443\r\n\r\n",
  );
  assert.equal(answer?.status, 421);
  assert.equal((await proxy.audit.last(client, 1)).audit.reason, "authority_mismatch");
});

test("I1 attack 1: a tunnel to one name with a ClientHello for another is refused, and says why", async () => {
  const client = await world.connect(world.secureAuthority, {
    servername: "other.e2e.test",
    ca: world.proxyCa.certPem,
  });
  const answer = await client.request("GET", "/f");
  assert.equal(answer.status, 421);
  assert.equal(reasonOf(answer), "authority_mismatch");
  assert.equal(secure.count("/f"), 0);
  await proxy.audit.of(client, 2);
});

test("I1: the same authority in other spellings is the same", async () => {
  const { port } = secure;
  const client = await world.connect(`API.e2e.test.:${port}`, { servername: "aPi.E2E.test" });
  client.send(`GET /same HTTP/1.1\r\nHost: Api.E2e.Test.:${port}\r\n${auth[0]}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 200);
  const received = await secure.request("/same");
  assert.equal(valueOf(received.fields, "host"), `api.e2e.test:${port}`, "one spelling goes upstream");
  assert.equal(valueOf(received.fields, "authorization"), `Bearer ${world.credential}`);
  assert.equal((await proxy.audit.last(client, 2)).audit.host, `api.e2e.test:${port}`);
});

test("attack 2: the address a workload dialled means nothing: the proxy resolves the name itself", async () => {
  const decoy = await startUpstream({ host: "127.0.0.3" }).catch(() => undefined);
  if (decoy === undefined) return;
  after(() => decoy.close());
  // A tunnel to the attacker's address with the ClientHello of an allowed name.
  const client = await world.connect(`127.0.0.3:${secure.port}`, { servername: "api.e2e.test" });
  client.send(`GET /pinned HTTP/1.1\r\nHost: ${world.secureAuthority}\r\n\r\n`);
  assert.equal((await client.answer())?.status, 200);
  assert.equal(secure.count("/pinned"), 1);
  assert.equal(decoy.connections, 0);
  assert.match((await proxy.audit.last(client, 2)).audit.upstream_addr ?? "", /^127\.0\.0\.1:/);
});

test("attack 3: headers that claim another host choose no credential", async () => {
  const client = await world.connect(`other.e2e.test:${secure.port}`);
  const fields = [
    "X-Forwarded-Host: api.e2e.test",
    "X-Original-Host: api.e2e.test",
    "Forwarded: host=api.e2e.test",
  ];
  assert.equal((await client.request("GET", "/pretty", { fields })).status, 200);
  assert.equal(valueOf((await secure.request("/pretty")).fields, "authorization"), undefined);
  const answer = await client.request("GET", "/misused", { fields: [...fields, ...auth] });
  assert.deepEqual([answer.status, reasonOf(answer)], [403, "placeholder_misused"]);
  assert.equal(secure.count("/misused"), 0);
});

// --- I11: addresses

test("I11 attack 4: a name that is rebound after the check is not dialled at its new address", async () => {
  let round = 0;
  world.dns.set("rebound.e2e.test", () => (round++ === 0 ? ["127.0.0.66"] : ["127.0.0.1"]));
  const client = await world.connect(`rebound.e2e.test:${secure.port}`);
  const answer = await client.request("GET", "/rebound");
  assert.equal(answer.status, 403);
  assert.equal(reasonOf(answer), "upstream_address_denied");
  assert.equal(round, 1, "asked once");
  assert.equal(secure.count("/rebound"), 0);
});

const deniedNames: readonly (readonly [string, readonly string[]])[] = [
  ["denied-address.e2e.test", ["127.0.0.66"]],
  ["meta.e2e.test", ["169.254.169.254"]],
];
for (const [name, addresses] of deniedNames) {
  test(`I11 attack 5: ${name}, which policy allows, is refused for its address ${addresses[0]}`, async () => {
    world.dns.set(name, addresses);
    const client = await world.connect(`${name}:${secure.port}`);
    const answer = await client.request("GET", "/metadata");
    assert.equal(answer.status, 403);
    assert.equal(reasonOf(answer), "upstream_address_denied");
    assert.ok(
      !answer.body.toString().includes(addresses[0] as string),
      "I14: no internal address in the answer",
    );
    const line = await proxy.audit.last(client, 2);
    assert.match(line.error ?? "", /127\.0\.0\.66|169\.254\.169\.254/, "the operator is told which");
  });
}

for (const [attack, authority] of deniedLiterals) {
  test(`I11 ${attack}: the literal ${authority} is refused when it would be dialled`, async () => {
    const client = await world.absolute(authority);
    const answer = await client.request("GET", "/literal");
    assert.equal(answer.status, 403);
    assert.equal(reasonOf(answer), "upstream_address_denied");
  });
}

test("I11: the proxy is never its own upstream", async () => {
  for (const { port } of [proxy.addresses.tunnel, proxy.addresses.http, proxy.addresses.https] as {
    port: number;
  }[]) {
    for (const host of ["127.0.0.1", "api.e2e.test", "[::ffff:127.0.0.1]", "0.0.0.0"]) {
      const client = await world.absolute(`${host}:${port}`);
      const answer = await client.request("GET", "/loop");
      assert.equal(answer.status, 403, host);
      assert.equal(reasonOf(answer), host === "0.0.0.0" ? "host_not_allowed" : "proxy_loop");
    }
  }
});

test("I11 attack 5: loopback, link-local and metadata are denied where the file does not say", async () => {
  const strict = await world.another("strict", {
    config: () => ({ proxy: { upstream_deny_cidrs: undefined, https_listen: "off", http_listen: "off" } }),
  });
  const { host, port } = strict.addresses.tunnel as { host: string; port: number };
  const client = await openAbsolute(world.context, { host, port }, world.plainAuthority);
  const answer = await client.request("GET", "/loopback", { fields: auth });
  assert.equal(reasonOf(answer), "upstream_address_denied");
  assert.equal(plain.count("/loopback"), 0);
  client.close();
  await strict.stop();
});

// --- Spellings of hosts

for (const [attack, authority] of refusedHosts) {
  test(`${attack}: CONNECT ${JSON.stringify(authority)} is refused with 400`, async () => {
    const { client, answer } = await say(`CONNECT ${authority} HTTP/1.1\r\nHost: api.e2e.test:443\r\n\r\n`);
    assert.equal(answer?.status, 400);
    const line = await proxy.audit.last(client, 1);
    assert.equal(line.audit.action, "reject");
    assert.equal(await client.ended(), "end");
  });
}

test("attack 13: user information before the host of an absolute target is refused", async () => {
  const { client, answer } = await say(
    "GET http://api.e2e.test@evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
  );
  assert.equal(answer?.status, 400);
  assert.equal(reasonOf(answer), "invalid_host");
  await proxy.audit.of(client, 1);
});

for (const host of lookAlikes) {
  test(`attack 6: ${host} is not a host of the allowlist`, async () => {
    const queries = world.dns.queries.length;
    const { client, answer } = await say(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`);
    assert.equal(answer?.status, 403);
    assert.equal(reasonOf(answer), "host_not_allowed");
    assert.equal((await proxy.audit.last(client, 1)).rejected_by, "allowlist");
    assert.equal(world.dns.queries.length, queries, "I8: no name is resolved before policy");
  });
}

test("attack 6: any depth below a wildcard is reached, and the name itself", async () => {
  for (const host of ["deep.e2e.test", "a.deep.e2e.test", "a.b.deep.e2e.test"]) {
    const client = await world.tunnel(`${host}:443`);
    client.close();
  }
});

test("attack 7: a trailing dot does not make another host of a name that policy refuses", async () => {
  const { answer } = await say(
    "CONNECT metadata.google.internal.:80 HTTP/1.1\r\nHost: metadata.google.internal.:80\r\n\r\n",
  );
  assert.equal(reasonOf(answer), "host_not_allowed");
});

// --- Credentials and the places they are for (I6)

test("I6 attack 15: the credential for one port of a host does not go to another port", async () => {
  const leaf = makeLeaf(world.upstreamCa, "api.e2e.test");
  const elsewhere = await startUpstream({ tls: { cert: leaf.certPem, key: leaf.keyPem } });
  after(() => elsewhere.close());
  const client = await world.connect(`api.e2e.test:${elsewhere.port}`);
  const answer = await client.request("GET", "/port", { fields: auth });
  assert.deepEqual([answer.status, reasonOf(answer)], [403, "placeholder_misused"]);
  assert.equal(elsewhere.count("/port"), 0);
});

test("I6: a credential does not go out over plain HTTP to another machine", async () => {
  const client = await world.absolute(world.secureAuthority);
  const answer = await client.request("GET", "/plaintext", { fields: auth });
  assert.equal(answer.status, 403);
  assert.equal(reasonOf(answer), "plaintext_upstream");
});
